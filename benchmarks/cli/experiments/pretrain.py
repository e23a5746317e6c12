"""``bench pretrain METHOD``: pre-train a backbone without labels, one run per seed."""

from __future__ import annotations

import argparse
from argparse import Namespace

from benchmarks.cli.common_options import (
    add_dry_run_option,
    add_overrides_option,
    add_training_options,
)
from benchmarks.cli.format_cell import format_pretraining
from benchmarks.cli.format_resolved import describe_requests
from benchmarks.cli.run_cells import get_request_settings, run_cells
from benchmarks.cli.start_options import add_label_option, add_start_options, add_teacher_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("method", metavar="METHOD", help="pre-training method (bench list pretraining)")
    parser.add_argument("--backbone", required=True, help="registry name or timm/<name>")
    parser.add_argument(
        "--data", required=True, metavar="NAME", help="digits, photos, cifar10, cifar100, imagenet, folder"
    )
    add_teacher_options(parser, "for distillation methods")
    # "random" and not the card's weights as in bench run: pre-training usually starts from scratch
    parser.add_argument("--checkpoint", default="random", help="weight file to start from; default: random")
    add_start_options(parser)
    add_label_option(parser)
    add_overrides_option(parser, "change the method's configuration, e.g. mask_ratio=0.6")
    parser.add_argument(
        "--knn-data", metavar="NAME", help="labeled data for the k-NN health check; default: the labels of --data"
    )
    # off by default, because skipped images change the data that the record claims
    text = "skip images that cannot be decoded, and count them in the record"
    parser.add_argument("--skip-bad", action="store_true", help=text)
    add_training_options(parser)
    add_dry_run_option(parser)


def main(options: Namespace) -> int:
    """Pre-train once per seed; the first failure ends the command."""
    # imported here: bench --help must be fast, and --device must be known before torch is imported
    from benchmarks.resolve_cell import CellRequest
    from pretraining.task import PretrainTask

    # raises here, before the first run, when method, data and teacher do not fit together
    task = PretrainTask(
        options.method,
        options.data,
        teacher=options.teacher,
        teacher_checkpoint=options.teacher_checkpoint,
        skip_bad=options.skip_bad,
        knn_data=options.knn_data,
    )
    settings = get_request_settings(options)
    requests = [
        CellRequest(task=task, seed=seed, overrides=tuple(options.overrides), **settings) for seed in options.seeds
    ]
    if options.dry_run:
        return describe_requests(requests, options.json)
    return run_cells(requests, options.json, format_pretraining)
