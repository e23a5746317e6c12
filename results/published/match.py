"""Decide which published number is comparable with a row of ours, and say why the others are not.

A published number is comparable if all of this is equal: the task; the protocol (and with it the head); the complete
schedule (tier ``full`` on the official data, with the settings that the published row names); the backbone, by the name
of its card; and the start, which is random weights or the card's own weights. Every other published number is context.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from results.published.rows import PublishedResult
from results.records.record import Record
from results.statistics.rounding import ROUNDING_TOLERANCE


class PublishedComparison(NamedTuple):
    """A published number that is comparable with a row of ours.

    Attributes:
        published: the published row.
        difference: our value minus the published value, in the metric's unit.
    """

    published: PublishedResult
    difference: float

    @property
    def is_within_tolerance(self) -> bool:
        """Return whether the difference is within the tolerance of the published row."""
        tolerance = self.published.tolerance
        # Comparable rows always have a tolerance. Published numbers have one or two decimals, so a difference may be
        # exactly the tolerance, which has to count as within in spite of rounding.
        return tolerance is not None and abs(self.difference) <= tolerance.value + ROUNDING_TOLERANCE


class UnmatchedResult(NamedTuple):
    """A published number without a comparable run of ours, and the reason."""

    published: PublishedResult
    reason: str


def match_published(published: Sequence[PublishedResult], record: Record, value: float) -> PublishedComparison | None:
    """Return the published number that is comparable with a row, or ``None`` if there is none.

    Args:
        published: all published rows.
        record: one of the row's records.
        value: the row's value of its primary metric.
    """
    if record.result is None:
        return None
    for row in published:
        if explain_mismatch(row, record) is None:
            return PublishedComparison(row, value - row.value)
    return None


def find_unmatched_published(
    published: Sequence[PublishedResult], boards: Mapping[Any, Sequence[Record]]
) -> tuple[UnmatchedResult, ...]:
    """Return the published rows without a comparable run, each with the reason why the nearest run does not match.

    Args:
        published: all published rows.
        boards: records by board, one for each backbone and start.
    """
    records = [record for rows in boards.values() for record in rows]
    by_task: dict[str, list[Record]] = {}
    for record in records:
        by_task.setdefault(record.task, []).append(record)
    found = []
    for row in published:
        reasons = [find_first_mismatch(row, record) for record in by_task.get(row.task, [])]
        if any(None is each for each in reasons):
            continue  # a run matches: the number is displayed in that run's row instead
        # a reason is (number of conditions that hold, text); the run for which most conditions hold is the nearest
        nearest = max(
            (each for each in reasons if each is not None), default=find_inherent_mismatch(row) or (0, "no run of ours")
        )
        found.append(UnmatchedResult(row, nearest[1]))
    return tuple(found)


def explain_mismatch(row: PublishedResult, record: Record) -> str | None:
    """Return why a published row is not comparable with a run, or ``None`` if it is comparable."""
    found = find_first_mismatch(row, record)
    return found[1] if found else None


def find_first_mismatch(row: PublishedResult, record: Record) -> tuple[int, str] | None:
    """Return the first condition that fails as (number of conditions that hold before it, reason), or ``None``."""
    return next(_iter_mismatches(row, record), None)


def find_inherent_mismatch(row: PublishedResult) -> tuple[int, str] | None:
    """Return why a published row is not comparable with any run at all, as (0, reason), or ``None``."""
    if row.external:
        return 0, "bench does not have this backbone"
    if row.superseded_by:
        return 0, f"corrected by {row.superseded_by}"
    if row.protocol is None:
        return 0, "bench has no protocol with this head and schedule"
    if row.init == "other":
        return 0, f"starts from weights that no backbone card has: {row.start}"
    return None


def _iter_mismatches(row: PublishedResult, record: Record) -> Iterator[tuple[int, str]]:
    """Yield every condition that fails, from the most basic one to the most detailed one, with its position."""
    # the order matters: the first failing condition is the reason that is displayed, and its position is the nearness
    if own := find_inherent_mismatch(row):
        yield own
    if record.task != row.task:
        yield 1, f"no run of ours on {row.task}"
    if record.protocol != row.protocol:
        yield 2, f"no run of ours with protocol {row.protocol}; the runs here use another protocol"
    if record.backbone.name != row.backbone:
        yield 3, f"no run of {row.backbone} with protocol {row.protocol}"
    if record.tier != "full":
        yield 4, f"our run has tier {record.tier}, not the full schedule"
    if record.data.deviations:
        yield 5, "our run was scored on data that are not the official set"
    if record.backbone.init != row.init or record.backbone.allow_partial:
        ours = "part of its weights" if record.backbone.allow_partial else _INIT_DESCRIPTIONS[record.backbone.init]
        yield 6, f"our run starts from {ours}, theirs from {row.start}"
    if "data_scale" in record.config:
        yield 7, "our run was trained on a part of the data"
    if record.non_identity_settings.get("teacher_checkpoint") is not None:
        yield 7, "our run's teacher has the weights of a file given with --teacher-checkpoint"
    # only the settings that the source states are compared; a recipe has many more that no paper mentions
    recipe = record.config.get("recipe", {})
    for name, theirs in row.settings.items():
        if (ours := _get_nested_setting(recipe, name)) != theirs:
            yield 8, f"{name} is {theirs} in the source and {ours} in our run"
    # a board has one metric; the others of a run that is comparable are said here
    if record.result is not None and row.metric != (primary := record.result.primary_metric):
        other = record.result.metrics.get(row.metric)
        has = "has none" if other is None else f"has {other.value:.1f}"
        yield 9, f"the board compares {primary}; our run {has}"


_INIT_DESCRIPTIONS = {
    "random": "random weights",
    "card": "the card's weights",
    "checkpoint": "a weight file given with --checkpoint",
    "memory": "a module from memory",
}


def _get_nested_setting(recipe: Mapping[str, Any], name: str) -> Any:
    """Return the value of a dotted setting such as ``optimizer.lr``, or ``None`` if the recipe does not have it."""
    value: Any = recipe
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
