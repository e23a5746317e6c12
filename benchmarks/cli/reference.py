"""The page ``docs/reference/cli.md``, written from the parser itself, so that it cannot fall behind it.

``make docs-cli`` writes it; ``tests/benchmarks/cli/test_reference.py`` holds that the committed page is the current
one.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.cli.main import build_parser
from benchmarks.cli.verbs import GROUP_TITLES, VERBS
from foundation.environment import ENVIRONMENT_VARIABLES
from foundation.files import write_atomic

COMMON_OPTIONS = ("--help", "--json", "--debug")
"""Options of every verb; the page explains them once, at its top."""

_INTRODUCTION = """\
# The command line

<!-- Written by `make docs-cli` from the parser; change the help texts in benchmarks/cli/, not this page. -->

`bench VERB --help` prints the same on the terminal. The verbs:

{overview}

## Options of every verb

| option | meaning |
| --- | --- |
| `--help` | show the arguments and options, and an example |
| `--json` | write machine-readable output to stdout; progress and warnings go to stderr |
| `--debug` | show the full trace of an error instead of one sentence |

## Exit codes

| code | meaning |
| --- | --- |
| 0 | done |
| 1 | a failure: a training that diverged, incomplete results, a record that does not verify |
| 2 | something that you can fix: a wrong name, a missing file, an option that does not fit; nothing was computed |
| 130 | interrupted with Ctrl-C |

## Environment variables

| variable | meaning |
| --- | --- |
{variables}
"""


def main(arguments: list[str]) -> int:
    """Write the page to the file that is named.

    Args:
        arguments: the path of the page.
    """
    write_atomic(Path(arguments[0]), render_cli_reference())
    return 0


def render_cli_reference() -> str:
    """The whole page as Markdown."""
    parsers = get_subparsers(build_parser())
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


def get_subparsers(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """The parsers of a parser's sub-commands, by name; empty where it has none."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def format_default(action: argparse.Action) -> str:
    """The default of an argument as the page shows it.

    Args:
        action: the argument, as argparse holds it.

    Returns:
        ``required``, ``off`` for a switch, the value in code, or what the help text says the default is.
    """
    if action.required:
        return "required"
    if action.nargs == 0:
        return "off"
    if action.default in (None, []):
        return _escape_cell(_split_default(action.help or "")[1]) or "none"
    values = action.default if isinstance(action.default, list) else [action.default]
    return f"`{' '.join(map(str, values))}`"


def _render_verb(command: str, parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    """The lines of one verb: what it does, how it is called, an example, its arguments; then its sub-commands'."""
    yield f"{'#' * level} {command}\n"
    description = parser.description or ""
    yield f"{_escape_cell(description[:1].upper() + description[1:])}.\n"
    children = get_subparsers(parser)
    yield "```text"
    yield f"{command} {_format_usage(parser)}"
    yield "```\n"
    if not children:
        yield "```bash"
        yield (parser.epilog or "").removeprefix("example: ")
        yield "```\n"
        yield from _render_arguments(parser)
    for name, child in children.items():
        yield from _render_verb(f"{command} {name}", child, level + 1)


def _format_usage(parser: argparse.ArgumentParser) -> str:
    """The arguments that must be given, and a place for the others."""
    words: list[str] = []
    for action in _list_arguments(parser):
        if action.required:
            words.append(" ".join([*action.option_strings[:1], _format_value_names(action)]))
    return " ".join([*words, "[options]"])


def _format_value_names(action: argparse.Action) -> str:
    """The values of an argument in one word, as in a usage line: ``NAME``, ``NAME ...``, ``backbone|data``."""
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
    """The arguments of a verb but for those that every verb has, and for the choice of a sub-command."""
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
        text = f"`{_escape_pipes(name)}`"
    return text + {"+": ", one or more", "?": " or nothing"}.get(str(action.nargs), "")


def _split_default(text: str) -> tuple[str, str]:
    """A help text without its words about the default, and these words; the page has a column of its own for them.

    >>> _split_default("how many images; default: 1,024, or all where there are fewer")
    ('how many images', '1,024, or all where there are fewer')
    >>> _split_default("default: full")
    ('', 'full')
    """
    found = re.search(r"(?:^|; )default: (.*)$", text)
    return (text[: found.start()], found[1]) if found else (text, "")


def _escape_cell(text: str) -> str:
    """Plain text for a cell of a table: nothing in it is taken for HTML or for the cell's end."""
    return _escape_pipes(text.replace("<", "\\<"))


def _escape_pipes(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
