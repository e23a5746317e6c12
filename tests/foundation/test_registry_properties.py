"""Any text as a name: it is registered or refused, and asking for it never fails otherwise."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foundation.display_text import escape_controls, format_one_line, shorten_value
from foundation.errors import UnknownNameError, UserError
from foundation.registry import Registry
from foundation.suggest import did_you_mean
from foundation.values.number_ranges import MAX_SEED, require_seed
from tests.property_settings import FEW

NAMES = st.text(max_size=30)


@FEW
@given(st.lists(NAMES, max_size=6), NAMES)
def test_a_name_is_found_or_suggested(names: list[str], asked: str) -> None:
    registry: Registry[object] = Registry("thing", "bench.no_such_group", lambda name, value: value)
    for name in names:
        registry.register(name, "math:pi")  # twice the same target is one entry
    assert registry.list_names() == sorted(set(names))
    if asked in names:
        assert isinstance(registry.get(asked), float)
    else:
        with pytest.raises(UnknownNameError, match="unknown thing"):
            registry.get(asked)


@FEW
@given(NAMES, st.lists(NAMES, max_size=5), st.text(max_size=10))
@example("", ["a"], "")
@example("x" * 1_000_000, ["a" * 1000], "")
def test_suggestions_name_what_is_known(name: str, known: list[str], hint: str) -> None:
    said = did_you_mean(name, known, hint=hint)
    if said.startswith("; did you mean "):
        assert any(each in said for each in known)
    assert name not in known or not name.strip() or name in said


@FEW
@given(st.text(max_size=300) | st.integers() | st.binary(max_size=50) | st.lists(st.text()), st.integers(20, 200))
@example(10**6000, 50)
def test_quoted_values_are_short(value: object, limit: int) -> None:
    assert len(shorten_value(value, limit)) <= max(limit, limit // 2 + 40)


@FEW
@given(st.text(max_size=200))
def test_one_line_is_printable(text: str) -> None:
    line = format_one_line(text)
    assert "\n" not in line and "\x1b" not in line
    line.encode()  # no lone surrogates
    assert escape_controls(line) == line


@FEW
@given(st.integers(-(2**70), 2**70))
@example(MAX_SEED)
@example(MAX_SEED + 1)
def test_seeds(seed: int) -> None:
    if 0 <= seed <= MAX_SEED:
        require_seed(seed)
    else:
        with pytest.raises(UserError, match="seed"):
            require_seed(seed)
