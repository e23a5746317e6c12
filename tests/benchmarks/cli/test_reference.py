"""The page of the command line: it is the parser's, and nothing of the parser is missing on it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.cli.arguments.subparsers import get_subparsers
from benchmarks.cli.main import build_parser
from benchmarks.cli.reference import COMMON_OPTIONS, main, render_cli_reference
from benchmarks.cli.verbs import VERBS
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "reference" / "cli.md"


def test_the_committed_page_is_the_parsers() -> None:
    assert PAGE.read_text(encoding="utf-8") == render_cli_reference(), "the page is outdated: run make docs-cli"


def test_the_page_is_written_whole(tmp_path: Path) -> None:
    assert main([str(tmp_path / "cli.md")]) == 0
    assert (tmp_path / "cli.md").read_text(encoding="utf-8") == render_cli_reference()


def test_every_verb_and_option_is_on_the_page_with_its_default() -> None:
    sections = _split_sections(render_cli_reference())
    seen = []
    for command, parser in _walk_commands("bench", build_parser()):
        section = sections[command]
        seen.append(command)
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction) or set(action.option_strings) & set(COMMON_OPTIONS):
                continue
            name = action.option_strings[0] if action.option_strings else _name_positional(action)
            starts = (f"| `{name}`", f"| `{name} ", f"| `{name}, ")  # the last one: a short and a long form
            row = next(line for line in section.splitlines() if line.startswith(starts))
            for value in action.default if isinstance(action.default, list) else [action.default]:
                if value not in (None, False, True, argparse.SUPPRESS):
                    assert str(value) in row, f"{command} {name}: {row}"
            for choice in action.choices or ():
                assert f"`{choice}`" in section, f"{command} {name} {choice}"
    assert {command.split()[1] for command in seen} == set(VERBS)
    assert "bench analyze cka" in seen


def test_options_of_every_verb_stand_at_the_top() -> None:
    top = render_cli_reference().partition("### bench ")[0]
    for option in COMMON_OPTIONS:
        assert f"`{option}`" in top
        assert all(option in parser.format_help() for _, parser in _walk_commands("bench", build_parser()))


def _walk_commands(command: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command line that takes arguments: a verb, or the sub-command of one."""
    children = get_subparsers(parser)
    if not children:
        yield command, parser
    for name, child in children.items():
        yield from _walk_commands(f"{command} {name}", child)


def _name_positional(action: argparse.Action) -> str:
    name = str(action.metavar or "|".join(action.choices or ()))
    return name.replace("|", "\\|")


def _split_sections(page: str) -> dict[str, str]:
    """The text below each heading, by heading."""
    parts = re.split(r"^#+ (.*)$", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
