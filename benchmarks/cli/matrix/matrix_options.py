"""The options that describe a matrix and its executor, shared by ``bench sweep`` and ``bench plan``."""

from __future__ import annotations

import argparse
from argparse import Namespace
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.cli.arguments.number_types import (
    finite_number,
    parse_finite,
    parse_process_count,
    parse_seed,
    whole_number,
)
from benchmarks.cli.common_options import (
    add_data_options,
    add_output_options,
    add_overrides_option,
    add_timing_option,
    collect_data_options,
)
from benchmarks.cli.start_options import (
    add_label_option,
    add_start_options,
    add_teacher_options,
    get_start_fields,
)
from foundation.errors import UserError
from foundation.values.number_ranges import MAX_PROCESSES

# only for annotations: bench --help must import nothing heavy
if TYPE_CHECKING:
    from benchmarks.matrix.suite import Matrix


def add_matrix_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which cells a matrix has."""
    # None and not a value: what is given replaces the field in every block of the suite file
    parser.add_argument(
        "--file", metavar="SUITE", help="suite as a TOML file, or the name of one that comes with bench: frozen, papers"
    )
    text = "backbones; NAME@FILE starts from other weights, NAME@random from none"
    parser.add_argument("--backbones", nargs="+", metavar="NAME", help=text)
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help="tasks (bench list tasks)")
    text = "protocols; each is run on the tasks that have it; default: the first one of each task"
    parser.add_argument("--protocols", nargs="+", metavar="NAME", help=text)
    text = "keep only the cells on these tasks or under these protocols (of both, where both are named)"
    parser.add_argument("--only", nargs="+", metavar="NAME", help=text)
    parser.add_argument("--seeds", type=parse_seed, nargs="+", metavar="N", help="seeds; default: 0")
    parser.add_argument(
        "--data-scale",
        type=parse_finite,
        nargs="+",
        metavar="FRACTION",
        help="fractions of the training items; default: 1",
    )
    parser.add_argument("--tier", choices=("smoke", "short", "full"), help="length of the schedules; default: full")
    add_overrides_option(parser, "change the configuration of every cell, e.g. optimizer.lr=1e-3")
    parser.add_argument("--checkpoint", help="start weights of every backbone that names none after an @")
    add_start_options(parser)
    add_label_option(parser)
    add_teacher_options(parser, "of the cells with protocol finetune_distill")
    add_data_options(parser)
    add_timing_option(parser)
    add_output_options(parser)
    text = "CPU threads per cell; a cell gives the same number with the same threads; default: 1"
    parser.add_argument("--threads", type=parse_process_count, default=1, metavar="N", help=text)
    text = "GPUs per cell; default: 1 where this machine has GPUs, unless --device is cpu"
    parser.add_argument("--gpus", type=whole_number(0, MAX_PROCESSES), metavar="N", help=text)
    text = "main memory that is reserved per cell, GiB; default: none"
    parser.add_argument("--memory", type=finite_number(0, 1e6), metavar="GIB", help=text)


def make_matrix(options: Namespace) -> Matrix:
    """Return the matrix that the options describe.

    Raises:
        ConfigError: unknown names and wrong values, all at once.
    """
    from benchmarks.matrix.executors.executor import CellResources
    from benchmarks.matrix.suite import Suite, SuiteBlock, expand_suite, keep_named_cells, read_suite, replace_fields
    from benchmarks.resolve_cell import CellRequest
    from foundation.environment import resolve_data_root

    if options.memory == 0:
        raise UserError("--memory 0 is not a size above 0; leave it out to reserve none")
    fields = ("backbones", "tasks", "protocols", "seeds", "data_scale", "tier")
    changes: dict[str, Any] = {name: value for name in fields if (value := getattr(options, name)) is not None}
    if options.overrides:
        changes["set"] = options.overrides
    base = read_suite(options.file) if options.file else Suite(cells=[SuiteBlock()])
    # absolute: a worker, perhaps on another machine, runs in another folder
    data_root = resolve_data_root(options.data_root).absolute()
    defaults = CellRequest(
        "",
        "",
        checkpoint=options.checkpoint,
        **get_start_fields(options),
        label=options.label,
        data_root=data_root,
        out=options.out.absolute(),
        device=options.device,
        allow_partial=options.allow_partial,
        allow_subset=options.subset,
        allow_duplicates=options.allow_duplicates,
        hash_all=options.hash_all,
        is_timed=not options.no_timing,
        data_options=collect_data_options(options).make_files_absolute(data_root),
    )
    resources = CellResources(options.threads, _count_gpus(options), options.memory)
    matrix = expand_suite(replace_fields(base, changes), defaults, resources)
    if options.only:
        matrix = keep_named_cells(matrix, options.only)
    return _name_teacher(matrix, options.teacher, options.teacher_checkpoint)


def _name_teacher(matrix: Matrix, teacher: str | None, checkpoint: str | None) -> Matrix:
    """Give a teacher to the cells whose protocol has one.

    Raises:
        UserError: there is no such cell.
    """
    from benchmarks.matrix.cell_command import make_cell_command
    from classification.teacher_settings import DISTILL_PROTOCOL, format_teacher_settings

    named = format_teacher_settings(DISTILL_PROTOCOL, teacher, checkpoint)
    if not named:
        return matrix
    if not any(cell.request.protocol == DISTILL_PROTOCOL for cell in matrix.cells):
        raise UserError(f"no cell has a teacher; leave --teacher out, or add --protocols {DISTILL_PROTOCOL}")
    cells = []
    for cell in matrix.cells:
        if cell.request.protocol == DISTILL_PROTOCOL:
            request = replace(cell.request, overrides=(*cell.request.overrides, *named))
            # the record says how its cell is run alone
            cell = cell._replace(request=replace(request, command_line=tuple(make_cell_command(request))))
        cells.append(cell)
    return matrix._replace(cells=cells)


def _count_gpus(options: Namespace) -> int:
    """Return the number of GPUs per cell: as the user says, else one if the device is a GPU or may be one."""
    from benchmarks.matrix.executors.local import list_gpus

    if options.gpus is not None:
        if options.gpus and options.device == "cpu":
            raise UserError("--gpus and --device cpu exclude each other; leave one of them out")
        return int(options.gpus)
    return int(options.device == "cuda" or (options.device == "auto" and bool(list_gpus())))
