"""``bench demo``: the main job on embedded real data, ending in a table and a page."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from benchmarks.commands.run_command import as_data, line
from benchmarks.execute import Asked, Cell, run_cell
from benchmarks.output import write, write_json
from foundation.environment import data_root
from foundation.files import write_atomic
from results.page.write import write_page
from results.render.csv import to_csv
from results.render.markdown import to_markdown
from results.report import make_report
from results.store import scan

CELLS = (
    *(
        ("digits", backbone, protocol)
        for protocol in ("finetune", "linear", "knn")
        for backbone in ("vit_nano", "vit_pico")
    ),
    ("mini_ade", "vit_nano", "semantic_fpn"),
)


def main(options: Namespace) -> int:
    """Run the cells, write table and page beside them, and the table on the screen."""
    cells = [demo_cell(*cell, options) for cell in CELLS]
    if options.json:
        write_json([as_data(cell) for cell in cells])
        return 0
    for cell in cells:
        write(line(cell))
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


def demo_cell(task: str, backbone: str, protocol: str, options: Namespace) -> Cell:
    """One cell of the demo."""
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
        )
    )
