"""Two backbones on one board: their difference with its uncertainty, and the items on which they part."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from foundation.errors import UserError
from results.leaderboard.table import label_of, maker_of, pretrained_by, start_of, start_text
from results.records.identity import candidate_of, identity_of
from results.records.record import PRETRAINING, Record
from results.statistics.estimates import LEVEL, Sample, difference
from results.statistics.ranking import Run, row_sample
from results.statistics.significance_tests import paired_p


class Side(NamedTuple):
    """One of the two: its name with its start, its mean over seeds, and where it comes from."""

    label: str
    value: float
    seeds: tuple[int, ...]
    run_ids: tuple[str, ...]


class Flip(NamedTuple):
    """An item on which the two part, with what it adds to the metric of each."""

    item: str
    first: float
    second: float


class Comparison(NamedTuple):
    """First less second on one board, in the metric's unit.

    Attributes:
        low, high: of the difference, at ``level``.
        p: two-sided, of this pair alone.
        test: what gave it.
        over: "seeds x items", or "items only" where either has one seed.
        better, worse: items on which the first is better, worse, by how far; the farthest first.
        items: on which both were scored.
        pseudo: an item's number is its pseudo-value: what the score over all owes it, below 0 or above 100 % where it
            holds classes that few items hold.
    """

    task: str
    protocol: str
    tier: str
    key: str
    metric: str
    unit: str
    higher_is_better: bool
    first: Side
    second: Side
    difference: float
    low: float
    high: float
    level: float
    p: float
    test: str
    over: str
    better: tuple[Flip, ...]
    worse: tuple[Flip, ...]
    items: int
    pseudo: bool


def compare(first: Sequence[Run], second: Sequence[Run], made: Mapping[str, str] | None = None) -> Comparison:
    """Compare two backbones by their board's primary metric.

    Args:
        first: its runs, a seed each.
        second: likewise.
        made: methods of pre-trainings by the SHA-256 of their weights, for the labels.

    Raises:
        UserError: they are not on one board, or are one run.
        RecordError: a per-item file cannot be used.
    """
    one, other = first[0][1], second[0][1]
    require_comparable([record for _, record in (*first, *second)])
    if one.run_id == other.run_id:
        raise UserError(f"both are run {one.run_id}; name two runs that differ in backbone, weights or seed")
    assert one.result is not None
    metric = one.result.metrics[one.result.primary]
    (ids, ours), (others, theirs) = (row_sample(runs, one.result.primary) for runs in (first, second))
    if ids != others:
        raise UserError("the two were not scored on the same items, so they cannot be compared")
    found, p = difference(ours, theirs), float(paired_p([ours, theirs])[0, 1])
    better, worse = _flips(ids, ours, theirs, metric.higher_is_better)
    several = ours.seeds > 1 and theirs.seeds > 1
    return Comparison(
        *(one.task, one.protocol, one.tier, one.comparability, one.result.primary),
        *(metric.unit, metric.higher_is_better),
        *(_side(first, ours, made or {}), _side(second, theirs, made or {})),
        *(found.value, found.low, found.high, LEVEL, p),
        test=_test(ours, theirs),
        over="seeds x items" if several else "items only",
        better=better,
        worse=worse,
        items=len(ids),
        pseudo=abs(ours.mean - float(ours.values.mean())) > 1e-9,
    )


def require_comparable(records: Sequence[Record]) -> None:
    """Pass complete records of one board.

    Raises:
        UserError: naming what differs, or what is not complete.
    """
    for record in records:
        if record.status != "complete" or record.result is None:
            raise UserError(f"run {record.run_id} is {record.status} and has no number; run it to its end")
    first = records[0]
    for record in records[1:]:
        if record.comparability != first.comparability:
            apart = "; ".join(_apart(first, record)) or "their keys differ, but no setting does"
            raise UserError(f"runs {first.run_id} and {record.run_id} are not comparable: {apart}")


def by_board(runs: Sequence[Run], name: str) -> dict[str, list[Run]]:
    """The complete runs of a backbone by comparability key; of several attempts at a run the newest.

    Args:
        runs: what a scan found.
        name: a backbone, or ``BACKBONE@START`` for one of its starts: ``random``, ``card``, the method of a
            pre-training, or the beginning of the weight file's SHA-256.

    Raises:
        UserError: the name stands for several sets of start weights on one board.
    """
    backbone, _, start = name.partition("@")
    made = pretrained_by(runs)
    newest: dict[str, Run] = {}
    for folder, record in sorted(runs, key=lambda run: run[1].where.started):
        chosen = record.backbone.name == backbone and record.status == "complete" and record.domain != PRETRAINING
        if chosen and _starts_with(record, start, made):
            newest[record.run_id] = folder, record
    boards: dict[str, list[Run]] = defaultdict(list)
    for folder, record in newest.values():
        boards[record.comparability].append((folder, record))
    for same in boards.values():
        kinds = {candidate_of(record): record for _, record in same}
        if len(kinds) > 1:
            starts = [_start(record, made) for record in kinds.values()]
            runs_named = ", ".join(record.run_id for _, record in same)
            last = sorted({text.split()[-1] for text in starts})  # random, or the beginning of a SHA-256
            raise UserError(
                f"{name} stands on the board of {same[0][1].task} with {len(kinds)} different starts "
                f"({', '.join(sorted(starts))}); "
                + (f"name one of them, as in {backbone}@{last[0]}" if len(last) > 1 else f"name two runs: {runs_named}")
            )
    return dict(boards)


def _starts_with(record: Record, start: str, made: Mapping[str, str]) -> bool:
    checkpoint = record.backbone.checkpoint
    words = (start_of(record), maker_of(record, made))
    return not start or start in words or bool(checkpoint and len(start) > 3 and checkpoint.sha256.startswith(start))


def _start(record: Record, made: Mapping[str, str]) -> str:
    checkpoint = record.backbone.checkpoint
    sha256 = checkpoint.sha256 if checkpoint else ""
    return start_text(start_of(record), sha256, maker_of(record, made))


def _side(runs: Sequence[Run], sample: Sample, made: Mapping[str, str]) -> Side:
    records = sorted((record for _, record in runs), key=lambda record: record.seed)
    seeds, ids = tuple(record.seed for record in records), tuple(record.run_id for record in records)
    first = records[0].backbone
    sha256 = first.checkpoint.sha256 if first.checkpoint else ""
    label = label_of(first.name, start_of(records[0]), sha256, maker_of(records[0], made))
    return Side(label, sample.mean, seeds, ids)


def _flips(
    ids: tuple[str, ...], first: Sample, second: Sample, higher_is_better: bool
) -> tuple[tuple[Flip, ...], tuple[Flip, ...]]:
    """Items on which the first is better, and on which it is worse."""
    ours, theirs = first.values.mean(0), second.values.mean(0)
    gain = (ours - theirs) * (1 if higher_is_better else -1)
    tolerance = 1e-9 * max(1.0, float(np.abs(ours).max()), float(np.abs(theirs).max()))
    order = np.argsort(-np.abs(gain), kind="stable").tolist()
    flips = {place: Flip(ids[place], float(ours[place]), float(theirs[place])) for place in order}
    better = tuple(flips[place] for place in order if gain[place] > tolerance)
    return better, tuple(flips[place] for place in order if gain[place] < -tolerance)


def _test(first: Sample, second: Sample) -> str:
    if first.seeds > 1 and second.seeds > 1:
        return "mixture of Student's tails over seeds and items"
    sizes = np.abs(first.values.mean(0) - second.values.mean(0))
    apart = sizes[sizes > 1e-9 * max(1.0, float(sizes.max()))]
    return "McNemar, exact" if len(apart) == 0 or np.ptp(apart) < 1e-9 * apart.max() else "sign flips by item"


def _apart(first: Record, second: Record) -> Iterator[str]:
    """What two records' boards differ in, a phrase each; of another task or protocol nothing more is said."""
    ours, theirs = (dict(_flat(identity_of(record).protocol_part)) for record in (first, second))
    names = [name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
    for name in [name for name in ("task", "protocol", "tier") if name in names][:1] or names:
        yield f"{name} {_short(ours.get(name))} and {_short(theirs.get(name))}"


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{prefix}{name}.")
        else:
            yield prefix + name, inner


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:12]}..."
