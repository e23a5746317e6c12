"""The command line of ``bench analyze``. Imports nothing heavy: ``bench --help`` reads it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

AT = ("papers", "norm1", "attn", "mlp", "blocks")
PROBE, FINETUNE = "probe", "finetune"


class _What(NamedTuple):
    """An analysis: what it is, and an example."""

    text: str
    example: str
    add: Callable[[argparse.ArgumentParser], None]


def add(parser: argparse.ArgumentParser) -> None:
    """Give the verb a parser for each analysis."""
    kinds = parser.add_subparsers(prog="bench analyze", dest="what", required=True, metavar="WHAT")
    for name, what in WHATS.items():
        one = kinds.add_parser(name, help=what.text, description=what.text, epilog=f"example: {what.example}")
        what.add(one)
        one.add_argument("--data-root", type=Path, metavar="DIR", help="default: $BENCH_DATA, else data/")
        one.add_argument("--subset", action="store_true", help="look at data that are not the official set whole")
        one.add_argument("--allow-partial", action="store_true", help="accept a checkpoint that fills only part")
        one.add_argument("--fresh", action="store_true", help="do it anew although a record exists")
        text = "the store; analyses go to DIR/analysis (default: runs/)"
        one.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help=text)
        one.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
        one.add_argument("--json", action="store_true", help="machine-readable output on stdout")
        one.add_argument("--debug", action="store_true", help="show the full trace of an error")


def _cka(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="A", help="registry name or timm/<name>")
    parser.add_argument("second", metavar="B", help="the same, or A again")
    parser.add_argument("--checkpoint-a", metavar="FILE", help="weight file of A, or the word 'random'")
    parser.add_argument("--checkpoint-b", metavar="FILE", help="weight file of B, or the word 'random'")
    text = "papers: first norm of each block and the final norm (default); or one part of each block"
    parser.add_argument("--at", choices=AT, default="papers", help=text)
    parser.add_argument("--batch", type=positive, default=128, metavar="N", help="images a batch; default: 128")
    _images(parser)


def _attention(parser: argparse.ArgumentParser) -> None:
    _one(parser)
    text = "pixels a grid step: the patch (default), or the papers' 14 whatever the patch"
    parser.add_argument("--distance", choices=("patch", "papers"), default="patch", help=text)
    text = "images whose attention maps are drawn; default: 4"
    parser.add_argument("--pictures", type=whole, default=4, metavar="N", help=text)
    _images(parser)


def _layers(parser: argparse.ArgumentParser) -> None:
    _one(parser)
    _task(parser, protocol="finetune")
    text = "which half: linear and k-NN probes after each block, fine-tuning from the first k blocks; default: both"
    parser.add_argument("--parts", choices=(PROBE, FINETUNE), nargs="+", default=[PROBE, FINETUNE], help=text)
    text = "values of k; default: quarters of the depth"
    parser.add_argument("--first", type=whole, nargs="+", metavar="K", help=text)


def _data_scale(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="A", nargs="+", help="registry names or timm/<name>")
    text = "start weights, one each in the order of the backbones: a file, 'random', or 'card' for the card's own"
    parser.add_argument("--checkpoint", nargs="+", metavar="FILE", help=text)
    _task(parser, protocol=None)


def _spectrum(parser: argparse.ArgumentParser) -> None:
    _one(parser)
    _images(parser)


def _pca(parser: argparse.ArgumentParser) -> None:
    _one(parser)
    text = "images that are drawn, and whose patches the components are of; default: 8"
    parser.add_argument("--pictures", type=positive, default=8, metavar="N", help=text)
    _images(parser, count=False)


def _neighbours(parser: argparse.ArgumentParser) -> None:
    _one(parser)
    parser.add_argument("--queries", type=positive, default=6, metavar="N", help="query images; default: 6")
    parser.add_argument("--neighbours", type=positive, default=7, metavar="K", help="for each; default: 7")
    _images(parser)


def _one(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="A", help="registry name or timm/<name>")
    parser.add_argument("--checkpoint", metavar="FILE", help="weight file, or the word 'random'")


def _images(parser: argparse.ArgumentParser, count: bool = True) -> None:
    parser.add_argument("--data", default="digits", metavar="TASK", help="whose images; default: digits (embedded)")
    parser.add_argument("--split", default="val", help="of the data; default: val")
    if count:
        text = "how many images; default: 1,024, or all where there are fewer"
        parser.add_argument("--images", type=positive, metavar="N", help=text)
    parser.add_argument("--img-size", type=positive, metavar="PIXELS", help="input side; default: the card's")
    parser.add_argument("--seed", type=whole, default=0, metavar="N", help="of random weights; default: 0")


def _task(parser: argparse.ArgumentParser, protocol: str | None) -> None:
    parser.add_argument("--task", required=True, metavar="TASK", help="see: bench list tasks")
    parser.add_argument("--protocol", default=protocol, help=f"default: {protocol or 'the first of the task'}")
    parser.add_argument("--tier", choices=("smoke", "short", "full"), default="full")
    parser.add_argument("--seeds", type=whole, nargs="+", default=[0], metavar="N", help="one run each")
    parser.add_argument(
        "--data-scale", type=float, nargs="+", default=[1.0], metavar="SHARE",
        help="share of the training items, e.g. 0.01 0.1 1.0; one run each",
    )  # fmt: skip
    parser.add_argument(
        "--set", dest="overrides", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="change the protocol's configuration, e.g. epochs=5",
    )  # fmt: skip


def positive(text: str) -> int:
    """A whole number above 0."""
    if whole(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text!r}")
    return int(text)


def whole(text: str) -> int:
    """A whole number, 0 or above."""
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}")
    return int(text)


WHATS = {
    "cka": _What(
        "how alike the layers of two backbones are (CKA heat map)", "bench analyze cka vit_nano vit_pico", _cka
    ),
    "attention": _What(
        "how far and how widely each head looks, and maps of single images",
        "bench analyze attention vit_nano",
        _attention,
    ),
    "layers": _What(
        "which layers matter: probes after each block, fine-tuning from the first k",
        "bench analyze layers vit_nano --task digits --parts probe",
        _layers,
    ),
    "data-scale": _What(
        "transfer against the amount of data, several backbones in one figure",
        "bench analyze data-scale vit_nano vit_pico --task digits --protocol linear --data-scale 0.1 1.0",
        _data_scale,
    ),
    "spectrum": _What("spectrum and effective rank of pooled features", "bench analyze spectrum vit_nano", _spectrum),
    "pca": _What("principal components of patch features as colours", "bench analyze pca vit_nano", _pca),
    "neighbours": _What("nearest images by pooled features", "bench analyze neighbours vit_nano", _neighbours),
}
