"""The command line of ``bench analyze``. Imports nothing heavy: ``bench --help`` reads it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

READ_POINTS = ("papers", "norm1", "attn", "mlp", "blocks")
PROBE, FINETUNE = "probe", "finetune"


class _AnalysisCommand(NamedTuple):
    """An analysis: what it is, and an example."""

    summary: str
    example: str
    add_arguments: Callable[[argparse.ArgumentParser], None]


def add_analyze_arguments(parser: argparse.ArgumentParser) -> None:
    """Give the verb a parser for each analysis."""
    kinds = parser.add_subparsers(prog="bench analyze", dest="what", required=True, metavar="WHAT")
    for name, what in ANALYSES.items():
        one = kinds.add_parser(name, help=what.summary, description=what.summary, epilog=f"example: {what.example}")
        what.add_arguments(one)
        one.add_argument("--data-root", type=Path, metavar="DIR", help="default: $BENCH_DATA, else data/")
        one.add_argument("--subset", action="store_true", help="look at data that are not the official set whole")
        one.add_argument("--allow-partial", action="store_true", help="accept a checkpoint that fills only part")
        one.add_argument("--fresh", action="store_true", help="do it anew although a record exists")
        text = "the store; analyses go to DIR/analysis (default: runs/)"
        one.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help=text)
        one.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
        one.add_argument("--json", action="store_true", help="machine-readable output on stdout")
        one.add_argument("--debug", action="store_true", help="show the full trace of an error")


def _add_cka_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="A", help="registry name or timm/<name>")
    parser.add_argument("second", metavar="B", help="the same, or A again")
    parser.add_argument("--checkpoint-a", metavar="FILE", help="weight file of A, or the word 'random'")
    parser.add_argument("--checkpoint-b", metavar="FILE", help="weight file of B, or the word 'random'")
    text = "papers: first norm of each block and the final norm (default); or one part of each block"
    parser.add_argument("--at", choices=READ_POINTS, default="papers", help=text)
    parser.add_argument(
        "--batch", type=parse_positive_int, default=128, metavar="N", help="images a batch; default: 128"
    )
    _add_image_options(parser)


def _add_attention_arguments(parser: argparse.ArgumentParser) -> None:
    _add_backbone_options(parser)
    text = "pixels a grid step: the patch (default), or the papers' 14 whatever the patch"
    parser.add_argument("--distance", choices=("patch", "papers"), default="patch", help=text)
    text = "images whose attention maps are drawn; default: 4"
    parser.add_argument("--pictures", type=parse_nonnegative_int, default=4, metavar="N", help=text)
    _add_image_options(parser)


def _add_layers_arguments(parser: argparse.ArgumentParser) -> None:
    _add_backbone_options(parser)
    _add_task_options(parser, protocol="finetune")
    text = "which half: linear and k-NN probes after each block, fine-tuning from the first k blocks; default: both"
    parser.add_argument("--parts", choices=(PROBE, FINETUNE), nargs="+", default=[PROBE, FINETUNE], help=text)
    text = "values of k; default: quarters of the depth"
    parser.add_argument("--first", type=parse_nonnegative_int, nargs="+", metavar="K", help=text)


def _add_data_scale_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="A", nargs="+", help="registry names or timm/<name>")
    text = "start weights, one each in the order of the backbones: a file, 'random', or 'card' for the card's own"
    parser.add_argument("--checkpoint", nargs="+", metavar="FILE", help=text)
    _add_task_options(parser, protocol=None)


def _add_spectrum_arguments(parser: argparse.ArgumentParser) -> None:
    _add_backbone_options(parser)
    _add_image_options(parser)


def _add_pca_arguments(parser: argparse.ArgumentParser) -> None:
    _add_backbone_options(parser)
    text = "images that are drawn, and whose patches the components are of; default: 8"
    parser.add_argument("--pictures", type=parse_positive_int, default=8, metavar="N", help=text)
    _add_image_options(parser, with_count=False)


def _add_neighbors_arguments(parser: argparse.ArgumentParser) -> None:
    _add_backbone_options(parser)
    parser.add_argument("--queries", type=parse_positive_int, default=6, metavar="N", help="query images; default: 6")
    parser.add_argument("--neighbours", type=parse_positive_int, default=7, metavar="K", help="for each; default: 7")
    _add_image_options(parser)


def _add_backbone_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="A", help="registry name or timm/<name>")
    parser.add_argument("--checkpoint", metavar="FILE", help="weight file, or the word 'random'")


def _add_image_options(parser: argparse.ArgumentParser, with_count: bool = True) -> None:
    parser.add_argument("--data", default="digits", metavar="TASK", help="whose images; default: digits (embedded)")
    parser.add_argument("--split", default="val", help="of the data; default: val")
    if with_count:
        text = "how many images; default: 1,024, or all where there are fewer"
        parser.add_argument("--images", type=parse_positive_int, metavar="N", help=text)
    parser.add_argument("--img-size", type=parse_positive_int, metavar="PIXELS", help="input side; default: the card's")
    parser.add_argument(
        "--seed", type=parse_nonnegative_int, default=0, metavar="N", help="of random weights; default: 0"
    )


def _add_task_options(parser: argparse.ArgumentParser, protocol: str | None) -> None:
    parser.add_argument("--task", required=True, metavar="TASK", help="see: bench list tasks")
    parser.add_argument("--protocol", default=protocol, help=f"default: {protocol or 'the first of the task'}")
    parser.add_argument("--tier", choices=("smoke", "short", "full"), default="full")
    parser.add_argument("--seeds", type=parse_nonnegative_int, nargs="+", default=[0], metavar="N", help="one run each")
    parser.add_argument(
        "--data-scale", type=float, nargs="+", default=[1.0], metavar="SHARE",
        help="share of the training items, e.g. 0.01 0.1 1.0; one run each",
    )  # fmt: skip
    parser.add_argument(
        "--set", dest="overrides", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="change the protocol's configuration, e.g. epochs=5",
    )  # fmt: skip


def parse_positive_int(text: str) -> int:
    """A whole number above 0."""
    if parse_nonnegative_int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text!r}")
    return int(text)


def parse_nonnegative_int(text: str) -> int:
    """A whole number, 0 or above."""
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}")
    return int(text)


ANALYSES = {
    "cka": _AnalysisCommand(
        "how alike the layers of two backbones are (CKA heat map)",
        "bench analyze cka vit_nano vit_pico",
        _add_cka_arguments,
    ),
    "attention": _AnalysisCommand(
        "how far and how widely each head looks, and maps of single images",
        "bench analyze attention vit_nano",
        _add_attention_arguments,
    ),
    "layers": _AnalysisCommand(
        "which layers matter: probes after each block, fine-tuning from the first k",
        "bench analyze layers vit_nano --task digits --parts probe",
        _add_layers_arguments,
    ),
    "data-scale": _AnalysisCommand(
        "transfer against the amount of data, several backbones in one figure",
        "bench analyze data-scale vit_nano vit_pico --task digits --protocol linear --data-scale 0.1 1.0",
        _add_data_scale_arguments,
    ),
    "spectrum": _AnalysisCommand(
        "spectrum and effective rank of pooled features", "bench analyze spectrum vit_nano", _add_spectrum_arguments
    ),
    "pca": _AnalysisCommand(
        "principal components of patch features as colours", "bench analyze pca vit_nano", _add_pca_arguments
    ),
    "neighbours": _AnalysisCommand(
        "nearest images by pooled features", "bench analyze neighbours vit_nano", _add_neighbors_arguments
    ),
}
