"""``bench demo``: the main job on embedded real data, ending in a table and a page."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from benchmarks.cli.experiments.run import as_data, line
from benchmarks.cli.output import write, write_json
from benchmarks.run_cell import Asked, Cell, run_cell
from engine.task import Task
from foundation.environment import data_root
from foundation.files import write_atomic
from pretraining.task import Pretraining
from results.leaderboard.page.write import write_page
from results.leaderboard.render.csv import to_csv
from results.leaderboard.render.markdown import to_markdown
from results.leaderboard.report import make_report
from results.records.store import scan

CELLS = (
    *(
        ("digits", backbone, protocol)
        for protocol in ("finetune", "linear", "knn")
        for backbone in ("vit_nano", "vit_pico")
    ),
    ("mini_ade", "vit_nano", "semantic_fpn"),
    ("mini_lasot", "vit_pico", "fast64"),
)


FEW_LABELS = 0.1
"""Share of the digits' training labels that the two of the pre-training's line fine-tune on."""


def main(options: Namespace) -> int:
    """Run the cells, write table and page beside them, and the table on the screen."""
    cells = [demo_cell(*cell, options) for cell in CELLS]
    few = pretraining_cells(options)
    if options.json:
        write_json([as_data(cell) for cell in (*cells, *few)])
        return 0
    for cell in cells:
        write(line(cell))
    write(few_labels(*few))
    report = make_report(scan([options.out]))
    text = to_markdown(report)
    files: list[Path] = []
    for name, content in (("table.md", text), ("table.csv", to_csv(report))):
        write_atomic(options.out / name, content)
        files.append(options.out / name)
    write("\n" + text)
    write(f"Files: {', '.join(map(str, files))}; runs in {options.out}/")
    write(f"Page: {write_page(report, options.out)}")
    return 0


def pretraining_cells(options: Namespace) -> list[Cell]:
    """``vit_nano`` fine-tuned on a tenth of the digits' labels: from scratch, and pre-trained on the training images.

    The pre-training sees no label, and neither val nor test images; fine-tuning is the same for both.
    """
    made = demo_cell(Pretraining("mae", "digits"), "vit_nano", None, options, tier="short")
    starts = (None, str(made.folder))
    return [
        demo_cell("digits", "vit_nano", "finetune", options, checkpoint=start, data_scale=FEW_LABELS)
        for start in starts
    ]


def few_labels(scratch: Cell, pretrained: Cell) -> str:
    """The two in one line."""
    values = []
    for cell in (scratch, pretrained):
        assert cell.record.result is not None, "a cell that was run is complete"
        values.append(cell.record.result.metrics[cell.record.result.primary].value)
    return (
        f"digits finetune on {100 * FEW_LABELS:g} % of the labels, vit_nano seed 0: top1 {values[0]:.2f} % from "
        f"scratch, {values[1]:.2f} % after MAE on the training images"
    )


def demo_cell(task: str | Task, backbone: str, protocol: str | None, options: Namespace, **settings: Any) -> Cell:
    """One cell of the demo; ``settings`` are those of ``Asked``."""
    return run_cell(
        Asked(
            task=task,
            backbone=backbone,
            protocol=protocol,
            data_root=data_root(),
            out=options.out,
            device=options.device,
            fresh=options.fresh,
            command=tuple(options.command_line),
            **settings,
        )
    )
