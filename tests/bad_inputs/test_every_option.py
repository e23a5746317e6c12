"""One value that every single option of every verb refuses, made from the parser itself."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.cli.arguments.command_words import TEXT_OPTIONS
from benchmarks.cli.main import build_parser
from tests.bad_inputs.bad_input import LONG, BadInput, check_bad_input, name_case

NUMBERS = ("1_000", "0x10", "1e400", "nan", "\uff11\uff12", "1,5", "", "9" * 50, "+-1", "1\0")
"""What no option takes for a number."""

TEXTS = ("", LONG + LONG, "a\0b", " ", "x/" * 2100)
"""What no option takes for a name or a path."""

WITHOUT_VALUE: dict[str, str] = {}
"""Options that take a value and have no case here, with the reason; there is none."""


def walk_options() -> Iterator[tuple[list[str], argparse.Action]]:
    """Yields the words of a verb (and of its analysis) with each of its options and positional words."""
    waiting: list[tuple[list[str], argparse.ArgumentParser]] = [([], build_parser())]
    while waiting:
        words, parser = waiting.pop()
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                waiting += [([*words, name], child) for name, child in action.choices.items()]
            elif words:
                yield words, action


def make_cases() -> Iterator[BadInput]:
    """Yields one case for each option, and one for each kind of verb's first word."""
    seen: set[str] = set()
    for number, (words, action) in enumerate(walk_options()):
        if not action.option_strings:
            yield BadInput(f"{' '.join(words)}: {action.dest}", [*words, TEXTS[number % len(TEXTS)]], "word|choice")
            continue
        option = action.option_strings[-1]
        name = f"{' '.join([*words, option])}"
        if action.nargs == 0:  # a switch
            yield BadInput(name, [*words, f"{option}=yes"], "ignored explicit argument 'yes'")
        elif action.choices is not None:
            yield BadInput(name, [*words, option, "nonsense"], f"{option}: invalid choice: 'nonsense'")
        elif action.type in (None, Path):
            text = "a\0b" if option in TEXT_OPTIONS else TEXTS[number % len(TEXTS)]
            yield BadInput(name, [*words, option, text], f"word .* after '{option}'")
        else:
            yield BadInput(
                name, [*words, option, NUMBERS[number % len(NUMBERS)]], f"{option}|{option}: (must|expected)"
            )
        if action.nargs in (None, "+") and option not in seen:  # what argparse itself says, once for each option
            seen.add(option)
            yield BadInput(f"{name} without a value", [*words, option], "expected (one|at least one) argument")


CASES = list(make_cases())


@pytest.mark.parametrize("case", CASES, ids=name_case)
def test_every_option(case: BadInput, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check_bad_input(case, tmp_path, capfd)


def test_no_option_is_left_out() -> None:
    words = {" ".join(case.words) for case in CASES}
    for verb, action in walk_options():
        for option in action.option_strings[-1:]:
            start = " ".join([*verb, option])
            assert start in WITHOUT_VALUE or any(each.startswith(start) for each in words), start
