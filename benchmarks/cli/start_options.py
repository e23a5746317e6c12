"""The options that go with ``--checkpoint``: which weights of a file, for what input, and the name of the row."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Iterable
from typing import Any

from analysis.request import BackboneChoice
from backbones.weights import RANDOM_INIT
from foundation.errors import UserError

CARD_WEIGHTS = "card"
"""The word that stands for the weights of the card in ``--checkpoint`` of data-scale."""


def add_start_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that belong to ``--checkpoint``: which weights of the file, and what input they expect."""
    text = "weights to take from a file with several versions, e.g. model; default: the running average"
    parser.add_argument("--weights-key", metavar="KEY", help=text)
    for name, what in (("--mean", "mean"), ("--std", "standard deviation")):
        text = f"{what} of each channel, for pixels from 0 to 1; default: the card's"
        parser.add_argument(name, type=float, nargs="+", metavar="VALUE", help=text)


def add_label_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--label``."""
    text = "name of the row on boards; changes no number and no id"
    parser.add_argument("--label", metavar="TEXT", help=text)


def get_start_fields(options: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of a request that ``add_start_options`` fills."""
    return {
        "weights_key": options.weights_key,
        "mean": None if options.mean is None else tuple(options.mean),
        "std": None if options.std is None else tuple(options.std),
    }


def pair_checkpoints(options: Namespace) -> tuple[BackboneChoice, ...]:
    """Pair backbones with their start weights; without ``--checkpoint`` each one has the weights of its card.

    ``--weights-key``, ``--mean`` and ``--std`` belong to the files.

    Raises:
        UserError: the number of checkpoints differs from the number of backbones.
    """
    names, checkpoints = options.names, options.checkpoint
    if checkpoints is not None and len(checkpoints) != len(names):
        raise UserError(
            f"--checkpoint takes one file per backbone: {len(names)}, not {len(checkpoints)}; write 'card' for the "
            "weights of the card"
        )
    files = [None if file == CARD_WEIGHTS else file for file in checkpoints or [CARD_WEIGHTS] * len(names)]
    return choose_starts(zip(names, files, strict=True), options)


def choose_starts(choices: Iterable[tuple[str, str | None]], options: Namespace) -> tuple[BackboneChoice, ...]:
    """Return backbones with their start weights, given as file, ``random`` or ``None``.

    Raises:
        UserError: an option that says something of a file, and no file.
    """
    start, found = get_start_fields(options), []
    for name, file in choices:
        is_file = file not in (None, RANDOM_INIT)
        found.append(BackboneChoice(name, file, **(start if is_file else {})))
    if any(start.values()) and all(each.checkpoint in (None, RANDOM_INIT) for each in found):
        raise UserError("--weights-key, --mean and --std belong to a weight file, and none is named; leave them out")
    return tuple(found)
