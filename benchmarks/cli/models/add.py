"""``bench add backbone NAME``: store a pre-training run or a weight file under a name."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from backbones.card import format_normalization
from benchmarks.cli.output import write_json, write_stdout
from benchmarks.cli.start_options import add_start_options, get_start_fields
from foundation.display_text import format_one_line
from foundation.errors import UserError

# only for annotations: the module imports torch
if TYPE_CHECKING:
    from benchmarks.add_backbone import AddedBackbone

_MAX_LISTED = 5
"""Maximum number of tensors that are listed by name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    # one choice: the noun keeps the form of the other verbs, and leaves room for other things to add
    parser.add_argument("noun", choices=("backbone",), help="the word backbone")
    parser.add_argument("name", metavar="NAME", help="name of the new backbone: lower-case letters, digits, _")
    source = parser.add_mutually_exclusive_group(required=True)
    # dest, because "from" is a keyword of Python
    source.add_argument("--from", dest="run", type=Path, metavar="RUN", help="folder of a pre-training run")
    source.add_argument("--checkpoint", metavar="FILE", help="weight file of any known format")
    text = "architecture of --checkpoint: registry name or timm/<name>; default: proposed from the file"
    parser.add_argument("--arch", metavar="NAME", help=text)
    add_start_options(parser)
    parser.add_argument("--licence", metavar="TEXT", help="licence of the weights, for listings and records")
    parser.add_argument("--label", metavar="TEXT", help="one line about the backbone, for listings")
    text = "replace a card of that name that was added before"
    parser.add_argument("--replace", action="store_true", help=text)


def main(options: Namespace) -> int:
    """Store the encoder of a pre-training run, or a weight file, as a new backbone."""
    # imported here, because torch takes seconds
    from benchmarks.add_backbone import add_backbone, add_checkpoint
    from results.leaderboard.row_labels import require_row_label

    if options.checkpoint is not None:
        added = add_checkpoint(
            options.name,
            options.checkpoint,
            architecture=options.arch,
            licence=options.licence,
            label=require_row_label(options.label),
            replace=options.replace,
            **get_start_fields(options),
        )
        if options.json:
            write_json(added.as_dict())
        else:
            write_stdout("\n".join(map(format_one_line, _describe_added(added))))
        return 0
    _reject_file_options(options)
    stored = add_backbone(options.name, options.run, replace=options.replace)
    if options.json:
        write_json(stored)
    else:
        write_stdout(
            f"{stored['name']}: card {stored['card']}, weights {stored['weights']}\n"
            f"use it: bench run TASK --backbone {stored['name']}"
        )
    return 0


def _reject_file_options(options: Namespace) -> None:
    """Refuse options that say something of a weight file: a pre-training run states all of it.

    Raises:
        UserError: naming them.
    """
    names = ("arch", "weights_key", "mean", "std", "licence", "label")
    idle = [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) is not None]
    if idle:
        raise UserError(
            f"{', '.join(idle)} belong to --checkpoint; a pre-training run states what it is, leave them out"
        )


def _describe_added(added: AddedBackbone) -> Iterator[str]:
    """Yield what was found of a weight file, and what became of its tensors."""
    card, report = added.card, added.chosen.report
    also = ", ".join(added.chosen.names[1:])
    heads = f", {card.heads} heads" if card.heads is not None else ""
    yield f"{card.name}: card {added.card_path}, weights {added.weights_path}"
    yield f"  architecture: {card.architecture}{heads}, made for {'x'.join(map(str, card.input_size))}" + (
        f" (the same network: {also})" if also else ""
    )
    yield f"  input: {format_normalization(card.mean, card.std)}, for pixels from 0 to 1 ({added.input_source})"
    yield f"  loaded: {report.format_summary()}"
    for what in ("resized", "dropped"):
        names = getattr(report, what)
        if names:
            yield f"  {what}: {', '.join(names[:_MAX_LISTED])}" + (" ..." if len(names) > _MAX_LISTED else "")
    yield from (f"  {note}" for note in report.notes)
    yield f"use it: bench run TASK --backbone {card.name}"
