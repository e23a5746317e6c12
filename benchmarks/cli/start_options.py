"""The options that name a model: ``--checkpoint`` and what goes with it, and a finished model as a whole."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from analysis.request import BackboneChoice
from backbones.weights import RANDOM_INIT
from benchmarks.cli.arguments.number_types import parse_finite
from benchmarks.cli.common_options import add_runs_option
from engine.evaluation.model_source import PRECISIONS, RUNTIMES, ModelSource
from foundation.errors import UserError

CARD_WEIGHTS = "card"
"""The word that stands for the weights of the card in ``--checkpoint`` of data-scale."""


def add_start_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that belong to ``--checkpoint``: which weights of the file, and what input they expect."""
    text = "weights to take from a file with several versions, e.g. model; default: the running average"
    parser.add_argument("--weights-key", metavar="KEY", help=text)
    for name, what in (("--mean", "mean"), ("--std", "standard deviation")):
        text = f"{what} of each channel, for pixels from 0 to 1; default: the card's"
        parser.add_argument(name, type=parse_finite, nargs="+", metavar="VALUE", help=text)


def add_label_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--label``."""
    text = "name of the row on boards; changes no number and no id"
    parser.add_argument("--label", metavar="TEXT", help=text)


def add_teacher_options(parser: argparse.ArgumentParser, protocols: str) -> None:
    """Add the options that name a teacher.

    Args:
        parser: the verb's parser.
        protocols: which protocols have a teacher, in words.
    """
    parser.add_argument("--teacher", metavar="NAME", help=f"{protocols}: registry name or timm/<name>")
    text = "weight file of the teacher, or the folder of a run that trained it"
    parser.add_argument("--teacher-checkpoint", metavar="PATH", help=text)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a finished model and say how it is computed."""
    text = "a finished run of bench: its folder or the start of its id"
    parser.add_argument("--run", metavar="RUN", help=text)
    text = "registry name or timm/<name>, with the head of its own weights or of --checkpoint"
    parser.add_argument("--backbone", metavar="NAME", help=text)
    text = "file with the weights of the whole model, its head included; alone: a file in the folder of a run"
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help=text)
    text = "config file of mmsegmentation for --checkpoint; it is code and is executed, so it must be trusted"
    parser.add_argument("--config", type=Path, metavar="FILE", help=text)
    text = "weights to take from a file with several versions, e.g. model; default: the running average"
    parser.add_argument("--weights-key", metavar="KEY", help=text)
    text = "what computes the network; default: torch. The others compute an export that is made first"
    parser.add_argument("--runtime", choices=RUNTIMES, default="torch", help=text)
    text = "precision of an exported network; default: f32"
    parser.add_argument("--precision", choices=PRECISIONS, default="f32", help=text)
    add_runs_option(parser)


def make_model_source(options: Namespace, overrides: Iterable[str] = ()) -> ModelSource:
    """Return the finished model that ``add_model_options`` and ``--device`` name.

    Args:
        options: the options of a verb.
        overrides: how the model is applied, as ``key=value``.

    Raises:
        UnknownNameError: there is no such run.
    """
    from benchmarks.find_run import find_run

    return ModelSource(
        run=None if options.run is None else find_run(options.run, options.runs)[0],
        backbone=options.backbone,
        checkpoint=options.checkpoint,
        weights_key=options.weights_key,
        config=options.config,
        device=options.device,
        runtime=options.runtime,
        precision=options.precision,
        overrides=tuple(overrides),
    )


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
