"""Compare the records of a store with its ledger: what was edited, replaced, deleted or repeated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from foundation.files import sha256_file
from foundation.plural import format_count
from results.records.ledger import LedgerChain, LedgerLine, find_store, read_ledgers
from results.records.record import Record
from results.records.store import RECORD_FILE
from results.records.verification import VerificationCheck

NAMED = 3
"""How many runs or lines a sentence names before it only counts."""


class _LedgerView(NamedTuple):
    """The ledger of a store beside the records in it.

    Attributes:
        store: the store.
        chains: all chains of the ledger.
        records: the records that are verified, by their folder below the store.
        hashes: SHA-256 of the record's file, by the same folder.
        is_asked: whether a line is about what is verified.
    """

    store: Path
    chains: list[LedgerChain]
    records: dict[str, Record]
    hashes: dict[str, str]
    is_asked: Callable[[LedgerLine], bool]

    def list_last_lines(self) -> dict[str, list[LedgerLine]]:
        """Return the last line about each folder, one for each chain that knows it."""
        found: dict[str, list[LedgerLine]] = defaultdict(list)
        for chain in self.chains:
            for folder, line in {line.event.folder: line for line in chain.lines}.items():
                found[folder].append(line)
        return found


def check_ledgers(
    store: Path, runs: Sequence[tuple[Path, Record]], scope: Path | None = None
) -> list[VerificationCheck]:
    """Compare records with the ledger of their store.

    Args:
        store: the store.
        runs: folders and records of the runs that are verified; those of other stores are left out.
        scope: folder whose runs are verified, the store itself if not given. Of runs elsewhere in the store only other
            attempts at the same runs are reported.
    """
    chains = read_ledgers(store)
    if not chains:
        text = f"{store} has none, so records that were deleted, replaced or repeated leave no trace here"
        return [VerificationCheck("ledger", "unchecked", text)]
    home, asked = store.resolve(), (scope or store).resolve()
    inside = {
        folder.relative_to(home).as_posix(): record
        for folder, record in ((folder.resolve(), record) for folder, record in runs)
        if find_store(folder, record.task) == home
    }
    ids = {record.run_id for record in inside.values()}
    view = _LedgerView(
        store,
        chains,
        inside,
        {folder: sha256_file(store / folder / RECORD_FILE) for folder in inside},
        lambda line: line.event.run_id in ids or (home / line.event.folder).is_relative_to(asked),
    )
    return [
        *_check_chains(chains),
        *_check_contents(view),
        *_check_migrations(view),
        *_find_missing_runs(view),
        *_list_repeated_runs(view),
    ]


def _check_chains(chains: Sequence[LedgerChain]) -> Iterator[VerificationCheck]:
    """Report where chains are broken, and the head of each whole one."""
    for chain in chains:
        name = f"chain {chain.path.stem}"
        if chain.faults:
            text = f"{_join_some(chain.faults)}: a line was edited, removed, moved or put in"
            yield VerificationCheck(name, "fails", text)
            continue
        attempts = sum(line.event.event == "started" for line in chain.lines)
        text = f"ledger head {chain.head[:12]}, {format_count(attempts, 'attempt')}; every line follows from the last"
        yield VerificationCheck(name, "holds", text)
        if chain.torn_lines:
            numbers = ", ".join(map(str, chain.torn_lines))
            yield VerificationCheck(name, "note", f"line {numbers} was cut off, as by a kill while it was written")


def _check_contents(view: _LedgerView) -> Iterator[VerificationCheck]:
    """Compare the file of each record with its hash in the ledger."""
    last_lines = view.list_last_lines()
    as_written, unknown, unended = [], [], []
    for folder, record in view.records.items():
        known = last_lines.get(folder, [])
        if not known:
            unknown.append(folder)
        elif view.hashes[folder] in {line.event.record_sha256 for line in known}:
            as_written.append(folder)
        elif not any(line.event.event == "started" for line in known):
            text = (
                f"{folder}/{RECORD_FILE} is not the one that was {known[-1].event.event} at {known[-1].time}: it was "
                "edited or replaced since"
            )
            yield VerificationCheck("record", "fails", text)
        elif record.status != "running":
            unended.append(folder)
    if as_written:
        text = f"{format_count(len(as_written), 'record')} as written, measured times included"
        yield VerificationCheck("records", "holds", text)
    if unended:
        text = f"the ledger knows only the start of {_join_some(unended)}: the process was killed, or its end cut off"
        yield VerificationCheck("records", "unchecked", text)
    if unknown:
        text = f"no line mentions {_join_some(unknown)}: made before there was a ledger, or copied in without it"
        yield VerificationCheck("records", "unchecked", text)


def _check_migrations(view: _LedgerView) -> Iterator[VerificationCheck]:
    """Check that what was migrated is what the ledger knew before, so that no edited record becomes valid by it."""
    stated: dict[str, set[str]] = defaultdict(set)
    for chain in view.chains:
        for line in chain.lines:
            before, event = line.event.migrated_from, line.event
            if before and stated[before.folder] and before.record_sha256 not in stated[before.folder]:
                text = f"{event.folder}: the record that was migrated at {line.time} had been edited or replaced before"
                yield VerificationCheck("record", "fails", text)
            if event.record_sha256 is not None:
                stated[event.folder].add(event.record_sha256)


def _find_missing_runs(view: _LedgerView) -> Iterator[VerificationCheck]:
    """Report complete runs of the ledger that are not in the store; withdrawn ones may be deleted."""
    lines = [line for chain in view.chains for line in chain.lines]
    withdrawn = {line.event.folder for line in lines if line.event.event == "invalidated"}
    renamed = {line.event.migrated_from.folder for line in lines if line.event.migrated_from}
    ended: dict[str, LedgerLine] = {
        line.event.folder: line
        for line in filter(view.is_asked, lines)
        if line.event.event in ("complete", "migrated") and line.event.folder not in withdrawn | renamed
    }
    moved = set(view.hashes.values())
    missing = [
        f"{folder} (seed {line.event.seed}, {line.time[:10]})"
        for folder, line in ended.items()
        if not _has_number(view, folder) and line.event.record_sha256 not in moved
    ]
    if missing:
        text = f"{format_count(len(missing), 'complete run')} of the ledger not in the store: {_join_some(missing)}"
        yield VerificationCheck("missing runs", "fails", text)


def _has_number(view: _LedgerView, folder: str) -> bool:
    """Return whether the store has a finished record in a folder; one that is not verified now counts as finished."""
    if folder in view.records:
        return view.records[folder].status in ("complete", "invalidated")
    return (view.store / folder / RECORD_FILE).is_file()


def _list_repeated_runs(view: _LedgerView) -> Iterator[VerificationCheck]:
    """Report runs that were completed several times with different items: somebody could have chosen among them."""
    by_run: dict[str, list[LedgerLine]] = defaultdict(list)
    for chain in view.chains:
        for line in filter(view.is_asked, chain.lines):
            by_run[line.event.run_id].append(line)
    for run_id, lines in by_run.items():
        completed = [line.event for line in lines if line.event.event == "complete"]
        if len({event.items_sha256 for event in completed}) > 1:
            starts = sum(line.event.event == "started" for line in lines)
            first = completed[0]
            text = (
                f"run {run_id} ({first.task} {first.protocol}, seed {first.seed}) was started "
                f"{format_count(starts, 'time')} and completed {len(completed)} times with different numbers: "
                f"{_join_some([event.folder for event in completed])}"
            )
            yield VerificationCheck("repeated runs", "note", text)


def _join_some(names: Sequence[str]) -> str:
    """Join the first names, and count the others."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
