"""Compare a record with the command that it says it was made by."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NoReturn

from benchmarks.cli.experiments import evaluate, pretrain, run
from benchmarks.task_registry import TASKS
from foundation.errors import BenchError, UserError
from results.records.record import PRETRAINING_DOMAIN, Record
from results.records.verification import VerificationCheck

EVALUATION_VERB = "evaluate"
"""The verb that makes records of evaluations, and no others."""

ADD_ARGUMENTS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "run": run.add_arguments,
    "pretrain": pretrain.add_arguments,
    EVALUATION_VERB: evaluate.add_arguments,
}
"""The verbs whose command line says which cells were asked for."""

SHORT_OPTIONS = ("shots", "percent", "runtime", "teacher")
"""Options of ``bench run`` that are short forms of ``--set``."""


class _QuietParser(argparse.ArgumentParser):
    """A parser that raises where argparse would write to the terminal and exit."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def parse_recorded_command(record: Record) -> argparse.Namespace | None:
    """Return the options of the recorded command; ``None`` if it is none of the verbs of ``ADD_ARGUMENTS``.

    Raises:
        UserError: today's options are others.
    """
    words = record.environment.command
    if len(words) < 2 or words[0] != "bench" or words[1] not in ADD_ARGUMENTS:
        return None
    return _build_parser(words[1]).parse_args(words[2:])


@cache  # building it takes longer than parsing a command, and there may be thousands of records
def _build_parser(verb: str) -> _QuietParser:
    parser = _QuietParser(add_help=False)
    ADD_ARGUMENTS[verb](parser)
    for switch in ("--json", "--debug"):
        parser.add_argument(switch, action="store_true")
    return parser


def list_requested_values(options: argparse.Namespace) -> dict[str, list[str]]:
    """Return the texts that a command gives to each setting; several texts where it asked for several runs."""
    found = {key.strip(): [text.strip()] for key, _, text in (word.partition("=") for word in options.overrides)}
    for name in SHORT_OPTIONS:
        given = getattr(options, name, None)
        if given:
            found[name] = [str(value) for value in (given if isinstance(given, list) else [given])]
    if getattr(options, "shots", None) or getattr(options, "percent", None):
        for name in ("shots", "percent"):  # each of the two unsets the other
            found[name] = [*found.get(name, []), "none"]
    return found


def check_recorded_command(record: Record) -> Iterator[VerificationCheck]:
    """Check that the recorded command asks for this very cell; its settings are compared elsewhere."""
    words = record.environment.command
    try:
        options = parse_recorded_command(record)
    except UserError as error:
        yield VerificationCheck("command", "unchecked", f"today's bench reads it otherwise: {error}")
        return
    if options is None:
        name = " ".join(words[:2]) if words[:1] == ["bench"] else " ".join(words[:1])
        yield VerificationCheck("command", "unchecked", f"{name or 'none'} does not say which cell was asked for")
        return
    if record.is_evaluation != (words[1] == EVALUATION_VERB):
        text = f"the record is of protocol {record.protocol}, which bench {words[1]} does not write"
        yield VerificationCheck("command", "fails", text)
        return
    wrong = [
        f"{what} {stated!r}, not {asked if isinstance(asked, str) else ' or '.join(map(str, asked))}"
        for what, stated, asked in _list_statements(record, options)
        if (stated != asked if isinstance(asked, str) else stated not in asked)
    ]
    if wrong:
        yield VerificationCheck("command", "fails", f"the record says {'; '.join(wrong)}, for which its command asked")
    else:
        asked_for = "task, runtime and precision" if record.is_evaluation else "task, backbone, protocol, tier and seed"
        yield VerificationCheck("command", "holds", f"it asks for this {asked_for}")


def _list_statements(record: Record, options: argparse.Namespace) -> Iterator[tuple[str, Any, Any]]:
    """Yield what the record says, and what the command asked for: a name, or several values of which one counts."""
    if record.is_evaluation:
        # which model it is, only opening it says; a run or a file has another name than its backbone
        applied = record.backbone.arguments
        yield "task", record.task, options.task
        yield "runtime", applied.get("runtime", "torch"), options.runtime
        yield "precision", applied.get("precision", "f32"), options.precision
        return
    yield "backbone", record.backbone.name, options.backbone
    yield "tier", record.tier, options.tier
    yield "seed", record.seed, options.seeds
    yield "allow_partial", record.backbone.allow_partial, [options.allow_partial]
    if options.checkpoint == "random":
        yield "init", record.backbone.init, "random"
    else:
        yield "init", record.backbone.init, ["card", "random"] if options.checkpoint is None else ["checkpoint"]
    if record.domain == PRETRAINING_DOMAIN:
        yield "method", record.protocol, str(getattr(options, "method", None))
        yield "data", record.config.get("data"), str(getattr(options, "data", None))
        return
    yield "task", record.task, str(getattr(options, "task", None))
    yield "data_scale", record.config.get("data_scale", 1.0), getattr(options, "data_scale", [1.0])
    try:
        default = TASKS.get(record.task).protocols[0]
    except BenchError:  # a task of a package that is not installed: its first protocol is not known
        default = record.protocol
    yield "protocol", record.protocol, getattr(options, "protocol", None) or default
