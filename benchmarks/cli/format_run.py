"""Format a run for a reader: its score first, then everything that made it. ``--json`` has the record itself."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from foundation.display_text import cut_sentences, cut_text, format_one_line
from foundation.plural import format_count

# only for annotations: the module imports pydantic
if TYPE_CHECKING:
    from results.records.measurements import RunEnvironment
    from results.records.record import BackboneRecord, DatasetRecord, MetricValue, Record

_SHOWN_PACKAGES = ("litevit-bench", "torch", "torchvision", "timm", "numpy", "scikit-learn", "onedl-mmengine")
"""Packages whose version is displayed; the record has all of them."""

_MAX_LISTED_TENSORS = 5
"""Maximum number of tensors that are listed by name for each group of a load report."""


def format_run(folder: Path, record: Record, pictures: list[str] | str) -> str:
    """Return a run as text: status and reason if it has no number, score and interval, and what made it.

    Args:
        folder: the run's folder.
        record: its record.
        pictures: the paths of its pictures, or why there are none.
    """
    from results.leaderboard.departures import list_departures

    parts = (record.task, record.protocol, record.tier, ", ".join(list_departures(record)))
    lines = [*_list_status(record), *_list_scores(record), " · ".join(filter(None, parts))]
    lines += [f"{name}: {text}" for name, text in _list_facts(record)]
    if record.earlier_attempts:
        attempts = describe_attempts(record)
        lines += ["attempts:", *(f"  {number}: {text}" for number, text in attempts.items())]
    if isinstance(pictures, str):
        lines.append(f"pictures: {pictures}")
    elif pictures:
        lines += ["pictures:", *(f"  {line}" for line in _list_pictures(folder, pictures))]
    lines.append(f"record: {folder / 'record.json'} (--json writes all of it)")
    return "\n".join(format_one_line(line) for line in lines)


def format_metric(name: str, metric: MetricValue) -> str:
    """Return a metric with its interval: ``top1 97.77 % (95.67 to 98.87, 95 % over images)``."""
    # a number without a unit may be a loss, whose second decimal says too little
    text = f"{name} {metric.value:.2f} {metric.unit}" if metric.unit else f"{name} {metric.value:.4f}"
    if metric.interval is None:
        return text
    low, high, level = metric.interval.low, metric.interval.high, 100 * metric.interval.level
    if metric.unit == "%":  # Student's t over a few draws knows no ends; the record keeps what it computed
        low, high = max(low, 0.0), min(high, 100.0)
    return f"{text} ({low:.2f} to {high:.2f}, {level:.0f} % over {metric.interval.resampling_unit})"


def describe_attempts(record: Record) -> dict[str, str]:
    """Return a line for each attempt at a run, by number: when and where it began, and what it changed."""
    from benchmarks.cell_record import list_environment_changes

    attempts = [*record.earlier_attempts, record.environment]
    lines = {}
    for number, (before, each) in enumerate(zip([None, *attempts], attempts, strict=False), start=1):
        changes = list_environment_changes(before, each) if before else []
        words = [each.started, each.device, format_count(each.threads, "thread"), f"torch {each.packages.get('torch')}"]
        lines[str(number)] = ", ".join([*words, *(f"changed: {change}" for change in changes)])
    return lines


def _list_status(record: Record) -> Iterator[str]:
    """Yield the status and the reason of a run that is not complete."""
    if record.status != "complete":
        reason = f": {cut_text(record.reason)}" if record.reason else ""
        yield f"{record.status.upper()}, {record.done} of {record.expected} items scored{reason}"


def _list_scores(record: Record) -> Iterator[str]:
    """Yield the metrics, the primary one first, and what a rank rests on."""
    if record.result is None:
        return
    first = record.result.primary_metric
    withdrawn = " (withdrawn)" if record.status == "invalidated" else ""
    metric = record.result.metrics[first]
    direction = "higher" if metric.higher_is_better else "lower"
    yield f"{format_metric(first, metric)}{withdrawn}: {direction} is better, {metric.n:,} items"
    for name, other in record.result.metrics.items():
        if name != first:
            yield f"  {format_metric(name, other)}{withdrawn}"


def _list_facts(record: Record) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each fact that made the number."""
    from benchmarks.cell_record import describe_input
    from results.leaderboard.row_labels import get_start_kind
    from results.records.record import PRETRAINING_DOMAIN

    yield "backbone", _format_backbone(record.backbone)
    if record.backbone.label is not None:
        yield "label", record.backbone.label
    yield (
        "weights" if record.is_evaluation else "start",
        f"{get_start_kind(record)}{_format_checkpoint(record.backbone)}",
    )
    if normalization := describe_input(record.backbone):
        yield "input", f"{normalization}, for pixels from 0 to 1"
    yield "protocol", f"{record.protocol} version {record.protocol_version}, tier {record.tier}"
    yield "settings", _format_settings(record)
    is_pretraining = record.domain == PRETRAINING_DOMAIN
    yield "data", f"{record.config.get('data')}: " * is_pretraining + _format_data(record.data)
    if record.is_evaluation:
        yield "one image", _format_latency(record)
    else:
        yield "seed", str(record.seed)
    if record.result:
        chosen = record.result.selection
        value = "" if chosen.value is None else f" ({chosen.metric} {chosen.value:.4g})"
        by = f"on {chosen.split}, of {format_count(chosen.candidates, 'candidate')}"
        yield "chosen", "nothing" if chosen.split == "none" else f"{chosen.chosen}{value} {by}"
    if is_pretraining:
        yield "board", "none: losses of pre-trainings are not compared"
    else:
        yield "board", f"key {record.comparability}; runs with the same key may be compared"
    if record.cost:
        memory = record.cost.peak_memory_mib
        peak = [] if memory is None else [f"peak memory {memory:,.0f} MiB"]
        phases = [f"{name.replace('_', ' ')} {seconds:.1f} s" for name, seconds in record.cost.phases.items()]
        yield "cost", ", ".join([*phases, *peak]) or "not measured"
    yield "machine", _format_machine(record.environment)
    yield "versions", _format_versions(record.environment)
    finished = record.environment.finished
    yield "time", f"{record.environment.started[:19]} to {finished[:19] if finished else '(not finished)'} UTC"
    yield "command", shlex.join(record.environment.command) or "none"


def _format_latency(record: Record) -> str:
    """Return the time of an evaluated model for one image, and where it was measured."""
    from results.leaderboard.timing_index import describe_setup

    # the record's own, which is of the very runtime and precision that were scored
    measured = record.cost.efficiency if record.cost else None
    if measured is None or measured.latency is None:
        return "not timed"
    busy = " (busy machine)" if measured.is_busy(measured.latency) else ""
    return f"{measured.latency.median_ms:.2f} ms{busy}, {describe_setup(measured)}"


def _format_backbone(backbone: BackboneRecord) -> str:
    count = "" if backbone.parameters is None else f", {backbone.parameters:,} parameters"
    arguments = ", ".join(f"{name}={value}" for name, value in backbone.arguments.items())
    return f"{backbone.name}{count} ({arguments})"


def _format_checkpoint(backbone: BackboneRecord) -> str:
    """Return from which file the weights came and how they were loaded; empty for random weights."""
    checkpoint = backbone.checkpoint
    if checkpoint is None:
        return ""
    from benchmarks.cell_record import describe_weights_key

    text = f" {checkpoint.uri}, sha256 {checkpoint.sha256[:12]}"
    if key := describe_weights_key(backbone):
        text += f", {key}"
    report = checkpoint.load_report
    if report is None:
        return text
    text += f"; {100 * report.matched_fraction:.4g} % of the backbone loaded"
    for what in ("resized", "missing", "unexpected", "dropped"):
        names: list[str] = getattr(report, what)
        if names:
            more = ", ..." if len(names) > _MAX_LISTED_TENSORS else ""
            text += f"; {len(names)} {what}: {', '.join(names[:_MAX_LISTED_TENSORS])}{more}"
    return "; ".join([text, *report.notes])


def _format_settings(record: Record) -> str:
    from results.leaderboard.departures import list_departures

    found = ", ".join(list_departures(record))
    if record.changed_settings is None:
        return f"{found or 'none known to differ'} (a record of this age does not say what differs from the protocol)"
    return f"differs from the protocol in: {found}" if found else "those of the protocol"


def _format_data(data: DatasetRecord) -> str:
    splits = ", ".join(f"{name} {count:,}" for name, count in data.splits.items())
    text = f"{splits}; fingerprint {data.fingerprint[:12]}"
    if data.coverage:
        text += f" over {data.coverage}"
    text += "".join(f"; NOT THE OFFICIAL SET: {sentence}" for sentence in cut_sentences(data.deviations))
    return text + "".join(f"; IN TWO SPLITS: {sentence}" for sentence in cut_sentences(data.duplicates))


def _format_machine(environment: RunEnvironment) -> str:
    counts = [format_count(environment.threads, "thread")]
    if environment.processes > 1:
        counts.append(f"{environment.processes} processes")
    return ", ".join([environment.device, *counts, environment.precision, environment.platform])


def _format_versions(environment: RunEnvironment) -> str:
    packages: Mapping[str, str] = environment.packages
    words = [f"python {environment.python}"]
    words += [f"{name} {packages[name]}" for name in _SHOWN_PACKAGES if name in packages]
    if environment.git_commit:
        dirty = " with uncommitted changes" if environment.git_dirty else ""
        words.append(f"commit {environment.git_commit[:12]}{dirty}")
    return ", ".join(words)


def _list_pictures(folder: Path, files: list[str]) -> Iterator[str]:
    """Yield the path of each picture, with its title where the run's manifest has one."""
    from results.records.picture_manifest import read_pictures

    titles = {str(picture.path): picture.entry.title for picture in read_pictures(folder)}
    for file in files:
        yield f"{file} ({titles[file]})" if titles.get(file) else file
