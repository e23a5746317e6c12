"""``bench pretrain METHOD``: make a backbone without labels, one run a seed."""

from __future__ import annotations

import argparse
from argparse import Namespace

from benchmarks.cli.common_options import add_overrides_option, add_training_options
from benchmarks.cli.format_cell import format_pretraining
from benchmarks.cli.run_cells import get_request_settings, run_cells


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("method", metavar="METHOD", help="see: bench list pretraining")
    parser.add_argument("--backbone", required=True, help="registry name or timm/<name>; starts from random weights")
    parser.add_argument(
        "--data", required=True, metavar="NAME", help="digits, photos, cifar10, cifar100, imagenet, folder"
    )
    parser.add_argument("--teacher", metavar="NAME", help="for methods that distill: registry name or timm/<name>")
    parser.add_argument("--teacher-checkpoint", metavar="PATH", help="its weights, or a pre-training run")
    parser.add_argument("--checkpoint", default="random", help="weights to go on from; default: random")
    add_overrides_option(parser, "change the method's configuration, e.g. mask_ratio=0.6")
    parser.add_argument(
        "--knn-data", metavar="NAME", help="labeled set for the k-NN health check; default: the data's own labels"
    )
    parser.add_argument("--skip-bad", action="store_true", help="leave out and count images that cannot be decoded")
    add_training_options(parser)


def main(options: Namespace) -> int:
    """Pre-train once for each seed; the first failure ends it."""
    from benchmarks.run_cell import CellRequest
    from pretraining.task import PretrainTask

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
    return run_cells(requests, options.json, format_pretraining)
