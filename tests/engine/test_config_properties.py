"""Any text as a setting: it is read, or it is refused in a sentence."""

import math
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from engine.config import load_protocol
from engine.settings.setting_text import parse_value, split_override
from foundation.errors import ConfigError
from pretraining.recipe import MaskedRecipe
from tests.property_settings import FEW

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
LITERALS = st.text(alphabet="0123456789.eE+-*[](){}:,'\"xbjTrueNonef_\\ \n", max_size=40)


def is_plain(value: Any) -> bool:
    """What JSON can hold and JSON readers give back."""
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_plain(each) for key, each in value.items())
    if isinstance(value, float):
        return math.isfinite(value) and math.copysign(1, value or 1.0) == math.copysign(1, value)
    return value is None or isinstance(value, bool | str) or (isinstance(value, int) and abs(value) < 2**63)


@FEW
@given(st.text(max_size=50) | LITERALS)
@example("1e400")
@example("-0.0")
@example("(" * 9999)
@example("-" * 9999)
@example("[" * 9999 + "]")
@example("0x" + "f" * 9000)
@example("9" * 9999)
@example("{[]: 1}")
@example("{**{}}")
@example("set()")
@example("1if 1else 2")
@example("a/" * 3000)
@example("\ud800")
def test_any_text_is_a_plain_value_or_refused(text: str) -> None:
    try:
        value = parse_value(text)
    except ConfigError as error:
        assert len(str(error)) < 500
    else:
        assert is_plain(value)


@FEW
@given(PLAIN)
def test_what_repr_writes_is_read_back(value: Any) -> None:
    if isinstance(value, str) and value.lower() in ("true", "false", "none", "null"):
        value = f"{value}!"
    assert parse_value(repr(value)) == value


@FEW
@given(st.text(max_size=30))
def test_any_override_is_split_or_refused(text: str) -> None:
    try:
        key, value = split_override(text)
    except ConfigError:
        assert not text.partition("=")[0].strip() or "=" not in text
    else:
        assert key == key.strip() != "" and text.partition("=")[2].strip() == value


KEYS = st.sampled_from(
    [*MaskedRecipe.model_fields, "optimizer.lr", "optimizer.betas", "schedule.warmup", "decoder.width"]
)


@FEW
@given(st.lists(st.tuples(KEYS, PLAIN | LITERALS), min_size=1, max_size=3))
def test_any_settings_make_a_recipe_or_a_sentence(changes: list[tuple[str, Any]]) -> None:
    from pretraining.task import CONFIG_DIR

    overrides = [f"{key}={value if isinstance(value, str) else repr(value)}" for key, value in changes]
    try:
        recipe = load_protocol(CONFIG_DIR / "mae.py", MaskedRecipe, "full", overrides).recipe
    except ConfigError:
        return
    assert is_plain(recipe.identity_settings())
