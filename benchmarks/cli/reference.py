"""Write the page ``docs/reference/cli.md`` from the parser, so that the page cannot be outdated.

``make docs-cli`` writes the page; ``tests/benchmarks/cli/test_reference.py`` checks that the committed page is current.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.cli.arguments.subparsers import get_subparsers
from benchmarks.cli.main import build_parser
from benchmarks.cli.verbs import GROUP_TITLES, VERBS
from foundation.environment import ENVIRONMENT_VARIABLES
from foundation.files import write_atomic

COMMON_OPTIONS = ("--help", "--json", "--debug", "--offline")
"""Options of every verb; the page explains them only once, at the top."""

_INTRODUCTION = """\
# The command line

<!-- Written by `make docs-cli` from the parser; change the help texts in benchmarks/cli/, not this page. -->

`bench VERB --help` prints the same text in the terminal. The verbs are:

{overview}

## Options of every verb

| option | meaning |
| --- | --- |
| `--help` | show the arguments and options, and an example |
| `--json` | write machine-readable output to stdout; progress and warnings go to stderr |
| `--debug` | show the full trace of an error instead of one sentence |
| `--offline` | never use the network; what is not on this machine is named at once (same as `BENCH_OFFLINE=1`) |

Without a verb, `bench --version` prints the version, and `bench --print-completion SHELL` writes a script
with which bash, zsh or tcsh completes verbs, options and names
([how to use it](../guides/install.md#completion-in-the-shell)).

## Exit codes

| code | meaning |
| --- | --- |
| 0 | success |
| 1 | a failure: a training that diverged, incomplete results, a record that fails verification |
| 2 | an error that you can fix: a wrong name, a missing file, an option that does not fit; nothing was computed |
| 129, 130, 143 | stopped by SIGHUP (the terminal was closed), Ctrl-C or SIGTERM: 128 + the number of the signal |

## Environment variables

| variable | meaning |
| --- | --- |
{variables}
"""


def main(arguments: list[str]) -> int:
    """Write the page to a file.

    Args:
        arguments: one word, the path of the page.
    """
    # not a verb of bench: only this repository has the page
    file = arguments[0] if arguments else "docs/reference/cli.md"
    write_atomic(Path(file), render_cli_reference())
    return 0


def render_cli_reference() -> str:
    """Return the complete page as Markdown."""
    # without an argument build_parser adds the options of every verb
    parsers = get_subparsers(build_parser())
    # the overview and the sections follow the order of bench --help
    overview = ["| verb | what it does |", "| --- | --- |"]
    sections: list[str] = []
    for group, title in GROUP_TITLES.items():
        sections.append(f"## {title[0].upper()}{title[1:]}\n")
        for name, verb in VERBS.items():
            if verb.group == group:
                overview.append(f"| [`bench {name}`](#bench-{name}) | {_escape_cell(verb.summary)} |")
                sections.extend(_render_verb(f"bench {name}", parsers[name], level=3))
    variables = "\n".join(
        f"| `{variable.name}` | {_escape_cell(variable.purpose)} |" for variable in ENVIRONMENT_VARIABLES
    )
    introduction = _INTRODUCTION.format(overview="\n".join(overview), variables=variables)
    return "\n".join([introduction, *sections]).rstrip("\n") + "\n"


def format_default(action: argparse.Action) -> str:
    """Return the default of an argument as the page displays it.

    Args:
        action: the argument as argparse stores it.

    Returns:
        ``required``, ``off`` for a switch, the value as code, or the default that the help text names.
    """
    if action.required:
        return "required"
    if action.nargs == 0:  # store_true and store_false take no value
        return "off"
    # None means that the verb finds the default later (a card, an environment variable); the help text names it
    if action.default in (None, []):
        return _escape_cell(_split_default(action.help or "")[1]) or "none"
    values = action.default if isinstance(action.default, list) else [action.default]
    return f"`{' '.join(map(str, values))}`"


def _render_verb(command: str, parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    """Yield the lines of one verb: summary, usage, example and arguments, then the same for its sub-commands."""
    yield f"{'#' * level} {command}\n"
    description = parser.description or ""
    yield f"{_escape_cell(description[:1].upper() + description[1:])}.\n"
    children = get_subparsers(parser)
    yield "```text"
    yield f"{command} {_format_usage(parser)}"
    yield "```\n"
    # a verb with sub-commands (analyze) has no arguments of its own
    if not children:
        yield "```bash"
        yield (parser.epilog or "").removeprefix("example: ")
        yield "```\n"
        yield from _render_arguments(parser)
    for name, child in children.items():
        yield from _render_verb(f"{command} {name}", child, level + 1)


def _format_usage(parser: argparse.ArgumentParser) -> str:
    """Return the required arguments, followed by ``[options]`` for the others."""
    words: list[str] = []
    for action in _list_arguments(parser):
        if action.required:
            # a positional argument has no option string, so only the name of its value remains
            words.append(" ".join([*action.option_strings[:1], _format_value_names(action)]))
    return " ".join([*words, "[options]"])


def _format_value_names(action: argparse.Action) -> str:
    """Return the values of an argument as in a usage line: ``NAME``, ``NAME ...``, ``backbone|data``."""
    if action.choices is not None:
        name = "|".join(map(str, action.choices))
    else:
        name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    return f"{name} ..." if action.nargs == "+" else name


def _render_arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield "| argument | value | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for action in _list_arguments(parser):
        name = ", ".join(action.option_strings) or _escape_pipes(_format_value_names(action))
        meaning = _escape_cell(_split_default(action.help or "")[0])
        yield f"| `{name}` | {_format_value_cell(action)} | {format_default(action)} | {meaning} |"
    yield ""


def _list_arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a verb, except those of every verb and the choice of a sub-command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) or not set(action.option_strings) & set(COMMON_OPTIONS):
            yield action


def _format_value_cell(action: argparse.Action) -> str:
    if action.nargs == 0:
        return "no value"
    if action.choices is not None:
        text = ", ".join(f"`{choice}`" for choice in action.choices)
    else:
        name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
        text = f"`{_escape_pipes(name)}`"  # Markdown splits table cells at | even inside code
    return text + {"+": ", one or more", "?": " or nothing"}.get(str(action.nargs), "")


def _split_default(text: str) -> tuple[str, str]:
    """Split a help text into the text and its statement of the default, which has its own column on the page.

    >>> _split_default("how many images; default: 1,024, or all where there are fewer")
    ('how many images', '1,024, or all where there are fewer')
    >>> _split_default("default: full")
    ('', 'full')
    """
    found = re.search(r"(?:^|; )default: (.*)$", text)
    return (text[: found.start()], found[1]) if found else (text, "")


def _escape_cell(text: str) -> str:
    """Escape plain text for a table cell, so that nothing in it is taken for HTML or for the end of the cell."""
    # "timm/<name>" would otherwise become an HTML tag and disappear
    return _escape_pipes(text.replace("<", "\\<"))


def _escape_pipes(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
