"""``bench demo``: do small real runs on embedded data, and write a table and a page."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.common_options import add_output_options
from benchmarks.cli.format_cell import cell_to_dict, format_cell
from benchmarks.cli.output import write_json, write_stdout

# only for annotations: benchmarks.run_cell imports torch
if TYPE_CHECKING:
    from benchmarks.run_cell import CellResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("--fresh", action="store_true", help="run again although records exist")
    # a folder of its own: the page must show only the demo and not the user's other runs
    add_output_options(parser, Path("runs") / "demo")


def main(options: Namespace) -> int:
    """Run the cells, write a table and a page next to them, and write the table to stdout."""
    # imported here: bench --help must be fast, and --device must be known before torch is imported
    from benchmarks.demo import run_demo_cells
    from foundation.environment import resolve_data_root
    from foundation.files import write_atomic
    from results.leaderboard.page.write import write_page
    from results.leaderboard.render.csv import to_csv
    from results.leaderboard.render.markdown import to_markdown
    from results.leaderboard.report import build_report
    from results.records.store import scan_runs

    # run_demo_cells chooses tasks, backbones and seeds; these are the settings that all cells share
    done = run_demo_cells(
        {
            "data_root": resolve_data_root(),
            "out": options.out,
            "device": options.device,
            "force_new": options.fresh,
            "command_line": tuple(options.command_line),
        }
    )
    if options.json:
        write_json([cell_to_dict(cell) for cell in (*done.cells, done.from_scratch, done.pretrained)])
        return 0
    for cell in done.cells:
        write_stdout(format_cell(cell))
    write_stdout(format_few_labels(done.from_scratch, done.pretrained))
    # read back from the records, exactly as bench table does
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


def format_few_labels(from_scratch: CellResult, pretrained: CellResult) -> str:
    """Describe the two fine-tuning runs on few labels in one line: from scratch, and after pre-training."""
    from benchmarks.demo import FEW_LABELS_FRACTION

    values = []
    for cell in (from_scratch, pretrained):
        assert cell.record.result is not None, "a cell that was run is complete"
        values.append(cell.record.result.metrics[cell.record.result.primary_metric].value)
    return (
        f"digits finetune on {100 * FEW_LABELS_FRACTION:g} % of the labels, vit_nano seed 0: top1 {values[0]:.2f} % "
        f"from scratch, {values[1]:.2f} % after MAE on the training images"
    )
