"""``bench run TASK``."""

from __future__ import annotations

from argparse import Namespace
from itertools import product

from benchmarks.cli.output import write_json, write_stdout
from benchmarks.run_cell import CellRequest, CellResult, run_cell
from engine.device import get_dist_info, shutdown_distributed
from foundation.environment import resolve_data_root
from foundation.errors import UserError


def main(options: Namespace) -> int:
    """Do one cell a data scale, number of shots (or percentage) and seed; the first failure ends it."""
    cells = []
    runtime = make_runtime_override(options)
    for scale, amount, seed in product(options.data_scale, make_lowshot_overrides(options), options.seeds):
        cell = run_cell(
            CellRequest(
                task=options.task,
                backbone=options.backbone,
                protocol=options.protocol,
                checkpoint=options.checkpoint,
                tier=options.tier,
                seed=seed,
                overrides=(*options.overrides, *amount, *runtime),
                data_root=resolve_data_root(options.data_root),
                out=options.out,
                device=options.device,
                allow_partial=options.allow_partial,
                allow_subset=options.subset,
                data_scale=scale,
                force_new=options.fresh,
                command_line=tuple(options.command_line),
            )
        )
        cells.append(cell)
        if not options.json and _is_main_process():
            write_stdout(format_cell(cell))
    if options.json and _is_main_process():
        write_json([cell_to_dict(cell) for cell in cells])
    shutdown_distributed()
    return 0


def make_lowshot_overrides(options: Namespace) -> list[tuple[str, ...]]:
    """The overrides that ``--shots`` and ``--percent`` stand for, one entry a value; an empty one without them.

    Raises:
        UserError: for a protocol that draws no shots.
    """
    found: list[tuple[str, ...]] = [(f"shots={count}", "percent=none") for count in options.shots]
    found += [(f"percent={percent!r}", "shots=none") for percent in options.percent]
    if found and options.protocol != "lowshot":
        raise UserError("--shots and --percent are for --protocol lowshot; --data-scale takes a share in the others")
    return found or [()]


def make_runtime_override(options: Namespace) -> tuple[str, ...]:
    """The override that ``--runtime`` stands for.

    Raises:
        UserError: for a task that tracks nothing.
    """
    if options.runtime is None:
        return ()
    from benchmarks.task_registry import TASKS

    if TASKS.get(options.task).domain != "tracking":
        raise UserError(f"--runtime is for tracking tasks, and {options.task} is none; leave it out")
    return (f"runtime={options.runtime}",)


def format_cell(cell: CellResult) -> str:
    """One line for the terminal."""
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
    text = f"{head}: {record.result.primary_metric} {metric.value:.2f} {metric.unit}"
    if metric.interval:
        low, high = metric.interval.low, metric.interval.high
        text += (
            f" ({low:.2f} to {high:.2f}, {100 * metric.interval.level:.0f} % over {metric.interval.resampling_unit})"
        )
    if cell.from_record:
        text += "; answered from the record, --fresh runs anew"
    return f"{text}\n  {cell.folder / 'record.json'}"


def cell_to_dict(cell: CellResult) -> dict[str, object]:
    """The cell as plain data."""
    return {
        "folder": str(cell.folder),
        "from_record": cell.from_record,
        "record": cell.record.model_dump(mode="json"),
    }


def _is_main_process() -> bool:
    """Of several processes only the first talks."""
    return get_dist_info()[0] == 0
