"""Format a finished cell (one run of a backbone on a task) as text for the terminal or as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.cli.format_run import format_metric
from foundation.display_text import format_one_line

# benchmarks.run_cell imports torch and mmengine, which bench --help must not load
if TYPE_CHECKING:
    from benchmarks.run_cell import CellResult


def format_cell(cell: CellResult) -> str:
    """Describe a run and its primary metric in one line, name the record's file, and how a tracker is used."""
    from benchmarks.cell_record import describe_given_weights
    from results.leaderboard.departures import list_departures
    from results.leaderboard.row_labels import format_runtime

    record = cell.record
    # nothing is shortened and nothing drawn in an evaluation, but the runtime makes another row
    how = format_runtime(record) if record.is_evaluation else f"seed {record.seed}"
    tier = "" if record.is_evaluation else record.tier
    head = " ".join(filter(None, (record.task, record.protocol, tier, record.backbone.name, how)))
    if departures := list_departures(record):
        head += f" ({', '.join(departures)})"
    if given := describe_given_weights(record.backbone):
        head += f" [{given}]"
    if record.result is None:  # a run that did not finish has a status but no metrics
        return format_one_line(f"{head}: {record.status}")
    primary = record.result.primary_metric
    text = f"{head}: {format_metric(primary, record.result.metrics[primary])}"
    if cell.from_record:
        text += "; answered from the record, --fresh runs it again"
    lines = [text, f"  {cell.folder / 'record.json'}"]
    # the weights of an evaluation stay with the run or the file that was named
    if record.domain == "tracking" and not record.is_evaluation:
        lines.append(f"  use it: bench track VIDEO --init x,y,w,h --run {cell.folder}")
    return "\n".join(map(format_one_line, lines))


def format_pretraining(cell: CellResult) -> str:
    """Describe the result of a pre-training, and the command that uses its weights."""
    from benchmarks.cell_record import describe_given_weights
    from results.leaderboard.departures import list_departures

    record = cell.record
    head = f"{record.protocol} {record.tier} {record.backbone.name} on {record.config['data']} seed {record.seed}"
    if departures := list_departures(record):
        head += f" ({', '.join(departures)})"
    if given := describe_given_weights(record.backbone):
        head += f" [{given}]"
    result = record.result
    if result is None:
        return format_one_line(f"{head}: {record.status}")
    # the k-NN check needs labels, so a pre-training on an unlabeled folder does not have it
    knn, skipped = result.metrics.get("knn"), result.details["skipped"]
    again = "; answered from the record, --fresh runs it again" if cell.from_record else ""
    lines = [f"{head}: loss {result.metrics['loss'].value:.4f}{again}"]
    if knn is not None:
        # not a score: the data are those of the pre-training, so no leaderboard contains this number
        lines.append(f"  k-NN on training images: {knn.value:.1f} % (a health check, not a score)")
    if skipped:
        lines.append(f"  {len(skipped)} images could not be decoded and were left out: {', '.join(skipped[:3])} ...")
    lines.append(f"  use it: bench run TASK --backbone {record.backbone.name} --checkpoint {cell.folder}")
    return "\n".join(map(format_one_line, lines))


def cell_to_dict(cell: CellResult) -> dict[str, Any]:
    """Return the cell as plain data: its folder, its record, and whether the record existed before."""
    return {
        "folder": str(cell.folder),
        "from_record": cell.from_record,
        "record": cell.record.model_dump(mode="json"),
    }
