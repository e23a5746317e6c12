"""Check a record against its task as it is today and the data at hand: metrics, data, items, settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.cell_record import complete_settings
from benchmarks.task_registry import TASKS, describe_task_source
from benchmarks.verify.recorded_command import list_requested_values, parse_recorded_command
from benchmarks.verify.replay import ReplayedPlan, replan_run, resolve_record_root
from benchmarks.verify.stored_predictions import check_stored_predictions
from engine.data.item_limits import limit_test_items
from engine.run_environment import collect_package_versions
from engine.settings.setting_text import parse_value
from engine.task import DataReport, Task
from foundation.errors import BenchError, ConfigError, RecordError
from foundation.run_scope import memoize_in_run
from results.records.record import PRETRAINING_DOMAIN, Record
from results.records.verification import VerificationCheck
from results.statistics.item_files import read_item_table

COVERAGE_VERSION = 5
"""The schema version from which on fingerprints cover the content of image files and what a plan computes is in ids."""

TASKS_WITH_OLD_RULE = ("digits",)
"""Tasks whose fingerprint follows the same rule in all versions, so that another one means other data."""


def check_metric_specs(record: Record, task: Task) -> Iterator[VerificationCheck]:
    """Check that the record's metrics have the unit, direction and statistic that the task declares."""
    for spec in task.metrics:
        metric = record.result.metrics.get(spec.name) if record.result else None
        if metric is None:
            continue
        if (metric.unit, metric.higher_is_better) != (spec.unit, spec.higher_is_better):
            yield VerificationCheck(spec.name, "fails", f"the task declares {spec}, the record says otherwise")
        # a record that says nothing is older, or made before the task declared it; that is no contradiction
        if metric.statistic is not None and metric.statistic.to_statistic() != spec.statistic:
            text = f"the task declares {spec.statistic}, the record says {metric.statistic.to_statistic()}"
            yield VerificationCheck(spec.name, "fails", text)
    if record.result and record.result.primary_metric != task.metrics[0].name:
        text = f"the record calls {record.result.primary_metric} primary, the task {task.metrics[0].name}"
        yield VerificationCheck("primary metric", "fails", text)


def check_against_task(folder: Path, record: Record, data_dir: Path) -> Iterator[VerificationCheck]:
    """Check everything that task and data say about a record.

    Args:
        folder: the run's folder.
        record: its record.
        data_dir: folder of the data sets; where it does not exist, the record says where its data were.
    """
    if record.domain == PRETRAINING_DOMAIN:
        yield VerificationCheck("data", "unchecked", "the images of a pre-training are not read again")
        return
    try:
        task = TASKS.get(record.task)
    except BenchError as error:
        yield VerificationCheck("task", "unchecked", str(error))
        return
    yield from check_metric_specs(record, task)
    yield from check_task_source(record, task)
    root = resolve_record_root(record, data_dir)
    try:
        found = _read_data(record.task, root)
    except BenchError as error:
        yield VerificationCheck("data", "unchecked", str(error))
        return
    yield from _compare_data(record, found)
    # on other data neither the items nor their number can be compared
    if found.fingerprint == record.data.fingerprint or record.data.coverage is None:
        yield from check_items(folder, record, task.list_test_items, root)
    if found.fingerprint == record.data.fingerprint:
        yield from check_stored_predictions(folder, record, task, root)
    yield from _check_settings(record, found, root)


def check_task_source(record: Record, task: Task) -> Iterator[VerificationCheck]:
    """Compare the code of a plug-in task with the record's; that it was edited since is no fault of the record."""
    source = describe_task_source(task).sha256
    if source != record.task_source and record.schema_version >= COVERAGE_VERSION:
        yield VerificationCheck("task", "unchecked", f"the code of {task.name} here is not that of the run")


# a folder may hold hundreds of runs on one data set, and reading a set takes minutes
@memoize_in_run
def _read_data(task: str, root: Path) -> DataReport:
    return TASKS.get(task).check_data(root)


def _compare_data(record: Record, found: DataReport) -> Iterator[VerificationCheck]:
    """Compare the content of the data at hand with what the record says of its data."""
    stated = record.data
    here = f"the data here are {found.fingerprint[:12]}..., the run's were {stated.fingerprint[:12]}..."
    if found.fingerprint != stated.fingerprint:
        if stated.coverage is None and record.task not in TASKS_WITH_OLD_RULE:
            text = f"{here}; made by an earlier version, whose fingerprint covered names and sizes of image files only"
            yield VerificationCheck("data", "unchecked", text)
        else:
            yield VerificationCheck("data", "fails", here)
        return
    same_lists = list(found.deviations) == stated.deviations
    if stated.coverage is not None:
        same_lists = same_lists and list(found.duplicates) == stated.duplicates and found.coverage == stated.coverage
    if dict(found.splits) != stated.splits or not same_lists:
        text = f"the fingerprint holds, but splits, deviations or duplicates here are others: {dict(found.splits)}"
        yield VerificationCheck("data", "fails", text)
    else:
        text = f"fingerprint {found.fingerprint[:12]}... over {found.coverage}, {sum(found.splits.values()):,} items"
        yield VerificationCheck("data", "holds", text)


def check_items(
    folder: Path, record: Record, list_test_items: Callable[[Path], Mapping[str, Sequence[object]]], root: Path
) -> Iterator[VerificationCheck]:
    """Compare the names and labels in the per-item table with the list of the test split, in any order of rows.

    Args:
        folder: the run's folder.
        record: its record.
        list_test_items: lists the test split below a data root, as a task does.
        root: folder of the data sets.
    """
    if record.result is None:
        return
    what = "items"
    try:
        expected = limit_test_items(list_test_items(root), record.config.get("recipe"))
        table = read_item_table(folder, record).columns
    except RecordError:  # reported with the per-item files
        return
    except BenchError as error:
        yield VerificationCheck(what, "unchecked", str(error))
        return
    if not expected:
        yield VerificationCheck(what, "unchecked", f"task {record.task} does not list its test items")
        return
    if lacking := [name for name in expected if name not in table]:
        yield VerificationCheck(what, "fails", f"the table has no column {lacking[0]}")
        return
    listed = Counter(_join_columns(expected))
    draws = table.get("draw", ("",) * len(next(iter(table.values()))))
    scored = {draw: Counter[str]() for draw in draws}
    for draw, row in zip(draws, _join_columns({name: table[name] for name in expected}), strict=True):
        scored[draw][row] += 1
    missing = sum((listed - rows).total() for rows in scored.values())
    strange = sum((rows - listed).total() for rows in scored.values())
    columns = " and ".join(expected)
    if missing or strange or not scored:
        text = (
            f"{missing} of the split's {listed.total()} items are missing in the table, and {strange} in it are not in "
            f"the split ({columns} are compared)"
        )
        is_same_data = _read_data(record.task, root).fingerprint == record.data.fingerprint
        yield VerificationCheck(what, "fails" if is_same_data else "unchecked", text)
    else:
        yield VerificationCheck(what, "holds", f"{columns} of {listed.total()} items are those of the test split")


def _join_columns(columns: Mapping[str, Sequence[object]]) -> Iterator[str]:
    """Yield the cells of each row as one text."""
    return (",".join(map(str, cells)) for cells in zip(*columns.values(), strict=True))


def _check_settings(record: Record, data: DataReport, root: Path) -> Iterator[VerificationCheck]:
    """Compare the record's settings with the protocol's file at its version and tier, and with the command."""
    what = "settings"
    try:
        again = replan_run(record, data, root)
        options = parse_recorded_command(record)
    except (BenchError, ValueError, KeyError, TypeError) as error:  # settings of another version, or edited ones
        yield VerificationCheck(what, "unchecked", f"they cannot be planned again: {str(error).splitlines()[0]}")
        return
    plan = again.plan
    if plan.protocol_version != record.protocol_version:
        text = f"the record is of {record.protocol} version {record.protocol_version}, here is {plan.protocol_version}"
        # an earlier version may have been today's once, but this very bench cannot have had a later one
        own_version = collect_package_versions()["litevit-bench"]
        is_later = record.protocol_version > plan.protocol_version
        is_impossible = is_later and record.environment.packages.get("litevit-bench") == own_version
        yield VerificationCheck(what, "fails" if is_impossible else "unchecked", text)
        return
    if data.fingerprint == record.data.fingerprint and plan.num_expected_items != record.expected:
        text = f"the record says {record.expected}, task and data {plan.num_expected_items}"
        yield VerificationCheck("expected", "fails", text)
    if dict(plan.backbone_kwargs) != record.backbone.arguments:
        text = f"the record says {record.backbone.arguments}, the settings give {dict(plan.backbone_kwargs)}"
        yield VerificationCheck("arguments", "fails", text)
    if again.computed:
        # number of processes and earlier versions change what a plan computes, without being a fault
        is_known = record.schema_version >= COVERAGE_VERSION and record.environment.processes == 1
        text = f"today's plan has other values of {', '.join(again.computed)}"
        yield VerificationCheck(what, "fails" if is_known else "unchecked", text)
    stated = record.changed_settings
    if stated is not None and set(stated) != again.file_values.keys():
        listed = [", ".join(sorted(names)) or "none" for names in (stated, again.file_values)]
        text = f"the record says that these differ from the protocol's file: {listed[0]}; it is {listed[1]}"
        yield VerificationCheck(what, "fails", text)
    yield from _compare_with_file(record, again, list_requested_values(options) if options else None)


def _parse_recorded(text: str) -> object:
    """Parse a value of a recorded command; a text that no command line takes stands for itself."""
    try:
        return parse_value(text)
    except ConfigError:
        return text


def _compare_with_file(
    record: Record, again: ReplayedPlan, requested: Mapping[str, Sequence[str]] | None
) -> Iterator[VerificationCheck]:
    """Check that the command named every setting that differs from the protocol's file.

    Args:
        record: the record.
        again: which settings differ.
        requested: the texts that the command gave to each setting; ``None`` where no command says it.
    """
    what, file = "settings", f"the file of {record.protocol} (version {record.protocol_version}, {record.tier})"
    stated = complete_settings(again.plan, record.config.get("recipe", {}))
    differing = [
        # equal values differ where the file's is for another batch size
        f"{name}={stated[name]!r} (file: {value!r}{', scaled with batch_size' if value == stated[name] else ''})"
        for name, value in again.file_values.items()
    ]
    if requested is None:
        if differing:
            yield VerificationCheck(what, "note", f"differs from {file} in: {', '.join(differing)}")
        else:
            yield VerificationCheck(what, "holds", f"those of {file}")
        return
    unnamed = [name for name in again.file_values if name not in requested and name not in again.adapted]
    ignored = [
        f"{name}={' or '.join(texts)}"
        for name, texts in requested.items()
        if name in stated and stated[name] not in map(_parse_recorded, texts)
    ]
    if unnamed:
        named = ", ".join(text for text in differing if text.partition("=")[0] in unnamed)
        text = f"differs from {file} in: {named}; the recorded command does not ask for it"
        yield VerificationCheck(what, "fails", text)
    elif ignored:
        text = f"the recorded command asks for {', '.join(ignored)}, and the record has other values"
        yield VerificationCheck(what, "fails", text)
    else:
        told = (
            f"differs from {file} in: {', '.join(differing)}; as the command asks" if differing else f"those of {file}"
        )
        yield VerificationCheck(what, "holds", told)
