"""Options that several verbs have, and the checks of their values. Nothing heavy is imported here."""

from __future__ import annotations

import argparse
from pathlib import Path

RENAMED_OPTIONS = {"--low": "--lost-threshold", "--health": "--knn-data"}
"""Options of earlier versions, and what they are called now."""


def parse_positive_int(text: str) -> int:
    """A whole number above 0.

    Raises:
        argparse.ArgumentTypeError: anything else; argparse says it with the option's name.
    """
    if not text.isascii() or not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text!r}")
    return int(text)


def parse_nonnegative_int(text: str) -> int:
    """A whole number, 0 or above.

    Raises:
        argparse.ArgumentTypeError: anything else.
    """
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or above, not {text!r}")
    return int(text)


def add_data_root_option(parser: argparse.ArgumentParser) -> None:
    """``--data-root``: where data sets are."""
    text = "folder of the data sets; default: $BENCH_DATA, else data/"
    parser.add_argument("--data-root", type=Path, default=None, metavar="DIR", help=text)


def add_device_option(
    parser: argparse.ArgumentParser, purpose: str = "where to compute; auto: on a GPU where there is one"
) -> None:
    """``--device``: the CPU, a GPU, or a GPU where there is one."""
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help=purpose)


def add_output_options(parser: argparse.ArgumentParser, out: Path = Path("runs")) -> None:
    """``--out`` and ``--device``, of verbs that compute."""
    parser.add_argument("--out", type=Path, default=out, metavar="DIR", help=f"folder of the runs; default: {out}/")
    add_device_option(parser)


def add_runs_option(parser: argparse.ArgumentParser) -> None:
    """``--runs``: folders below which records are searched."""
    text = "folders below which records are searched; default: runs/"
    parser.add_argument("--runs", type=Path, nargs="+", default=[Path("runs")], metavar="DIR", help=text)


def add_overrides_option(parser: argparse.ArgumentParser, purpose: str) -> None:
    """``--set KEY=VALUE ...``, also several times."""
    parser.add_argument(
        "--set", dest="overrides", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=purpose
    )


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """What every verb that trains has: seeds, tier, data, and when a run is refused or done again."""
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N", help="one record each; default: 0")
    parser.add_argument(
        "--tier",
        choices=("smoke", "short", "full"),
        default="full",
        help="length of the schedule: smoke (a few steps, to see that it works), short (to look at), full (the "
        "protocol's own; default); each tier has boards of its own",
    )
    add_data_root_option(parser)
    parser.add_argument("--subset", action="store_true", help="run on data that are not the whole official set")
    parser.add_argument("--allow-partial", action="store_true", help="accept a checkpoint that fills only a part")
    parser.add_argument("--fresh", action="store_true", help="run again although a record exists")
    add_output_options(parser)
