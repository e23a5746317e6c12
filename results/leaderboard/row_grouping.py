"""Group the runs of a board into rows: the seeds of one backbone with one start."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from results.leaderboard.row_labels import describe_variants, get_start_kind, get_weights_key
from results.leaderboard.same_network import (
    find_network_conflict,
    get_model_digest,
    select_newest_seeds,
    split_by_network,
)
from results.records.identity import compute_digest
from results.records.record import Record
from results.statistics.ranking import StoredRun


class UnrankedRun(NamedTuple):
    """A run that is not on any board, and the reason."""

    folder: Path
    record: Record
    reason: str

    def __str__(self) -> str:
        return f"{self.folder}: {self.reason}"


_Candidate = tuple[str, str, str]
"""Name of the backbone, kind of the start, and first digits of the SHA-256 of the start weights."""

_Row = tuple[str, str, str, str]
"""The same with a digest of what defines the network and its loading."""


class RowRuns(NamedTuple):
    """The runs of one row, by seed.

    Attributes:
        candidate: the row's backbone and start.
        runs: its runs, in the order of their seeds.
        note: what distinguishes the row from another one of the same name; otherwise empty.
        variant: how the finished model was applied, where that is a part of the row's name; otherwise empty.
    """

    candidate: _Candidate
    runs: list[StoredRun]
    note: str
    variant: str = ""


def drop_other_directions(runs: Sequence[StoredRun], metric: str) -> tuple[list[StoredRun], list[UnrankedRun]]:
    """Keep the runs that agree with most others on whether higher values of their metric are better.

    A task declares the direction once, so another one is that of a record that was made up or edited. Of equally many,
    nobody knows which ones those are.

    Args:
        runs: the complete runs of one board.
        metric: the metric by which it is ranked.

    Returns:
        The runs that are kept, and the others with the reason.
    """
    by_direction: dict[bool, list[StoredRun]] = defaultdict(list)
    for folder, record in runs:
        if record.result is not None:
            by_direction[record.result.metrics[metric].higher_is_better].append((folder, record))
    if len(by_direction) < 2:
        return list(runs), []
    usual = by_direction[len(by_direction[True]) > len(by_direction[False])]
    kept = usual if len(by_direction[True]) != len(by_direction[False]) else []
    text = f"other records of its board state another direction of {metric}; verify them, and withdraw what was edited"
    return kept, [UnrankedRun(folder, record, text) for folder, record in runs if (folder, record) not in kept]


def group_rows(runs: Sequence[StoredRun]) -> tuple[list[RowRuns], list[UnrankedRun]]:
    """Group the runs of one board into rows; runs that cannot count are refused with the reason.

    These are runs of several networks under one name, and runs of a seed that was run again since.
    """
    # A changed card or creation argument makes another backbone under the same name. The digest keeps the two in
    # separate rows, so that they are never averaged.
    by_candidate: dict[_Row, list[StoredRun]] = defaultdict(list)
    normalizations: dict[tuple[str, ...], set[str]] = defaultdict(set)  # by what the name of a row says
    for run in runs:
        candidate = (run[1].backbone.name, get_start_kind(run[1]), run[1].start_sha256[:12], _backbone_digest(run[1]))
        by_candidate[candidate].append(run)
        normalizations[_name_start(run[1])].add(_format_normalization(run[1]))
    # from all rows at once, since only what differs among them is in a name
    variants = _name_variants({candidate: alike[0][1] for candidate, alike in by_candidate.items()})
    rows, refused = [], []
    for candidate, alike in sorted(by_candidate.items()):
        networks = split_by_network(alike)
        for same in networks:
            conflict = find_network_conflict([record for _, record in same])
            if conflict is not None:
                refused += [UnrankedRun(folder, record, conflict) for folder, record in same]
                continue
            words = []
            first = same[0][1]
            if len(normalizations[_name_start(first)]) > 1:
                words.append(_format_normalization(first))
            if len(networks) > 1:  # the same name, card and start, but the code of the plug-in was edited
                model = get_model_digest(first)
                words.append(f"network {compute_digest({'model': model})[:8]}" if model else "network not recorded")
            counted, older = select_newest_seeds(same)
            refused += [
                UnrankedRun(*run, f"its seed {run[1].seed} was run again, and the newer run counts") for run in older
            ]
            rows.append(RowRuns(candidate[:3], counted, "; ".join(words), variants[candidate]))
    return rows, refused


def _name_variants(firsts: Mapping[_Row, Record]) -> dict[_Row, str]:
    """Return how the model of each row was applied, so that rows of one model have different names.

    Args:
        firsts: one record of each row.
    """
    # rows of another start have another name already
    by_start: dict[tuple[str, ...], list[_Row]] = defaultdict(list)
    for row, record in firsts.items():
        by_start[_name_start(record)].append(row)
    return {
        row: text
        for same in by_start.values()
        for row, text in zip(same, describe_variants([firsts[row] for row in same]), strict=True)
    }


def _backbone_digest(record: Record) -> str:
    """Return a digest of what defines the backbone as a network and its loading, without the card's descriptions."""
    shape = ("architecture", "arguments", "input_size", "mean", "std", "prefix_tokens")
    card = {key: record.backbone.card.get(key) for key in shape}
    start = record.backbone.checkpoint
    versions = {"weights_key": start.weights_key, "loading_fixes": start.loading_fixes} if start else {}
    return compute_digest({"card": card, "arguments": record.backbone.arguments, **versions})


def _name_start(record: Record) -> tuple[str, ...]:
    return record.backbone.name, get_start_kind(record), record.start_sha256[:12], get_weights_key(record)


def _format_normalization(record: Record) -> str:
    card = record.backbone.card
    return f"input normalized with mean {card.get('mean')}, std {card.get('std')}"
