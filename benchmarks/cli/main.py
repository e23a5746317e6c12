"""The command ``bench``: a thin shell over functions that return data. Nothing heavy is imported here."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import NoReturn

from benchmarks.cli.options import ARGUMENT_BUILDERS, RENAMED_OPTIONS
from foundation.environment import ENVIRONMENT_VARIABLES
from foundation.errors import BenchError, UnknownNameError
from foundation.suggest import did_you_mean

Handler = Callable[[argparse.Namespace], int]

VERBS = {
    "run": ("train and evaluate a backbone on a task", "bench run digits --backbone vit_nano"),
    "pretrain": ("make a backbone without labels", "bench pretrain mae --backbone vit_nano --data digits"),
    "add": ("keep a pre-trained backbone under a name", "bench add backbone my_mae --from runs/pretrain/RUN"),
    "list": ("what there is: tasks, backbones, protocols, pre-training methods, runs", "bench list tasks"),
    "show": ("one backbone, task or run in full", "bench show backbone vit_nano"),
    "table": ("leaderboard of the runs found, as text or a page", "bench table --runs runs --html page"),
    "compare": ("two backbones or runs: difference, interval, p, which items part", "bench compare vit_nano vit_pico"),
    "verify": ("whether records still follow from their files; --rerun-eval", "bench verify runs"),
    "score": ("score result files by a set's rules", "bench score lasot --results results/atom"),
    "track": (
        "follow a target through a video, a folder of images or a camera",
        "bench track walk.mp4 --init 240,110,60,150 --run runs/mini_lasot/RUN",
    ),
    "export": ("a finished tracker for ONNX Runtime or OpenVINO", "bench export runs/mini_lasot/RUN --format openvino"),
    "profile": ("what backbones cost: MACs, memory, time", "bench profile vit_nano vit_pico --batch 8"),
    "analyze": (
        "look inside: cka, attention, layers, data-scale, spectrum, pca, neighbours",
        "bench analyze cka vit_nano vit_pico",
    ),
    "get": ("weights or data, or how to fetch them by hand", "bench get weights mae_tiny"),
    "check": ("whether a backbone keeps the contract, whether data are whole", "bench check data digits"),
    "cache": ("kept features of frozen backbones and statistics of boards; --prune", "bench cache --prune 30"),
    "demo": ("a real run on embedded data, ending in a table and a page", "bench demo"),
    "doctor": ("what is installed, what is wrong, and the mend", "bench doctor"),
}


GROUPS = {
    **dict.fromkeys(("run", "pretrain", "analyze", "demo"), "experiments"),
    **dict.fromkeys(("list", "show", "table", "compare", "verify", "score"), "results"),
    **dict.fromkeys(("profile", "export", "track", "add"), "models"),
    **dict.fromkeys(("get", "check", "cache", "doctor"), "setup"),
}


class _OneLineErrorParser(argparse.ArgumentParser):
    """Says what is wrong in one sentence."""

    def error(self, message: str) -> NoReturn:
        """Write the sentence to stderr and exit with code 2."""
        if message.startswith("unrecognized arguments"):
            words = {word.partition("=")[0] for word in message.split()}
            for old in RENAMED_OPTIONS.keys() & words:
                message = f"{old} is called {RENAMED_OPTIONS[old]} now"
        sys.stderr.write(f"{self.prog}: {message} (see: {self.prog} --help)\n")
        raise SystemExit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code: 0, 1 (a failure), 2 (the user's mistake), 130 (interrupted)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and not words[0].startswith("-") and words[0] not in VERBS:
        message = f"unknown command {words[0]!r}{did_you_mean(words[0], VERBS, hint='see: bench --help')}"
        return _report_error(UnknownNameError(message), debug=False)
    try:
        options = _build_parser().parse_args(words)
    except SystemExit as done:  # argparse has said why
        return int(done.code or 0)
    options.command_line = ["bench", *words]
    if getattr(options, "device", None) == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # mmengine takes any CUDA it sees; torch is not imported yet
    try:
        handler: Handler = importlib.import_module(f"benchmarks.cli.{GROUPS[options.verb]}.{options.verb}").main
        return handler(options)
    except KeyboardInterrupt:
        goes_on = "; the same command goes on from the last checkpoint" if options.verb in ("run", "demo") else ""
        sys.stderr.write(f"bench: interrupted{goes_on}\n")
        return 130
    except BrokenPipeError:  # the reader of a pipe (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 - the last line of defence: a sentence, not a trace
        return _report_error(error, options.debug)


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


def _build_parser() -> argparse.ArgumentParser:
    lines = [f"  {name:8} {text}" for name, (text, _) in VERBS.items()]
    variables = [f"  {variable.name:18} {variable.purpose}" for variable in ENVIRONMENT_VARIABLES]
    parser = _OneLineErrorParser(
        prog="bench",
        usage="bench VERB [NOUN] [NAME] [options]",
        description="What a lightweight vision-transformer backbone is worth downstream.",
        epilog="\n".join(["verbs:", *lines, "", "environment:", *variables, "", "bench VERB --help says more."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"bench {version('litevit-bench')}")
    verbs = parser.add_subparsers(prog="bench", dest="verb", required=True, metavar="VERB", help=argparse.SUPPRESS)
    for name, (text, example) in VERBS.items():
        verb = verbs.add_parser(
            name,
            description=text,
            epilog=f"example: {example}",
        )
        ARGUMENT_BUILDERS[name](verb)
        if name == "analyze":  # each of its analyses has these two
            continue
        verb.add_argument("--json", action="store_true", help="machine-readable output on stdout")
        verb.add_argument("--debug", action="store_true", help="show the full trace of an error")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
