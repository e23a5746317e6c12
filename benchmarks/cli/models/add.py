"""``bench add backbone NAME --from RUN``."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path

from benchmarks.cli.output import write_json, write_stdout


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("noun", choices=("backbone",), help="the word backbone")
    parser.add_argument("name", metavar="NAME", help="what to call it: small letters, digits, _")
    parser.add_argument(
        "--from", dest="run", type=Path, required=True, metavar="RUN", help="folder of a pre-training run"
    )
    parser.add_argument("--replace", action="store_true", help="over a card of that name that was added before")


def main(options: Namespace) -> int:
    """Keep a pre-training run's encoder as a backbone of its own."""
    from benchmarks.add_backbone import add_backbone

    added = add_backbone(options.name, options.run, replace=options.replace)
    if options.json:
        write_json(added)
    else:
        write_stdout(
            f"{added['name']}: card {added['card']}, weights {added['weights']}\n"
            f"use it: bench run TASK --backbone {added['name']}"
        )
    return 0
