"""The command ``bench``: parses the command line, calls the verb, and reports every error in one sentence.

Neither this module nor the module of a verb imports anything heavy before ``main`` of the verb is called, for two
reasons: ``bench run --help`` must answer at once, and ``--device cpu`` must be known before torch is imported.
"""

from __future__ import annotations

import argparse
import atexit
import os
import sys
import traceback
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from benchmarks.cli.arguments.command_words import require_possible_words, shorten_parser_message
from benchmarks.cli.common_options import RENAMED_OPTIONS, add_common_switches
from benchmarks.cli.loading_note import announce_loading
from benchmarks.cli.output import ClosedOutputError, flush_stdout, write_message, write_stdout
from benchmarks.cli.verbs import COMPLETED_SHELLS, GROUP_TITLES, VERBS, load_verb
from engine.processes.launcher import apply_launcher
from engine.processes.lost_workers import describe_lost_worker
from engine.processes.memory_allocator import (
    can_repeat_command,
    can_start,
    make_restart_environment,
    restart_process,
)
from engine.processes.stop_signals import StopSignal, find_stop, get_stop_code, raise_stop_signals, silence_children
from foundation.display_text import escape_controls, shorten_value
from foundation.environment import ENVIRONMENT_VARIABLES, NO_RESTART_VAR, OFFLINE_VAR
from foundation.errors import BenchError, StorageError, UnknownNameError, UserError
from foundation.network.access import switch_network_off
from foundation.package_versions import get_own_version
from foundation.storage.fault_isolation import show_traces
from foundation.storage.write_faults import find_storage_error
from foundation.suggest import did_you_mean

LONG_VERBS = ("run", "evaluate", "pretrain", "sweep")
"""What trains or evaluates for long, and is worth a second start."""


class PrintCompletionAction(argparse.Action):
    """Write the completion script of the shell that is named, and end, as ``--version`` does."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: object, values: object, _: object = None) -> None:
        """Write the script for the shell in ``values``."""
        # imported here: it looks up every task and backbone, which no other command line has to wait for
        from benchmarks.cli.completion import render_completion

        write_stdout(render_completion(build_parser(), str(values)))
        parser.exit()


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
        The exit code: 0 (done), 1 (a failure), 2 (something that the user can fix), 128 + the number of the signal that
        stopped it (130: Ctrl-C).
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
        return _end_with_flush(int(done.code or 0))
    except Exception as error:  # noqa: BLE001 - of a library that a verb imports, such as about a variable that is set
        return _drop_unwritten_output(_report_error(error, debug="--debug" in words))
    # stored in every record
    options.command_line = ["bench", *words]
    show_traces(options.debug)
    if getattr(options, "device", None) == "cpu":
        # mmengine uses every CUDA device that it finds; torch reads this variable when it is imported, which is later
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    if arguments is None:  # the process is this command, and not a program that calls it
        try:
            _keep_memory(options)
        except UserError as error:
            return _report_error(error, options.debug)
    with raise_stop_signals():
        try:
            return _run_verb(options)
        except KeyboardInterrupt as stop:
            return _report_stop(stop, options)


def _keep_memory(options: argparse.Namespace) -> None:
    """Start a command that trains or evaluates on the CPU again with an allocator that keeps memory, and say so.

    Raises:
        UserError: a variable of the environment has a value that it cannot have.
    """
    if options.verb not in LONG_VERBS or getattr(options, "dry_run", False) or not can_repeat_command():
        return
    environment = make_restart_environment(getattr(options, "device", "cpu"))
    if environment is not None and can_start(environment):
        library = Path(environment["LD_PRELOAD"].split()[0]).name
        if os.environ.get("RANK", "0") == "0":
            write_message(f"bench: started with {library}, which keeps memory ({NO_RESTART_VAR.name}=1: without)")
        restart_process(environment)


def _run_verb(options: argparse.Namespace) -> int:
    try:
        if options.offline or OFFLINE_VAR.read_switch():
            switch_network_off()
        if hasattr(options, "launcher"):
            # before the verb: what it imports reads the variables that are checked and set here
            apply_launcher(options.launcher)
        with announce_loading():
            return _end_with_flush(int(load_verb(options.verb).main(options)))
    except ClosedOutputError:
        return _drop_unwritten_output(1)
    # the last handler: a sentence instead of a trace; a plug-in that calls sys.exit(0) would look like success
    except (Exception, SystemExit) as error:
        stop = find_stop()
        # a library may turn a stop into an error of its own, and the processes of a loader are sent the signal too
        if stop is not None and not isinstance(error, BenchError):
            raise stop from error
        return _drop_unwritten_output(_report_error(error, options.debug))


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
    parser.add_argument("--version", action="version", version=f"bench {get_own_version()}")
    text = "write a script with which the shell completes verbs, options and names (docs/guides/install.md)"
    parser.add_argument("--print-completion", action=PrintCompletionAction, choices=COMPLETED_SHELLS, help=text)
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


def _end_with_flush(code: int) -> int:
    """Return the exit code once all of stdout is written; Python itself reports nothing where that fails at exit."""
    try:
        flush_stdout()
    except ClosedOutputError:
        return _drop_unwritten_output(1)
    except StorageError as error:
        return _drop_unwritten_output(_report_error(error, debug=False))
    return code


def _drop_unwritten_output(code: int) -> int:
    """Send what cannot be written to nowhere (a terminal may be gone): Python would fail on it again at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code


def _report_stop(stop: KeyboardInterrupt, options: argparse.Namespace) -> int:
    """Say how to go on after Ctrl-C or another signal, and return the exit code that shells use for it."""
    what = str(stop) if isinstance(stop, StopSignal) else "interrupted"
    atexit.register(silence_children)
    resumes = options.verb in ("run", "pretrain", "sweep", "demo")
    goes_on = "; the same command resumes from the last checkpoint" if resumes else ""
    if options.debug:
        with suppress(OSError):
            sys.stderr.write(escape_controls("".join(traceback.format_exception(stop))))
    write_message(f"bench: {what}{goes_on}")
    return _drop_unwritten_output(get_stop_code(stop))


def _report_error(error: BaseException, debug: bool) -> int:
    if debug:
        sys.stderr.write(escape_controls("".join(traceback.format_exception(error))))
    error = find_storage_error(error) or error
    # a BenchError is an expected error with a complete sentence; its class decides between exit codes 1 and 2
    if isinstance(error, BenchError):
        write_message(f"bench: {error}")
        return error.exit_code
    if (lost := describe_lost_worker(error)) is not None:
        write_message(f"bench: {lost}")
        return 1
    # anything else is a bug or an error of a library: the first line usually says enough
    reason = str(error).splitlines()[0] if str(error) else "no message"
    hint = "" if debug else "; run again with --debug for the trace"
    write_message(f"bench: unexpected {type(error).__name__}: {reason}{hint}")
    return 1
