"""The command ``bench``: reads the words, calls the verb, and turns every error into one sentence.

Nothing heavy is imported here, nor by the module of a verb before its ``main`` is called: ``bench run --help`` answers
at once, and ``--device cpu`` must be known before torch is imported.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Collection, Sequence
from importlib.metadata import version
from typing import NoReturn

from benchmarks.cli.common_options import RENAMED_OPTIONS
from benchmarks.cli.verbs import GROUP_TITLES, VERBS, load_verb
from foundation.environment import ENVIRONMENT_VARIABLES
from foundation.errors import BenchError, UnknownNameError
from foundation.suggest import did_you_mean


class OneLineErrorParser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one sentence."""

    def error(self, message: str) -> NoReturn:
        """Write the sentence to stderr and exit with code 2."""
        if message.startswith("unrecognized arguments"):
            words = {word.partition("=")[0] for word in message.split()}
            for old in RENAMED_OPTIONS.keys() & words:
                message = f"{old} is called {RENAMED_OPTIONS[old]} now"
        sys.stderr.write(f"{self.prog}: {message} (see: {self.prog} --help)\n")
        raise SystemExit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        arguments: words after ``bench``; those of the process where not given.

    Returns:
        The exit code: 0, 1 (a failure), 2 (something the user can put right), 130 (interrupted).
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and not words[0].startswith("-") and words[0] not in VERBS:
        message = f"unknown command {words[0]!r}{did_you_mean(words[0], VERBS, hint='see: bench --help')}"
        return _report_error(UnknownNameError(message), debug=False)
    try:
        options = build_parser(words[:1]).parse_args(words)
    except SystemExit as done:  # argparse has said why
        return int(done.code or 0)
    options.command_line = ["bench", *words]
    if getattr(options, "device", None) == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # mmengine takes any CUDA it sees; torch is not imported yet
    try:
        return int(load_verb(options.verb).main(options))
    except KeyboardInterrupt:
        goes_on = "; the same command goes on from the last checkpoint" if options.verb in ("run", "demo") else ""
        sys.stderr.write(f"bench: interrupted{goes_on}\n")
        return 130
    except BrokenPipeError:  # the reader of a pipe (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 - the last line of defence: a sentence, not a trace
        return _report_error(error, options.debug)


def build_parser(verbs: Collection[str] = tuple(VERBS)) -> argparse.ArgumentParser:
    """The parser of ``bench``.

    Args:
        verbs: those whose options are added; of the others only the name is known, so that their modules are not
            imported for nothing.
    """
    parser = OneLineErrorParser(
        prog="bench",
        usage="bench VERB [NOUN] [NAME] [options]",
        description="What a lightweight vision backbone is worth downstream.",
        epilog=_format_overview(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"bench {version('litevit-bench')}")
    subparsers = parser.add_subparsers(prog="bench", dest="verb", required=True, metavar="VERB", help=argparse.SUPPRESS)
    for name, verb in VERBS.items():
        subparser = subparsers.add_parser(name, description=verb.summary, epilog=f"example: {verb.example}")
        if name in verbs:
            load_verb(name).add_arguments(subparser)
            if name != "analyze":  # each of its analyses has these two
                add_common_switches(subparser)
    return parser


def add_common_switches(parser: argparse.ArgumentParser) -> None:
    """``--json`` and ``--debug``, which every verb has."""
    parser.add_argument("--json", action="store_true", help="machine-readable output on stdout")
    parser.add_argument("--debug", action="store_true", help="show the full trace of an error")


def _format_overview() -> str:
    """Verbs by group, and environment variables, for ``bench --help``."""
    lines: list[str] = []
    for group, title in GROUP_TITLES.items():
        lines += [f"{title}:"]
        lines += [f"  {name:8} {verb.summary}" for name, verb in VERBS.items() if verb.group == group]
        lines += [""]
    lines += ["environment:"]
    lines += [f"  {variable.name:18} {variable.purpose}" for variable in ENVIRONMENT_VARIABLES]
    return "\n".join([*lines, "", "bench VERB --help says more."])


def _report_error(error: Exception, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    if isinstance(error, BenchError):
        sys.stderr.write(f"bench: {error}\n")
        return error.exit_code
    reason = str(error).splitlines()[0] if str(error) else "no message"
    hint = "" if debug else "; run again with --debug for the trace"
    sys.stderr.write(f"bench: unexpected {type(error).__name__}: {reason}{hint}\n")
    return 1
