"""Which published number a row of ours may stand beside, and why the others may not.

The rule: same task, same protocol (so the same head), the protocol's whole schedule (tier ``full`` on the official
data, with the settings that the published row names), the same backbone by its card's name, and the same start:
random weights, or the card's own. Everything else is context.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from results.published.rows import PublishedResult
from results.records.record import Record
from results.statistics.rounding import ROUNDING_TOLERANCE


class PublishedComparison(NamedTuple):
    """A published number beside one of ours; ``difference`` is ours minus theirs, in the metric's unit."""

    published: PublishedResult
    difference: float

    @property
    def is_within_tolerance(self) -> bool:
        """Whether the difference is inside the published row's tolerance."""
        tolerance = self.published.tolerance
        # a row that may stand beside ours has a tolerance; numbers are printed to a tenth or a hundredth
        return tolerance is not None and abs(self.difference) <= tolerance.value + ROUNDING_TOLERANCE


class UnmatchedResult(NamedTuple):
    """A published number that stands beside none of ours, and the reason."""

    published: PublishedResult
    reason: str


def match_published(published: Sequence[PublishedResult], record: Record, value: float) -> PublishedComparison | None:
    """The published number that a row may stand beside, if there is one.

    Args:
        published: all published rows.
        record: one of the row's records.
        value: the row's primary metric.
    """
    if record.result is None:
        return None
    for row in published:
        if row.metric == record.result.primary_metric and explain_mismatch(row, record) is None:
            return PublishedComparison(row, value - row.value)
    return None


def find_unmatched_published(
    published: Sequence[PublishedResult], boards: Mapping[Any, Sequence[Record]]
) -> tuple[UnmatchedResult, ...]:
    """The published rows that stand beside none of ours, each with the reason of the run that comes nearest.

    Args:
        published: all published rows.
        boards: records by board, one a backbone and start.
    """
    records = [record for rows in boards.values() for record in rows]
    by_task: dict[str, list[Record]] = {}
    for record in records:
        by_task.setdefault(record.task, []).append(record)
    found = []
    for row in published:
        reasons = [find_first_mismatch(row, record) for record in by_task.get(row.task, [])]
        if any(None is each for each in reasons):
            continue
        nearest = max(
            (each for each in reasons if each is not None), default=find_inherent_mismatch(row) or (0, "no run of ours")
        )
        found.append(UnmatchedResult(row, nearest[1]))
    return tuple(found)


def explain_mismatch(row: PublishedResult, record: Record) -> str | None:
    """Why a published row may not stand beside a run; ``None`` where it may."""
    found = find_first_mismatch(row, record)
    return found[1] if found else None


def find_first_mismatch(row: PublishedResult, record: Record) -> tuple[int, str] | None:
    """As ``explain_mismatch``, with how near the two come: the number of conditions that hold."""
    return next(_iter_mismatches(row, record), None)


def find_inherent_mismatch(row: PublishedResult) -> tuple[int, str] | None:
    """Why a published row may stand beside no run whatever."""
    if row.external:
        return 0, "bench has no such backbone"
    if row.superseded_by:
        return 0, f"corrected by {row.superseded_by}"
    if row.protocol is None:
        return 0, "no protocol of ours has its head and schedule"
    if row.init == "other":
        return 0, f"starts from weights that no card names: {row.start}"
    return None


def _iter_mismatches(row: PublishedResult, record: Record) -> Iterator[tuple[int, str]]:
    if own := find_inherent_mismatch(row):
        yield own
    if record.task != row.task:
        yield 1, f"no run of ours on {row.task}"
    if record.protocol != row.protocol:
        yield 2, f"no run of ours by {row.protocol}; those here are by another protocol"
    if record.backbone.name != row.backbone:
        yield 3, f"no run of {row.backbone} by {row.protocol}"
    if record.tier != "full":
        yield 4, f"ours is of tier {record.tier}, not the full schedule"
    if record.data.deviations:
        yield 5, "ours was scored on data that are not the official set"
    if record.backbone.init != row.init or record.backbone.allow_partial:
        ours = "part of its weights" if record.backbone.allow_partial else _INIT_DESCRIPTIONS[record.backbone.init]
        yield 6, f"ours starts from {ours}, theirs from {row.start}"
    if "data_scale" in record.config:
        yield 7, "ours was trained on a part of the data"
    recipe = record.config.get("recipe", {})
    for name, theirs in row.settings.items():
        if (ours := _get_nested_setting(recipe, name)) != theirs:
            yield 8, f"{name} is {theirs} there and {ours} here"


_INIT_DESCRIPTIONS = {
    "random": "random weights",
    "card": "the card's weights",
    "checkpoint": "a weight file named by hand",
    "memory": "a module from memory",
}


def _get_nested_setting(recipe: Mapping[str, Any], name: str) -> Any:
    value: Any = recipe
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
