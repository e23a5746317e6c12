"""Run cells one after the other and write what came out; what ``bench run`` and ``bench pretrain`` share."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from benchmarks.cli.format_cell import cell_to_dict
from benchmarks.cli.output import write_json, write_stdout

if TYPE_CHECKING:
    from benchmarks.run_cell import CellRequest, CellResult


def get_request_settings(options: Namespace) -> dict[str, Any]:
    """The fields of a ``CellRequest`` that every verb that trains takes from its options; the seed is not one."""
    from foundation.environment import resolve_data_root

    return {
        "backbone": options.backbone,
        "checkpoint": options.checkpoint,
        "tier": options.tier,
        "data_root": resolve_data_root(options.data_root),
        "out": options.out,
        "device": options.device,
        "allow_partial": options.allow_partial,
        "allow_subset": options.subset,
        "force_new": options.fresh,
        "command_line": tuple(options.command_line),
    }


def run_cells(requests: Iterable[CellRequest], as_json: bool, format_cell: Callable[[CellResult], str]) -> int:
    """Run each cell and write it when it is done; the first failure ends it. Of several processes the first writes.

    Args:
        requests: the cells.
        as_json: write one JSON list at the end instead of a line for each.
        format_cell: a cell in words.

    Returns:
        The exit code 0; failures are exceptions.
    """
    from benchmarks.run_cell import run_cell
    from engine.device import get_dist_info, shutdown_distributed

    is_first_process = get_dist_info()[0] == 0
    cells = []
    for request in requests:
        cell = run_cell(request)
        cells.append(cell)
        if is_first_process and not as_json:
            write_stdout(format_cell(cell))
    if is_first_process and as_json:
        write_json([cell_to_dict(cell) for cell in cells])
    shutdown_distributed()
    return 0
