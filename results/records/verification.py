"""Check a record against its own fields and the files next to it: its identity, its files, its metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from foundation.environment import get_weights_dir
from foundation.errors import CheckpointError, RecordError
from foundation.files import sha256_file
from foundation.weights.shard_index import hash_weights, is_shard_index
from results.records.identity import AS_IS, build_run_identity
from results.records.record import PRETRAINING_DOMAIN, ConfidenceInterval, MetricValue, Record, StartCheckpoint
from results.statistics.estimates import count_right_items, is_proportion
from results.statistics.intervals import student_t_interval, wilson_interval
from results.statistics.item_files import (
    ItemTable,
    find_item_file,
    list_item_files,
    read_item_table,
    read_verified_file,
)
from results.statistics.per_item_outcomes import ItemOutcomes, NoItemValueError, build_sample, read_item_outcomes
from results.statistics.statistic_functions import MissingFunctionError

INTERVAL_TOLERANCE = 1e-6
"""How far a recomputed end of an interval may be from the recorded one, in the metric's unit.

Quantile functions of different scipy versions differ in the last digits.
"""

RENAMING_VERSION = 4
"""The schema version that renamed settings, so that ids of earlier records are others today."""

ROW_COLUMNS = frozenset({"label", "prediction", "place"})
"""Columns of a classification's table that say twice whether an item is right: ``place`` is the rank of the true class
by probability, 0 if it is the predicted one."""


CheckState = Literal["holds", "fails", "unchecked", "note"]


class VerificationCheck(NamedTuple):
    """The result of checking one thing.

    Attributes:
        subject: what was checked, for example ``run_id`` or a metric.
        state: ``unchecked`` if it could not be checked on this machine; ``note`` for what contradicts nothing, but a
            reader should know.
        message: a sentence with the details.
    """

    subject: str
    state: CheckState
    message: str


def verify_record(folder: Path, record: Record) -> list[VerificationCheck]:
    """Check everything about a record that can be checked from its folder alone.

    Args:
        folder: folder of the run.
        record: the record in that folder.
    """
    table = _read_table(folder, record)  # once: every metric is computed from it
    return [
        *_check_identity(record),
        *_check_folder_name(folder, record),
        *_check_start_weights(folder, record),
        *_check_item_files(folder, record, table),
        *_check_metrics(folder, record, table),
    ]


def _read_table(folder: Path, record: Record) -> ItemTable | None:
    """Return the per-item table, or ``None`` if it cannot be used; whoever needs it then reads it and says why."""
    try:
        return read_item_table(folder, record)
    except RecordError:
        return None


def _check_identity(record: Record) -> Iterator[VerificationCheck]:
    """Recompute the digests from the record's own fields."""
    found = build_run_identity(record)
    # the name next to the card is not part of the digests, so it is compared with the card, which is part of them
    named = record.backbone.card.get("name")
    if named != record.backbone.name:
        text = f"the record names backbone {record.backbone.name}, but its card is that of {named}"
        yield VerificationCheck("backbone", "fails", text)
    for what, stated, again in (
        ("run_id", record.run_id, found.run_id),
        ("comparability", record.comparability, found.comparability),
    ):
        if stated == again:
            yield VerificationCheck(what, "holds", f"{stated} follows from the record's own fields")
        elif record.schema_version == 1 and what == "run_id":
            yield VerificationCheck(what, "unchecked", "records of schema 1 computed it from other fields")
        else:
            text = (
                f"the record says {stated}, its fields give {again}: a field was changed (backbone, seed, config ...)"
            )
            yield VerificationCheck(what, "fails", text)


def _check_folder_name(folder: Path, record: Record) -> Iterator[VerificationCheck]:
    """Compare the folder's name, which says backbone, protocol, tier, seed and id; a renamed folder says nothing.

    That of an evaluation says neither tier nor seed: nothing is trained, and nothing is drawn.
    """
    name = folder.absolute().name
    stated = re.fullmatch(rf"(.+-seed\d+|.+-{AS_IS})-([0-9a-f]{{16}})(\.\d+)?", name)
    if stated is None:
        return
    backbone = record.backbone.name.replace("/", "_")
    cell = f"{backbone}-{record.protocol}" + ("" if record.is_evaluation else f"-{record.tier}-seed{record.seed}")
    # the folder of a record of schema 1 to 3 is named after the id that its settings had under their former names
    same_id = stated[2] == record.run_id or record.schema_version < RENAMING_VERSION
    if stated[1] == cell and same_id:
        said = "backbone, protocol and id" if record.is_evaluation else "backbone, protocol, tier, seed and id"
        yield VerificationCheck("folder", "holds", f"its name says the same {said}")
    else:
        yield VerificationCheck("folder", "fails", f"it is called {name}, but its record is {cell}-{record.run_id}")


def find_start_weights(checkpoint: StartCheckpoint, folder: Path) -> Path | None:
    """Return the file that a record names as its start weights, if it is at hand; its content is not compared.

    Args:
        checkpoint: what the record says about it.
        folder: the run's folder; a pre-training of the same store is found wherever the store has been moved to.
    """
    name = Path(checkpoint.uri.removeprefix("file:"))
    # a uri is a path, or the name of a downloaded file in the folder of weights
    places = [name, get_weights_dir() / name, *(above / Path(*name.parts[-3:]) for above in folder.parents[1:3])]
    return next((path for path in places if path.is_file()), None)


def _check_start_weights(folder: Path, record: Record) -> Iterator[VerificationCheck]:
    """Compare the weight file from which the run started with its recorded SHA-256, if the file still exists."""
    checkpoint = record.backbone.checkpoint
    if checkpoint is None:
        yield VerificationCheck("start weights", "holds", f"none: init {record.backbone.init}")
        return
    # a module from memory has a digest of its tensors, but there is no file to compare it with
    if record.backbone.init == "memory":
        yield VerificationCheck(
            "start weights", "unchecked", f"{checkpoint.uri} was a module in memory, which ended with its process"
        )
        return
    path = find_start_weights(checkpoint, folder)
    if path is None:
        yield VerificationCheck("start weights", "unchecked", f"{checkpoint.uri} is not on this machine")
        return
    try:
        # a record may name any file of this machine; one of another size is not hashed, which could take hours
        has_size = is_shard_index(path) or path.stat().st_size == checkpoint.bytes
        is_same = has_size and hash_weights(path) == checkpoint.sha256
    except (CheckpointError, OSError) as error:  # an index whose shards are not all there
        yield VerificationCheck("start weights", "unchecked", str(error))
        return
    if is_same:
        yield VerificationCheck("start weights", "holds", f"{path} has the SHA-256 of the record")
    else:
        yield VerificationCheck(
            "start weights", "fails", f"{path} is not the file from which the run started (its SHA-256 differs)"
        )


def _check_item_files(folder: Path, record: Record, table: ItemTable | None) -> Iterator[VerificationCheck]:
    """Compare the per-item files with their recorded SHA-256, and the table's content with the record."""
    if record.result is None:
        yield VerificationCheck("per-item files", "unchecked", f"the run is {record.status} and has none")
        return
    try:
        for path, sha256 in list_item_files(folder, record).items():
            is_table = path == find_item_file(folder / record.result.items.file)
            if not is_table:
                read_verified_file(path, sha256)
            elif table is None:
                table = read_item_table(folder, record)  # which says what is wrong
            yield VerificationCheck(path.name, "holds", f"it has the SHA-256 of the record, {sha256[:12]}...")
            if is_table and table:
                yield from _check_item_table(folder, record, table.columns)
    except RecordError as error:
        yield VerificationCheck("per-item files", "fails", str(error))


def _check_item_table(folder: Path, record: Record, table: dict[str, tuple[str, ...]]) -> Iterator[VerificationCheck]:
    """Check the table's number of rows and, for tracking, the hash of each sequence's predicted boxes."""
    assert record.result is not None
    # three independent statements of one number: the rows of the file, and what the record says twice
    counts = {"rows": len(next(iter(table.values()), ())), "items.rows": record.result.items.rows, "done": record.done}
    if set(counts.values()) != {record.expected}:
        stated = ", ".join(f"{name} {count}" for name, count in counts.items())
        yield VerificationCheck("number of items", "fails", f"{record.expected} are expected, but {stated}")
    if table.keys() >= ROW_COLUMNS and record.domain == "classification":
        rows = zip(table["label"], table["prediction"], table["place"], strict=True)
        wrong = sum((label == prediction) != (place == "0") for label, prediction, place in rows)
        if wrong:
            text = f"in {wrong} rows the place of the true class contradicts the prediction"
            yield VerificationCheck("items", "fails", text)
    # a tracking table has one row per sequence, whose column "boxes" is the SHA-256 of the sequence's result file
    if "boxes" in table and "sequence" in table:
        pairs = zip(table["sequence"], table["boxes"], strict=True)
        # Path(name).name: a sequence name that was edited into a path cannot point outside the folder
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
                "tracked boxes", state, f"{len(there)} of {len(files)} files exist and have the recorded SHA-256"
            )


def _check_metrics(folder: Path, record: Record, table: ItemTable | None) -> Iterator[VerificationCheck]:
    """Recompute every metric and its interval from the items."""
    if record.domain == PRETRAINING_DOMAIN:
        yield from _check_curve_end(folder, record)
        return
    for name, metric in (record.result.metrics if record.result else {}).items():
        try:
            outcomes = read_item_outcomes(folder, record, name, table)
        # these two do not contradict the number: there is nothing to recompute it from, or no function to do it with
        except (NoItemValueError, MissingFunctionError) as error:
            yield VerificationCheck(name, "unchecked", str(error))
            continue
        except RecordError as error:
            yield VerificationCheck(name, "fails", str(error))
            continue
        # read_item_outcomes has compared the recomputed metric with the recorded one
        yield VerificationCheck(
            name,
            "holds",
            f"{f'{metric.value:g} {metric.unit}'.strip()} follows from {len(outcomes.item_ids):,} items",
        )
        if metric.n != len(outcomes.item_ids):
            yield VerificationCheck(
                name, "fails", f"the record says n = {metric.n}, but there are {len(outcomes.item_ids)} items"
            )
        yield from _check_interval(name, metric, outcomes)


def _check_curve_end(folder: Path, record: Record) -> Iterator[VerificationCheck]:
    """Check a pre-training, whose table is the training curve and whose metrics are the curve's last values."""
    try:
        table = read_item_table(folder, record)
    except RecordError as error:
        yield VerificationCheck("curve", "fails", str(error))
        return
    for name, metric in (record.result.metrics if record.result else {}).items():
        # the last cell that is not empty: some columns are measured only every few epochs
        last = next((cell for cell in reversed(table.columns.get(name, ())) if cell), "nothing")
        if last == str(metric.value):
            yield VerificationCheck(
                name, "holds", f"{metric.value:g} {metric.unit} is the last value of the curve in {table.path.name}"
            )
        else:
            yield VerificationCheck(
                name, "fails", f"the record says {metric.value!r}, but the curve in {table.path.name} ends with {last}"
            )


def _check_interval(name: str, metric: MetricValue, outcomes: ItemOutcomes) -> Iterator[VerificationCheck]:
    """Recompute the interval by its recorded method."""
    stated = metric.interval
    if stated is None:
        return
    again = _recompute_interval(stated, outcomes)
    if again is None:
        yield VerificationCheck(f"interval of {name}", "unchecked", f"its method is not known here: {stated.method}")
    elif max(abs(stated.low - again.low), abs(stated.high - again.high)) <= INTERVAL_TOLERANCE:
        yield VerificationCheck(
            f"interval of {name}", "holds", f"{stated.low:.2f} to {stated.high:.2f}, {stated.method}"
        )
    else:
        text = f"the record says {stated.low:g} to {stated.high:g}, the items give {again.low:g} to {again.high:g}"
        yield VerificationCheck(f"interval of {name}", "fails", text)


def _recompute_interval(recorded: ConfidenceInterval, outcomes: ItemOutcomes) -> ConfidenceInterval | None:
    """Return the interval that the recorded method gives for the items, or ``None`` for an unknown method."""
    sample = build_sample([outcomes])
    if recorded.method == "wilson" and is_proportion(sample):
        right, total = count_right_items(sample)
        return wilson_interval(right, total, resampling_unit=recorded.resampling_unit, level=recorded.level)
    # a single run has several "seeds" only if it has draws (low-shot); its interval is over them
    if recorded.method.startswith("Student's t, n = ") and sample.num_seeds > 1:
        return student_t_interval(
            sample.seed_estimates.tolist(), resampling_unit=recorded.resampling_unit, level=recorded.level
        )
    return None
