"""Whether a record still follows from what lies beside it: its identity, its files, its metrics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from foundation.environment import weights_dir
from foundation.errors import RecordError
from foundation.files import sha256_file
from results.records.identity import identity_of
from results.records.record import PRETRAINING, Interval, Metric, Record
from results.statistics.estimates import is_share
from results.statistics.intervals import student_t, wilson_percent
from results.statistics.per_item_outcomes import (
    NoValueError,
    Outcomes,
    item_files,
    read_checked,
    read_outcomes,
    read_table,
    sample_of,
)

CLOSE = 1e-6
"""How far a recomputed end of an interval may be from the record's, in the metric's unit: another scipy."""


class Check(NamedTuple):
    """One thing that was looked at: it holds, it fails, or it could not be checked here; a sentence says more."""

    what: str
    state: Literal["holds", "fails", "unchecked"]
    text: str


def verify_record(folder: Path, record: Record) -> list[Check]:
    """Everything about a record that can be checked from its folder alone."""
    return [*_identity(record), *_start_file(record), *_item_files(folder, record), *_metrics(folder, record)]


def _identity(record: Record) -> Iterator[Check]:
    """The digests, recomputed from the record's own fields."""
    found = identity_of(record)
    named = record.backbone.card.get("name")
    if named != record.backbone.name:
        text = f"the record names backbone {record.backbone.name}, its card is that of {named}"
        yield Check("backbone", "fails", text)
    for what, stated, again in (
        ("run_id", record.run_id, found.run_id),
        ("comparability", record.comparability, found.comparability),
    ):
        if stated == again:
            yield Check(what, "holds", f"{stated} follows from the record's own fields")
        elif record.schema_version == 1 and what == "run_id":
            yield Check(what, "unchecked", "records of schema 1 made it of other fields")
        else:
            text = (
                f"the record says {stated}, its fields give {again}: a field was changed (backbone, seed, config ...)"
            )
            yield Check(what, "fails", text)


def _start_file(record: Record) -> Iterator[Check]:
    """The weight file that the run started from, where it is still there."""
    checkpoint = record.backbone.checkpoint
    if checkpoint is None:
        yield Check("start weights", "holds", f"none: init {record.backbone.init}")
        return
    name = checkpoint.uri.removeprefix("file:")
    path = next((path for path in (Path(name), weights_dir() / name) if path.is_file()), None)
    if path is None:
        yield Check("start weights", "unchecked", f"{checkpoint.uri} is not on this machine")
    elif sha256_file(path) == checkpoint.sha256:
        yield Check("start weights", "holds", f"{path} has the SHA-256 of the record")
    else:
        yield Check("start weights", "fails", f"{path} is another file than the one the run started from (its SHA-256)")


def _item_files(folder: Path, record: Record) -> Iterator[Check]:
    if record.result is None:
        yield Check("per-item files", "unchecked", f"the run is {record.status} and has none")
        return
    try:
        files = item_files(folder, record)
        for path, sha256 in files.items():
            content = read_checked(path, sha256)
            yield Check(path.name, "holds", f"it has the SHA-256 of the record, {sha256[:12]}...")
            if path.name == record.result.items.file:
                yield from _table(folder, record, content, path)
    except RecordError as error:
        yield Check("per-item files", "fails", str(error))


def _table(folder: Path, record: Record, content: bytes, path: Path) -> Iterator[Check]:
    """Its number of rows, and the boxes of each sequence that it has hashes of."""
    assert record.result is not None
    table = read_table(content, path)
    counts = {"rows": len(next(iter(table.values()), ())), "items.rows": record.result.items.rows, "done": record.done}
    if set(counts.values()) != {record.expected}:
        stated = ", ".join(f"{name} {count}" for name, count in counts.items())
        yield Check("number of items", "fails", f"{record.expected} are expected, but {stated}")
    if "boxes" in table and "sequence" in table:
        pairs = zip(table["sequence"], table["boxes"], strict=True)
        files = {folder / "tracked" / f"{Path(name).name}.txt": sha256 for name, sha256 in pairs}
        there = [file for file in files if file.is_file()]
        changed = [file.name for file in there if sha256_file(file) != files[file]]
        if changed:
            yield Check("tracked boxes", "fails", f"{', '.join(changed[:3])}: not the boxes that were scored")
        else:
            state: Literal["holds", "unchecked"] = "holds" if len(there) == len(files) else "unchecked"
            yield Check("tracked boxes", state, f"{len(there)} of {len(files)} files are there, with their SHA-256")


def _metrics(folder: Path, record: Record) -> Iterator[Check]:
    """Every metric from the items, and the interval beside it."""
    if record.domain == PRETRAINING:
        yield from _end_of_curve(folder, record)
        return
    for name, metric in (record.result.metrics if record.result else {}).items():
        try:
            outcomes = read_outcomes(folder, record, name)
        except RecordError as error:
            yield Check(name, "unchecked" if isinstance(error, NoValueError) else "fails", str(error))
            continue
        yield Check(name, "holds", f"{metric.value:g} {metric.unit} follows from {len(outcomes.ids):,} items")
        if metric.n != len(outcomes.ids):
            yield Check(name, "fails", f"the record says n = {metric.n}, there are {len(outcomes.ids)} items")
        yield from _interval(name, metric, outcomes)


def _end_of_curve(folder: Path, record: Record) -> Iterator[Check]:
    """A pre-training's table is its curve, and its metrics are the curve's last values."""
    try:
        (path, sha256), *_ = item_files(folder, record).items()
        curve = read_table(read_checked(path, sha256), path)
    except RecordError as error:
        yield Check("curve", "fails", str(error))
        return
    for name, metric in (record.result.metrics if record.result else {}).items():
        last = next((cell for cell in reversed(curve.get(name, ())) if cell), "nothing")
        if last == str(metric.value):
            yield Check(name, "holds", f"{metric.value:g} {metric.unit} ends the curve of {path.name}")
        else:
            yield Check(name, "fails", f"the record says {metric.value!r}, the curve in {path.name} ends with {last}")


def _interval(name: str, metric: Metric, outcomes: Outcomes) -> Iterator[Check]:
    stated = metric.interval
    if stated is None:
        return
    again = _interval_again(name, stated, outcomes)
    if again is None:
        yield Check(f"interval of {name}", "unchecked", f"no rule is known for its method, {stated.method}")
    elif max(abs(stated.low - again.low), abs(stated.high - again.high)) <= CLOSE:
        yield Check(f"interval of {name}", "holds", f"{stated.low:.2f} to {stated.high:.2f}, {stated.method}")
    else:
        text = f"the record says {stated.low:g} to {stated.high:g}, the items give {again.low:g} to {again.high:g}"
        yield Check(f"interval of {name}", "fails", text)


def _interval_again(name: str, stated: Interval, outcomes: Outcomes) -> Interval | None:
    sample = sample_of([outcomes], name)
    if stated.method == "wilson" and is_share(sample):
        right = round(float(sample.values.sum()) / 100)
        return wilson_percent(right, sample.values.size, over=stated.over, level=stated.level)
    if stated.method.startswith("Student's t, n = ") and sample.seeds > 1:
        return student_t(sample.estimates.tolist(), over=stated.over, level=stated.level)
    return None
