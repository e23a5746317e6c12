"""``bench table``."""

from __future__ import annotations

import sys
from argparse import Namespace

from benchmarks.output import write, write_json
from results.store import scan
from results.table import Table, build_table, to_csv, to_markdown


def main(options: Namespace) -> int:
    """Write the boards to stdout and every warning to stderr."""
    table = build_table(scan(options.runs))
    if options.json:
        write_json(as_data(table))
    else:
        write(to_csv(table) if options.format == "csv" else to_markdown(table))
    for warning in table.warnings:
        sys.stderr.write(f"bench: warning: left out of the table: {warning}\n")
    return 0


def as_data(table: Table) -> dict[str, object]:
    """The table as plain data."""
    boards = [board._asdict() | {"rows": [row._asdict() for row in board.rows]} for board in table.boards]
    return {"boards": boards, "unranked": list(table.unranked), "warnings": list(table.warnings)}
