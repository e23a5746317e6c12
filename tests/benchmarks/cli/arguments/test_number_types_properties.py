"""Numbers of the command line: plain decimal numbers within their range, and nothing else that Python reads as one."""

import argparse
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.cli.arguments.command_words import require_possible_words, shorten_parser_message
from benchmarks.cli.arguments.number_types import finite_number, parse_finite, whole_number
from benchmarks.cli.matrix.matrix_plan import parse_hours
from foundation.errors import UserError
from tests.property_settings import FEW

TEXTS = st.text(max_size=20) | st.text(alphabet="0123456789.eE+-_ naif\uff11", max_size=12)


@FEW
@given(TEXTS)
@example("-0")
@example("9" * 40)
@example("1\n")
def test_whole_numbers(text: str) -> None:
    try:
        value = whole_number(-5, 1000)(text)
    except argparse.ArgumentTypeError as error:
        assert len(str(error)) < 400
    else:
        assert -5 <= value <= 1000 and text.isascii() and text.lstrip("-").isdigit() and int(text) == value


@FEW
@given(TEXTS)
@example("1e400")
@example("-0.0")
@example(".")
@example("1.0\n")
def test_finite_numbers(text: str) -> None:
    try:
        value = parse_finite(text)
    except argparse.ArgumentTypeError as error:
        assert len(str(error)) < 400
    else:
        assert math.isfinite(value) and value == float(text) and "_" not in text and text.isascii()
        assert math.copysign(1, value) > 0 or value < 0, "no negative zero"


@FEW
@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 10**9))
def test_what_python_writes_is_read(real: float, whole: int) -> None:
    assert parse_finite(repr(real)) == real
    assert whole_number(0)(str(whole)) == whole


def test_ranges_are_named() -> None:
    for parse, text, says in (
        (whole_number(1), "0", "must be a whole number above 0, not '0'"),
        (whole_number(0), "-1", "must be a whole number, 0 or above, not '-1'"),
        (whole_number(0, 9), "10", "must be at most 9, not '10'"),
        (finite_number(0, 1), "1.5", "must be a number, 0 to 1, not '1.5'"),
        (finite_number(0, what="a number of days"), "-1", "must be a number of days, 0 or above, not '-1'"),
        (parse_hours, "1e400h", "must be a time above 0 such as 8h"),
    ):
        with pytest.raises(argparse.ArgumentTypeError, match=says):
            parse(text)


@FEW
@given(st.lists(st.text(max_size=30), max_size=5))
def test_any_words_are_possible_or_refused(words: list[str]) -> None:
    try:
        require_possible_words(words)
    except UserError as error:
        assert len(str(error)) < 700
    else:
        assert all(word.strip() and "\0" not in word for word in words)


def test_a_sentence_may_be_longer_than_a_name() -> None:
    require_possible_words(["add", "backbone", "mine", "--licence", "word " * 100, f"--setup={'word ' * 100}"])
    with pytest.raises(UserError, match="NUL character"):
        require_possible_words(["add", "--licence", "a\0b"])


@FEW
@given(st.text(min_size=300, max_size=2000), st.text(max_size=20))
def test_messages_of_the_parser_are_short(value: str, before: str) -> None:
    message = f"{before}: invalid choice: {value!r} (choose from 'smoke', 'short', 'full')"
    said = shorten_parser_message(message, ["run", "--tier", value])
    assert len(said) < 600 or value in before
    assert said.endswith("(choose from 'smoke', 'short', 'full')")
