"""The command ``bench``: parses the command line, calls the verb, and reports every error in one sentence.

Neither this module nor the module of a verb imports anything heavy before ``main`` of the verb is called, for two
reasons: ``bench run --help`` must answer at once, and ``--device cpu`` must be known before torch is imported.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Collection, Sequence
from importlib.metadata import version
from typing import NoReturn

from benchmarks.cli.arguments.command_words import require_possible_words, shorten_parser_message
from benchmarks.cli.common_options import RENAMED_OPTIONS, add_common_switches
from benchmarks.cli.output import write_message
from benchmarks.cli.verbs import GROUP_TITLES, VERBS, load_verb
from engine.processes.launcher import apply_launcher
from foundation.display_text import escape_controls, shorten_value
from foundation.environment import ENVIRONMENT_VARIABLES, OFFLINE_VAR
from foundation.errors import BenchError, UnknownNameError, UserError
from foundation.network.access import switch_network_off
from foundation.suggest import did_you_mean


class OneLineErrorParser(argparse.ArgumentParser):
    """An argument parser that reports an error in one sentence instead of printing the usage.

    Attributes:
        requested_verb: of the main parser: the verb on the command line.
        words: the words of the command line; long ones are cut in messages.
    """

    requested_verb = ""
    words: Sequence[str] = ()

    def error(self, message: str) -> NoReturn:
        """Write one sentence to stderr and exit with code 2."""
        # argparse names unknown options only in its message; this is the one place to catch a renamed option
        if message.startswith("unrecognized arguments"):
            # "--low=0.4" is one word for argparse
            words = {word.partition("=")[0] for word in message.split()}
            for old in RENAMED_OPTIONS.keys() & words:
                message = f"{old} is called {RENAMED_OPTIONS[old]} now"
        message = shorten_parser_message(message, self.words)
        # the options are those of a verb: argparse reports unknown ones as errors of the main parser
        verb = f" {self.requested_verb}" if self.requested_verb else ""
        write_message(f"{self.prog}{verb}: {message} (see: {self.prog}{verb} --help)")
        raise SystemExit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        arguments: the words after ``bench``; by default those of the process.

    Returns:
        The exit code: 0 (done), 1 (a failure), 2 (something that the user can fix), 130 (interrupted).
    """
    _open_missing_streams()
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        require_possible_words(words)
    except UserError as error:
        return _report_error(error, debug=False)
    # checked before argparse, which would list all verbs as "invalid choice" instead of suggesting one
    if words and not words[0].startswith("-") and words[0] not in VERBS:
        message = f"unknown command {shorten_value(words[0])}{did_you_mean(words[0], VERBS, hint='see: bench --help')}"
        return _report_error(UnknownNameError(message), debug=False)
    try:
        # only the options of the requested verb, so that no other verb's module is imported
        parser = build_parser(words[:1])
        OneLineErrorParser.words = words  # of the class, as a verb such as analyze has parsers of its own
        parser.requested_verb = next((word for word in words[:1] if word in VERBS), "")
        options = parser.parse_args(words)
    except SystemExit as done:  # argparse has already written the help text or the error
        return int(done.code or 0)
    # stored in every record
    options.command_line = ["bench", *words]
    if getattr(options, "device", None) == "cpu":
        # mmengine uses every CUDA device that it finds; torch reads this variable when it is imported, which is later
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    try:
        if options.offline or OFFLINE_VAR.read_switch():
            switch_network_off()
        if hasattr(options, "launcher"):
            # before the verb: what it imports reads the variables that are checked and set here
            apply_launcher(options.launcher)
        return int(load_verb(options.verb).main(options))
    except KeyboardInterrupt:
        resumes = options.verb in ("run", "pretrain", "sweep", "demo")
        goes_on = "; the same command resumes from the last checkpoint" if resumes else ""
        write_message(f"bench: interrupted{goes_on}")
        return 130  # shells use 128 + the signal number, and Ctrl-C sends SIGINT (2)
    except BrokenPipeError:  # the reader of the pipe (head, less) has closed it
        # Python flushes stdout at exit and would fail a second time; /dev/null takes what is left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    # the last handler: a sentence instead of a trace; a plug-in that calls sys.exit(0) would look like success
    except (Exception, SystemExit) as error:  # noqa: BLE001
        return _report_error(error, options.debug)


def build_parser(verbs: Collection[str] = tuple(VERBS)) -> OneLineErrorParser:
    """Build the parser of ``bench``.

    Args:
        verbs: the verbs whose options are added. The other verbs are known only by name, so that their modules are
            not imported without need.
    """
    parser = OneLineErrorParser(
        prog="bench",
        usage="bench VERB [NOUN] [NAME] [options]",
        description="Measure how well lightweight vision backbones work on downstream tasks.",
        epilog=_format_overview(),
        # argparse would otherwise reflow the table of verbs into one paragraph
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"bench {version('litevit-bench')}")
    subparsers = parser.add_subparsers(prog="bench", dest="verb", required=True, metavar="VERB", help=argparse.SUPPRESS)
    for name, verb in VERBS.items():
        subparser = subparsers.add_parser(name, description=verb.summary, epilog=f"example: {verb.example}")
        if name in verbs:
            load_verb(name).add_arguments(subparser)
            # analyze has a parser per analysis, and each of them has these: they follow the last word
            if name != "analyze":
                add_common_switches(subparser)
    return parser


def _format_overview() -> str:
    """Format the verbs by group and the environment variables for ``bench --help``."""
    lines: list[str] = []
    for group, title in GROUP_TITLES.items():
        lines += [f"{title}:"]
        lines += [f"  {name:8} {verb.summary}" for name, verb in VERBS.items() if verb.group == group]
        lines += [""]
    lines += ["environment:"]
    lines += [f"  {variable.name:18} {variable.purpose}" for variable in ENVIRONMENT_VARIABLES]
    return "\n".join([*lines, "", "bench VERB --help lists the options of a verb."])


def _open_missing_streams() -> None:
    """Open /dev/null where the caller has closed stdin, stdout or stderr (``>&-``).

    Otherwise the first message ends the command, and the next file that is opened takes the number of the stream.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - until the process ends


def _report_error(error: BaseException, debug: bool) -> int:
    if debug:
        sys.stderr.write(escape_controls("".join(traceback.format_exception(error))))
    # a BenchError is an expected error with a complete sentence; its class decides between exit codes 1 and 2
    if isinstance(error, BenchError):
        write_message(f"bench: {error}")
        return error.exit_code
    # anything else is a bug or an error of a library: the first line usually says enough
    reason = str(error).splitlines()[0] if str(error) else "no message"
    hint = "" if debug else "; run again with --debug for the trace"
    write_message(f"bench: unexpected {type(error).__name__}: {reason}{hint}")
    return 1
