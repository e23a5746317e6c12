"""Options that several verbs have, and the checks of their values. Nothing heavy is imported here."""

from __future__ import annotations

import argparse
from pathlib import Path


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
    parser.add_argument("--data-root", type=Path, default=None, metavar="DIR", help="default: $BENCH_DATA, else data/")


def add_device_option(parser: argparse.ArgumentParser, purpose: str | None = None) -> None:
    """``--device``: the CPU, a GPU, or a GPU where there is one."""
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help=purpose)


def add_overrides_option(parser: argparse.ArgumentParser, purpose: str) -> None:
    """``--set KEY=VALUE ...``, also several times."""
    parser.add_argument(
        "--set", dest="overrides", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=purpose
    )
