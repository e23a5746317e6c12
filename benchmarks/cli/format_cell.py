"""How a finished cell is written: one line for a person, or plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.run_cell import CellResult


def format_cell(cell: CellResult) -> str:
    """What was run and its primary metric in one line, and the record's file in a second."""
    record = cell.record
    head = f"{record.task} {record.protocol} {record.tier} {record.backbone.name} seed {record.seed}"
    if "data_scale" in record.config:
        head += f" {100 * record.config['data_scale']:g} % of train"
    recipe = record.config["recipe"]
    if recipe.get("shots") is not None:
        head += f" {recipe['shots']} shots"
    if recipe.get("percent") is not None:
        head += f" {recipe['percent']:g} %"
    if record.data.deviations:
        head += " (not the official data)"
    if record.result is None:
        return f"{head}: {record.status}"
    metric = record.result.metrics[record.result.primary_metric]
    text = f"{head}: {record.result.primary_metric} {metric.value:.2f} {metric.unit}".rstrip()
    if metric.interval:
        low, high = metric.interval.low, metric.interval.high
        text += (
            f" ({low:.2f} to {high:.2f}, {100 * metric.interval.level:.0f} % over {metric.interval.resampling_unit})"
        )
    if cell.from_record:
        text += "; answered from the record, --fresh runs it again"
    return f"{text}\n  {cell.folder / 'record.json'}"


def format_pretraining(cell: CellResult) -> str:
    """What came out of a pre-training, and the command that uses it."""
    record = cell.record
    head = f"{record.protocol} {record.tier} {record.backbone.name} on {record.config['data']} seed {record.seed}"
    result = record.result
    if result is None:
        return f"{head}: {record.status}"
    knn, skipped = result.metrics.get("knn"), result.details["skipped"]
    again = "; answered from the record, --fresh runs it again" if cell.from_record else ""
    lines = [f"{head}: loss {result.metrics['loss'].value:.4f}{again}"]
    if knn is not None:
        lines.append(f"  k-NN on training images: {knn.value:.1f} % (a health check, not a score)")
    if skipped:
        lines.append(f"  {len(skipped)} images could not be decoded and were left out: {', '.join(skipped[:3])} ...")
    lines.append(f"  use it: bench run TASK --backbone {record.backbone.name} --checkpoint {cell.folder}")
    return "\n".join(lines)


def cell_to_dict(cell: CellResult) -> dict[str, Any]:
    """The cell as plain data: its folder, its record, and whether the record was there already."""
    return {
        "folder": str(cell.folder),
        "from_record": cell.from_record,
        "record": cell.record.model_dump(mode="json"),
    }
