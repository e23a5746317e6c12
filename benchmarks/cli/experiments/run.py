"""``bench run TASK``: train and evaluate a backbone; each run has its own record."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING

from benchmarks.cli.arguments.number_types import parse_finite, parse_positive_int
from benchmarks.cli.common_options import (
    add_dry_run_option,
    add_overrides_option,
    add_training_options,
)
from benchmarks.cli.format_cell import format_cell
from benchmarks.cli.format_resolved import describe_requests
from benchmarks.cli.run_cells import get_request_settings, run_cells
from benchmarks.cli.start_options import add_label_option, add_start_options, add_teacher_options
from engine.evaluation.model_source import RUNTIMES
from foundation.errors import UserError

# only for annotations: benchmarks.run_cell imports torch
if TYPE_CHECKING:
    from benchmarks.resolve_cell import CellRequest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("task", metavar="TASK", help="task to run (bench list tasks)")
    parser.add_argument("--backbone", required=True, help="registry name or timm/<name>")
    parser.add_argument(
        "--checkpoint", help="weight file to start from, or the word 'random'; default: as the card says"
    )
    add_start_options(parser)
    add_label_option(parser)
    parser.add_argument("--protocol", help="how the backbone is used (bench list protocols); default: the task's first")
    add_overrides_option(parser, "change the protocol's configuration, e.g. optimizer.lr=1e-3")
    parser.add_argument(
        "--data-scale", type=parse_finite, nargs="+", default=[1.0], metavar="FRACTION",
        help="fraction of the training items, e.g. 0.01 0.1 1.0; one record per value",
    )  # fmt: skip
    # --shots, --percent and --runtime are short forms of --set; several values of the first two give several runs
    parser.add_argument(
        "--shots", type=parse_positive_int, nargs="+", default=[], metavar="N",
        help="protocol lowshot: training images per class, e.g. 1 2 4 8 16; one record per value (same as "
        "--set shots=N)",
    )  # fmt: skip
    parser.add_argument(
        "--percent", type=parse_finite, nargs="+", default=[], metavar="P",
        help="protocol lowshot: percent of the training images, e.g. 1 10; one record per value (same as "
        "--set percent=P)",
    )  # fmt: skip
    parser.add_argument(
        "--runtime", choices=RUNTIMES,
        help="tracking tasks: runtime of the tracker on the test sequences (same as --set runtime=...; precision: "
        "--set runtime_precision=f32, bf16 or int8)",
    )  # fmt: skip
    # short forms of --set, too
    add_teacher_options(parser, "protocol finetune_distill")
    add_training_options(parser)
    add_dry_run_option(parser)


def main(options: Namespace) -> int:
    """Run one cell per data fraction, number of shots (or percentage) and seed; the first failure ends the command."""
    # a list, so that wrong options are refused before the first run starts
    requests = list(_make_requests(options))
    if options.dry_run:
        return describe_requests(requests, options.json)
    return run_cells(requests, options.json, format_cell)


def _make_requests(options: Namespace) -> Iterator[CellRequest]:
    # imported here: bench --help must be fast, and --device must be known before torch is imported
    from benchmarks.resolve_cell import CellRequest
    from classification.teacher_settings import format_teacher_settings

    teacher = format_teacher_settings(options.protocol, options.teacher, options.teacher_checkpoint)
    runtime = _make_runtime_override(options)
    settings = get_request_settings(options)
    # seeds vary fastest, so that each setting is complete before the next one starts
    for scale, lowshot, seed in product(options.data_scale, _make_lowshot_overrides(options), options.seeds):
        yield CellRequest(
            task=options.task,
            protocol=options.protocol,
            seed=seed,
            overrides=(*options.overrides, *lowshot, *runtime, *teacher),
            data_scale=scale,
            **settings,
        )


def _make_lowshot_overrides(options: Namespace) -> list[tuple[str, ...]]:
    """Return the overrides for ``--shots`` and ``--percent``, one entry per value; one empty entry without them.

    Raises:
        UserError: the protocol is not ``lowshot``.
    """
    # the recipe refuses both at once, so each override unsets the other, which a recipe file may have set
    found: list[tuple[str, ...]] = [(f"shots={count}", "percent=none") for count in options.shots]
    found += [(f"percent={percent!r}", "shots=none") for percent in options.percent]
    if found and options.protocol != "lowshot":
        raise UserError("--shots and --percent are for --protocol lowshot; use --data-scale with other protocols")
    return found or [()]  # one empty entry, because product over an empty list would give no run at all


def _make_runtime_override(options: Namespace) -> tuple[str, ...]:
    """Return the override for ``--runtime``.

    Raises:
        UserError: the task is not a tracking task.
    """
    if options.runtime is None:
        return ()
    # bench --help reads this module, so the task registry is imported only here
    from benchmarks.task_registry import TASKS

    if TASKS.get(options.task).domain != "tracking":
        raise UserError(f"--runtime is for tracking tasks, and {options.task} is not one; leave it out")
    return (f"runtime={options.runtime}",)
