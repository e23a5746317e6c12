"""Run cells one after the other and write their results; shared by ``bench run`` and ``bench pretrain``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from benchmarks.cli.common_options import collect_data_options
from benchmarks.cli.format_cell import cell_to_dict
from benchmarks.cli.output import write_json, write_stdout
from benchmarks.cli.start_options import get_start_fields

# only for annotations: benchmarks.run_cell imports torch
if TYPE_CHECKING:
    from benchmarks.resolve_cell import CellRequest
    from benchmarks.run_cell import CellResult


def get_request_settings(options: Namespace) -> dict[str, Any]:
    """Return the fields of a ``CellRequest`` that are the same for all cells of a command; the seed is not one."""
    # resolved here and not in the parser: $BENCH_DATA counts when the verb runs
    from foundation.environment import resolve_data_root

    return {
        "backbone": options.backbone,
        "checkpoint": options.checkpoint,
        **get_start_fields(options),
        "label": options.label,
        "tier": options.tier,
        "data_root": resolve_data_root(options.data_root),
        "out": options.out,
        "device": options.device,
        "allow_partial": options.allow_partial,
        "allow_subset": options.subset,
        "allow_duplicates": options.allow_duplicates,
        "hash_all": options.hash_all,
        "data_options": collect_data_options(options),
        "force_new": options.fresh,
        "is_timed": not options.no_timing,
        "command_line": tuple(options.command_line),
    }


def run_cells(requests: Iterable[CellRequest], as_json: bool, format_cell: Callable[[CellResult], str]) -> int:
    """Run each cell and write its result as soon as it is done; the first failure ends the command.

    Args:
        requests: the cells.
        as_json: write one JSON list at the end instead of text for each cell.
        format_cell: formats a finished cell as text.

    Returns:
        The exit code 0; failures are exceptions.
    """
    # imported here, because torch takes seconds and --device must be known before
    from benchmarks.run_cell import run_cell
    from engine.device import get_dist_info, shutdown_distributed

    # under torchrun every process runs this function; only rank 0 writes, or each line would appear several times
    is_first_process = get_dist_info()[0] == 0
    cells = []
    for request in requests:
        cell = run_cell(request)
        cells.append(cell)
        # text at once: later cells may run for hours, or fail
        if is_first_process and not as_json:
            write_stdout(format_cell(cell))
    if is_first_process and as_json:
        write_json([cell_to_dict(cell) for cell in cells])
    shutdown_distributed()  # otherwise torch warns at exit that the process group was not destroyed
    return 0
