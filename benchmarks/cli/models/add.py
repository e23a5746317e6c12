"""``bench add backbone NAME --from RUN``: store a pre-trained backbone under a name."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path

from benchmarks.cli.output import write_json, write_stdout


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    # one choice: the noun keeps the form of the other verbs, and leaves room for other things to add
    parser.add_argument("noun", choices=("backbone",), help="the word backbone")
    parser.add_argument("name", metavar="NAME", help="name of the new backbone: lower-case letters, digits, _")
    # dest, because "from" is a keyword of Python
    parser.add_argument(
        "--from", dest="run", type=Path, required=True, metavar="RUN", help="folder of a pre-training run"
    )
    text = "replace a card of that name that was added before"
    parser.add_argument("--replace", action="store_true", help=text)


def main(options: Namespace) -> int:
    """Store the encoder of a pre-training run as a new backbone."""
    # imported here, because torch takes seconds
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
