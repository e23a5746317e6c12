"""Whether a record still follows from what lies beside it: its identity, its files, its metrics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from foundation.environment import get_weights_dir
from foundation.errors import RecordError
from foundation.files import sha256_file
from results.records.identity import build_run_identity
from results.records.record import PRETRAINING_DOMAIN, ConfidenceInterval, MetricValue, Record
from results.statistics.estimates import count_right_items, is_proportion
from results.statistics.intervals import student_t_interval, wilson_interval
from results.statistics.item_files import ItemTable, list_item_files, read_item_table, read_verified_file
from results.statistics.per_item_outcomes import ItemOutcomes, NoItemValueError, build_sample, read_item_outcomes
from results.statistics.statistic_functions import MissingFunctionError

INTERVAL_TOLERANCE = 1e-6
"""How far a recomputed end of an interval may be from the record's, in the metric's unit: another scipy."""


class VerificationCheck(NamedTuple):
    """One thing that was looked at: it holds, it fails, or it could not be checked here; a sentence says more."""

    subject: str
    state: Literal["holds", "fails", "unchecked"]
    message: str


def verify_record(folder: Path, record: Record) -> list[VerificationCheck]:
    """Everything about a record that can be checked from its folder alone."""
    return [
        *_check_identity(record),
        *_check_start_weights(record),
        *_check_item_files(folder, record),
        *_check_metrics(folder, record),
    ]


def _check_identity(record: Record) -> Iterator[VerificationCheck]:
    """The digests, recomputed from the record's own fields."""
    found = build_run_identity(record)
    named = record.backbone.card.get("name")
    if named != record.backbone.name:
        text = f"the record names backbone {record.backbone.name}, its card is that of {named}"
        yield VerificationCheck("backbone", "fails", text)
    for what, stated, again in (
        ("run_id", record.run_id, found.run_id),
        ("comparability", record.comparability, found.comparability),
    ):
        if stated == again:
            yield VerificationCheck(what, "holds", f"{stated} follows from the record's own fields")
        elif record.schema_version == 1 and what == "run_id":
            yield VerificationCheck(what, "unchecked", "records of schema 1 made it of other fields")
        else:
            text = (
                f"the record says {stated}, its fields give {again}: a field was changed (backbone, seed, config ...)"
            )
            yield VerificationCheck(what, "fails", text)


def _check_start_weights(record: Record) -> Iterator[VerificationCheck]:
    """The weight file that the run started from, where it is still there."""
    checkpoint = record.backbone.checkpoint
    if checkpoint is None:
        yield VerificationCheck("start weights", "holds", f"none: init {record.backbone.init}")
        return
    if record.backbone.init == "memory":
        yield VerificationCheck(
            "start weights", "unchecked", f"{checkpoint.uri} was a module in the memory of the process that ran it"
        )
        return
    name = checkpoint.uri.removeprefix("file:")
    path = next((path for path in (Path(name), get_weights_dir() / name) if path.is_file()), None)
    if path is None:
        yield VerificationCheck("start weights", "unchecked", f"{checkpoint.uri} is not on this machine")
    elif sha256_file(path) == checkpoint.sha256:
        yield VerificationCheck("start weights", "holds", f"{path} has the SHA-256 of the record")
    else:
        yield VerificationCheck(
            "start weights", "fails", f"{path} is another file than the one the run started from (its SHA-256)"
        )


def _check_item_files(folder: Path, record: Record) -> Iterator[VerificationCheck]:
    if record.result is None:
        yield VerificationCheck("per-item files", "unchecked", f"the run is {record.status} and has none")
        return
    try:
        for path, sha256 in list_item_files(folder, record).items():
            is_table = path.name == record.result.items.file
            table = read_item_table(folder, record) if is_table else read_verified_file(path, sha256)
            yield VerificationCheck(path.name, "holds", f"it has the SHA-256 of the record, {sha256[:12]}...")
            if isinstance(table, ItemTable):
                yield from _check_item_table(folder, record, table.columns)
    except RecordError as error:
        yield VerificationCheck("per-item files", "fails", str(error))


def _check_item_table(folder: Path, record: Record, table: dict[str, tuple[str, ...]]) -> Iterator[VerificationCheck]:
    """Its number of rows, and the boxes of each sequence that it has hashes of."""
    assert record.result is not None
    counts = {"rows": len(next(iter(table.values()), ())), "items.rows": record.result.items.rows, "done": record.done}
    if set(counts.values()) != {record.expected}:
        stated = ", ".join(f"{name} {count}" for name, count in counts.items())
        yield VerificationCheck("number of items", "fails", f"{record.expected} are expected, but {stated}")
    if "boxes" in table and "sequence" in table:
        pairs = zip(table["sequence"], table["boxes"], strict=True)
        files = {folder / "tracked" / f"{Path(name).name}.txt": sha256 for name, sha256 in pairs}
        there = [file for file in files if file.is_file()]
        changed = [file.name for file in there if sha256_file(file) != files[file]]
        if changed:
            yield VerificationCheck(
                "tracked boxes", "fails", f"{', '.join(changed[:3])}: not the boxes that were scored"
            )
        else:
            state: Literal["holds", "unchecked"] = "holds" if len(there) == len(files) else "unchecked"
            yield VerificationCheck(
                "tracked boxes", state, f"{len(there)} of {len(files)} files are there, with their SHA-256"
            )


def _check_metrics(folder: Path, record: Record) -> Iterator[VerificationCheck]:
    """Every metric from the items, and the interval beside it."""
    if record.domain == PRETRAINING_DOMAIN:
        yield from _check_curve_end(folder, record)
        return
    for name, metric in (record.result.metrics if record.result else {}).items():
        try:
            outcomes = read_item_outcomes(folder, record, name)
        except (NoItemValueError, MissingFunctionError) as error:
            yield VerificationCheck(name, "unchecked", str(error))
            continue
        except RecordError as error:
            yield VerificationCheck(name, "fails", str(error))
            continue
        yield VerificationCheck(
            name,
            "holds",
            f"{f'{metric.value:g} {metric.unit}'.strip()} follows from {len(outcomes.item_ids):,} items",
        )
        if metric.n != len(outcomes.item_ids):
            yield VerificationCheck(
                name, "fails", f"the record says n = {metric.n}, there are {len(outcomes.item_ids)} items"
            )
        yield from _check_interval(name, metric, outcomes)


def _check_curve_end(folder: Path, record: Record) -> Iterator[VerificationCheck]:
    """A pre-training's table is its curve, and its metrics are the curve's last values."""
    try:
        table = read_item_table(folder, record)
    except RecordError as error:
        yield VerificationCheck("curve", "fails", str(error))
        return
    for name, metric in (record.result.metrics if record.result else {}).items():
        last = next((cell for cell in reversed(table.columns.get(name, ())) if cell), "nothing")
        if last == str(metric.value):
            yield VerificationCheck(
                name, "holds", f"{metric.value:g} {metric.unit} ends the curve of {table.path.name}"
            )
        else:
            yield VerificationCheck(
                name, "fails", f"the record says {metric.value!r}, the curve in {table.path.name} ends with {last}"
            )


def _check_interval(name: str, metric: MetricValue, outcomes: ItemOutcomes) -> Iterator[VerificationCheck]:
    stated = metric.interval
    if stated is None:
        return
    again = _recompute_interval(stated, outcomes)
    if again is None:
        yield VerificationCheck(f"interval of {name}", "unchecked", f"no rule is known for its method, {stated.method}")
    elif max(abs(stated.low - again.low), abs(stated.high - again.high)) <= INTERVAL_TOLERANCE:
        yield VerificationCheck(
            f"interval of {name}", "holds", f"{stated.low:.2f} to {stated.high:.2f}, {stated.method}"
        )
    else:
        text = f"the record says {stated.low:g} to {stated.high:g}, the items give {again.low:g} to {again.high:g}"
        yield VerificationCheck(f"interval of {name}", "fails", text)


def _recompute_interval(recorded: ConfidenceInterval, outcomes: ItemOutcomes) -> ConfidenceInterval | None:
    sample = build_sample([outcomes])
    if recorded.method == "wilson" and is_proportion(sample):
        right, total = count_right_items(sample)
        return wilson_interval(right, total, resampling_unit=recorded.resampling_unit, level=recorded.level)
    if recorded.method.startswith("Student's t, n = ") and sample.num_seeds > 1:
        return student_t_interval(
            sample.seed_estimates.tolist(), resampling_unit=recorded.resampling_unit, level=recorded.level
        )
    return None
