"""``bench demo``: the main job on embedded real data, ending in a table and a page."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from benchmarks.cli.experiments.run import cell_to_dict, format_cell
from benchmarks.cli.output import write_json, write_stdout
from benchmarks.run_cell import CellRequest, CellResult, run_cell
from engine.task import Task
from foundation.environment import resolve_data_root
from foundation.files import write_atomic
from pretraining.task import PretrainTask
from results.leaderboard.page.write import write_page
from results.leaderboard.render.csv import to_csv
from results.leaderboard.render.markdown import to_markdown
from results.leaderboard.report import build_report
from results.records.store import scan_runs

DEMO_CELLS = (
    *(
        ("digits", backbone, protocol)
        for protocol in ("finetune", "linear", "knn")
        for backbone in ("vit_nano", "vit_pico")
    ),
    ("mini_ade", "vit_nano", "semantic_fpn"),
    ("mini_lasot", "vit_pico", "fast64"),
)


FEW_LABELS_FRACTION = 0.1
"""Share of the digits' training labels that the two of the pre-training's line fine-tune on."""


def main(options: Namespace) -> int:
    """Run the cells, write table and page beside them, and the table on the screen."""
    cells = [run_demo_cell(*cell, options) for cell in DEMO_CELLS]
    few = run_pretraining_cells(options)
    if options.json:
        write_json([cell_to_dict(cell) for cell in (*cells, *few)])
        return 0
    for cell in cells:
        write_stdout(format_cell(cell))
    write_stdout(format_few_labels(*few))
    report = build_report(scan_runs([options.out]))
    text = to_markdown(report)
    files: list[Path] = []
    for name, content in (("table.md", text), ("table.csv", to_csv(report))):
        write_atomic(options.out / name, content)
        files.append(options.out / name)
    write_stdout("\n" + text)
    write_stdout(f"Files: {', '.join(map(str, files))}; runs in {options.out}/")
    write_stdout(f"Page: {write_page(report, options.out)}")
    return 0


def run_pretraining_cells(options: Namespace) -> list[CellResult]:
    """``vit_nano`` fine-tuned on a tenth of the digits' labels: from scratch, and pre-trained on the training images.

    The pre-training sees no label, and neither val nor test images; fine-tuning is the same for both.
    """
    made = run_demo_cell(PretrainTask("mae", "digits"), "vit_nano", None, options, tier="short")
    starts = (None, str(made.folder))
    return [
        run_demo_cell("digits", "vit_nano", "finetune", options, checkpoint=start, data_scale=FEW_LABELS_FRACTION)
        for start in starts
    ]


def format_few_labels(scratch: CellResult, pretrained: CellResult) -> str:
    """The two in one line."""
    values = []
    for cell in (scratch, pretrained):
        assert cell.record.result is not None, "a cell that was run is complete"
        values.append(cell.record.result.metrics[cell.record.result.primary_metric].value)
    return (
        f"digits finetune on {100 * FEW_LABELS_FRACTION:g} % of the labels, vit_nano seed 0: top1 {values[0]:.2f} % "
        f"from scratch, {values[1]:.2f} % after MAE on the training images"
    )


def run_demo_cell(
    task: str | Task, backbone: str, protocol: str | None, options: Namespace, **settings: Any
) -> CellResult:
    """One cell of the demo; ``settings`` are those of ``CellRequest``."""
    return run_cell(
        CellRequest(
            task=task,
            backbone=backbone,
            protocol=protocol,
            data_root=resolve_data_root(),
            out=options.out,
            device=options.device,
            force_new=options.fresh,
            command_line=tuple(options.command_line),
            **settings,
        )
    )
