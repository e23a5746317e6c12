"""Merge stores: every record once, and every contradiction named before anything is written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from analysis.record import MAX_ANALYSIS_BYTES
from benchmarks.transfer.store_contents import StoreContents, StoredFolder
from foundation.files import sha256_unchanged_file
from foundation.storage.regular_files import read_regular
from results.records.ledger import LEDGER_FOLDER, MAX_LEDGER_BYTES, read_ledgers
from results.records.record import Record, RunStatus
from results.records.store import MAX_RECORD_BYTES
from results.statistics.item_files import list_item_files

STATUS_RANK: dict[RunStatus, int] = {"running": 0, "failed": 1, "complete": 2, "invalidated": 3}
"""Which record of one run stays, as in a single store: an end replaces a start, and a withdrawal what it withdraws."""


class UnionPlan(NamedTuple):
    """What the union of stores will hold.

    Attributes:
        records: for each folder below the union, the stored folder whose record stays.
        files: for each path below the union, the file that is copied there.
        conflicts: one sentence for each contradiction; with any of them nothing is written.
        notes: one sentence for each choice that was made among records.
        num_identical: records that were in several stores, byte for byte.
    """

    records: dict[str, StoredFolder]
    files: dict[str, Path]
    conflicts: list[str]
    notes: list[str]
    num_identical: int


def plan_union(stores: Sequence[StoreContents], *, keep_first: bool = False) -> UnionPlan:
    """Decide what the union of stores holds.

    Args:
        stores: the stores, in the order of preference.
        keep_first: of records with the same id and the same numbers that differ elsewhere (in their times, machines,
            figures), keep the first one instead of naming a conflict. Other numbers always are a conflict.
    """
    by_name: dict[str, list[StoredFolder]] = defaultdict(list)
    for store in stores:
        for name, found in store.folders.items():
            by_name[name].append(found)
    plan = UnionPlan({}, {}, [], [], 0)
    num_identical = 0
    for name, candidates in sorted(by_name.items()):
        kept = max(candidates, key=lambda each: STATUS_RANK[each.record.status] if each.record else 0)
        plan.records[name] = kept
        num_identical += sum(
            each is not kept and _read_record_file(each) == _read_record_file(kept) for each in candidates
        )
        _add_files(name, kept, candidates, plan, keep_first)
    plan.conflicts.extend(_find_other_numbers(stores))
    plan.conflicts.extend(_find_withdrawn(stores, plan.records))
    for store in stores:
        for name, path in store.single_files.items():
            _add_single_file(name, path, plan)
    return plan._replace(num_identical=num_identical)


def _add_files(
    name: str, kept: StoredFolder, candidates: Sequence[StoredFolder], plan: UnionPlan, keep_first: bool
) -> None:
    """Add the files of a folder: those of the kept record, and what equal records have beside them."""
    plan.files.update({f"{name}/{file}": path for file, path in kept.files.items()})
    for other in candidates:
        if other is kept:
            continue
        difference = _describe_difference(kept, other)
        if difference is None:  # a record that the kept one replaces
            plan.notes.append(f"{name}: {_describe_status(kept)} replaces {_describe_status(other)}")
            continue
        if not difference:
            difference = _merge_files(name, kept, other, plan)
        if difference and keep_first and not difference.startswith("other numbers"):
            plan.notes.append(f"{name}: {difference}; the one of {kept.folder} is kept")
        elif difference:
            plan.conflicts.append(f"{name}: {difference}, in {kept.folder} and in {other.folder}")


def _describe_difference(kept: StoredFolder, other: StoredFolder) -> str | None:
    """Return how two records of one folder contradict each other: "" if not, ``None`` if one replaces the other."""
    first, second = kept.record, other.record
    if _read_record_file(kept) == _read_record_file(other):
        return ""
    if first is None or second is None:
        return "other content of the analysis"
    if first.run_id != second.run_id:
        return f"other runs, {first.run_id} and {second.run_id}"
    if second.result is None and (first.result is not None or STATUS_RANK[first.status] >= STATUS_RANK[second.status]):
        return None
    if _get_numbers(first) != _get_numbers(second):
        return f"other numbers: {_format_numbers(first)} against {_format_numbers(second)}"
    if first.status != second.status and _drop_status(first) == _drop_status(second):
        return None
    return "the same numbers, but other content of the record"


def _read_record_file(found: StoredFolder) -> bytes:
    return read_regular(found.record_path, max(MAX_RECORD_BYTES, MAX_ANALYSIS_BYTES))


def _merge_files(name: str, kept: StoredFolder, other: StoredFolder, plan: UnionPlan) -> str:
    """Add what an equal record has beside it; return what contradicts, or ""."""
    stated = {} if kept.record is None or kept.record.result is None else list_item_files(kept.folder, kept.record)
    hashes = {path.name: sha256 for path, sha256 in stated.items()}
    differing = []
    for file, path in other.files.items():
        mine = plan.files.setdefault(f"{name}/{file}", path)
        if mine is path or sha256_unchanged_file(mine) == (digest := sha256_unchanged_file(path)):
            continue
        if file not in hashes:
            differing.append(file)
        elif digest == hashes[file]:  # the other one is damaged
            plan.files[f"{name}/{file}"] = path
    return f"equal records, but other content of {', '.join(differing[:3])}" if differing else ""


def _find_other_numbers(stores: Sequence[StoreContents]) -> Iterator[str]:
    """Find runs that have other numbers in different stores under different names, such as a second attempt's."""
    numbers: dict[str, list[tuple[set[str], Path]]] = defaultdict(list)
    for store in stores:
        by_run: dict[str, list[StoredFolder]] = defaultdict(list)
        for found in store.folders.values():
            if found.record is not None and found.record.status == "complete":
                by_run[found.record.run_id].append(found)
        for run_id, attempts in by_run.items():
            texts = {_get_numbers(each.record) for each in attempts if each.record}
            numbers[run_id].append((texts, attempts[0].folder))
    for run_id, several in numbers.items():
        everything = set.union(*(texts for texts, _ in several))
        names = {folder.name for _, folder in several}
        # attempts that one of the stores has side by side already are its history, not a contradiction
        if len(names) > 1 and not any(texts == everything for texts, _ in several):
            places = " and in ".join(str(folder) for _, folder in several)
            yield f"run {run_id}: other numbers in {places}"


def _find_withdrawn(stores: Sequence[StoreContents], kept: dict[str, StoredFolder]) -> Iterator[str]:
    """Find records that come back although the ledger of another store says that they were withdrawn."""
    for store in stores:
        for chain in read_ledgers(store.root):
            for line in chain.lines:
                found = kept.get(line.event.folder)
                if line.event.event != "invalidated" or found is None or found.record is None:
                    continue
                if found.folder.is_relative_to(store.root):  # the store itself has it again
                    continue
                if found.record.status == "complete" and _get_items(found.record) == line.event.items_sha256:
                    yield (
                        f"{line.event.folder}: complete in {found.folder}, but withdrawn by the ledger of {store.root} "
                        f"at {line.time}; withdraw or remove the record"
                    )


def _add_single_file(name: str, path: Path, plan: UnionPlan) -> None:
    """Add a chain of a ledger or a timing. Of two states of a chain the longer one stays; a fork is a conflict."""
    mine = plan.files.setdefault(name, path)
    if mine is path:
        return
    first, second = (read_regular(each, MAX_LEDGER_BYTES) for each in (mine, path))
    if first == second:
        return
    if name.startswith(f"{LEDGER_FOLDER}/") and (first.startswith(second) or second.startswith(first)):
        plan.files[name] = max(mine, path, key=lambda each: each.stat().st_size)
    else:
        plan.conflicts.append(f"{name}: other content in {mine} and in {path}; one of them was edited")


def _get_numbers(record: Record) -> str:
    """Return the numbers of a record and the digest of its items, as text; "" where there are none."""
    if record.result is None:
        return ""
    values = sorted((name, metric.value, metric.n) for name, metric in record.result.metrics.items())
    return f"{values!r} {_get_items(record)}"


def _get_items(record: Record) -> str | None:
    return record.result.items.sha256 if record.result else None


def _format_numbers(record: Record) -> str:
    if record.result is None:
        return record.status
    value = record.result.metrics[record.result.primary_metric]
    return f"{record.result.primary_metric} {value.value!r} (items {record.result.items.sha256[:8]})"


def _drop_status(record: Record) -> Record:
    return record.model_copy(update={"status": "complete", "reason": None})


def _describe_status(found: StoredFolder) -> str:
    status = found.record.status if found.record else "analysis"
    return f"the {status} one of {found.folder}"
