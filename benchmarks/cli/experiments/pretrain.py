"""``bench pretrain METHOD``."""

from __future__ import annotations

from argparse import Namespace

from benchmarks.cli.experiments.run import cell_to_dict
from benchmarks.cli.output import write_json, write_stdout
from benchmarks.run_cell import CellRequest, CellResult, run_cell
from engine.device import get_dist_info, shutdown_distributed
from foundation.environment import resolve_data_root
from pretraining.task import PretrainTask


def main(options: Namespace) -> int:
    """Pre-train once a seed; the first failure ends it."""
    task = PretrainTask(
        options.method,
        options.data,
        teacher=options.teacher,
        teacher_checkpoint=options.teacher_checkpoint,
        skip_bad=options.skip_bad,
        knn_data=options.knn_data,
    )
    cells = []
    for seed in options.seeds:
        cell = run_cell(
            CellRequest(
                task=task,
                backbone=options.backbone,
                checkpoint=options.checkpoint,
                tier=options.tier,
                seed=seed,
                overrides=tuple(options.overrides),
                data_root=resolve_data_root(options.data_root),
                out=options.out,
                device=options.device,
                allow_partial=options.allow_partial,
                allow_subset=options.subset,
                force_new=options.fresh,
                command_line=tuple(options.command_line),
            )
        )
        cells.append(cell)
        if not options.json and get_dist_info()[0] == 0:
            write_stdout(format_pretraining(cell))
    if options.json and get_dist_info()[0] == 0:
        write_json([cell_to_dict(cell) for cell in cells])
    shutdown_distributed()
    return 0


def format_pretraining(cell: CellResult) -> str:
    """What came out, and how it is used."""
    record = cell.record
    head = f"{record.protocol} {record.tier} {record.backbone.name} on {record.config['data']} seed {record.seed}"
    result = record.result
    if result is None:
        return f"{head}: {record.status}"
    knn, skipped = result.metrics.get("knn"), result.details["skipped"]
    again = "; answered from the record, --fresh runs anew" if cell.from_record else ""
    lines = [f"{head}: loss {result.metrics['loss'].value:.4f}{again}"]
    if knn is not None:
        lines.append(f"  k-NN on training images: {knn.value:.1f} % (a health check, no score)")
    if skipped:
        lines.append(f"  {len(skipped)} images could not be decoded and were left out: {', '.join(skipped[:3])} ...")
    lines.append(f"  use it: bench run TASK --backbone {record.backbone.name} --checkpoint {cell.folder}")
    return "\n".join(lines)
