"""Read settings as the command line has them: ``key=value``, with a Python literal or a plain word as the value."""

from __future__ import annotations

import ast
import math
import warnings
from typing import Any

from foundation.display_text import shorten_value
from foundation.errors import ConfigError

_LITERALS = {"true": True, "false": False, "none": None, "null": None}

MAX_VALUE_LENGTH = 10_000
"""Number of characters of a setting's value; a longer literal could take all memory or the stack to parse."""


def parse_value(text: str) -> Any:
    """Parse a value from the command line: a Python literal, true/false/none, or else the text itself.

    Raises:
        ConfigError: the text is too long or nested too deeply, or it is a literal that no setting can be, such as
            infinity, bytes, or a whole number that a record could not hold.

    >>> [parse_value(text) for text in ("1e-3", "true", "[1, 2]", "cosine")]
    [0.001, True, [1, 2], 'cosine']
    >>> parse_value("[wandb, tensorboard]")
    ['wandb', 'tensorboard']
    """
    if len(text) > MAX_VALUE_LENGTH:
        raise ConfigError(
            f"the value {shorten_value(text)} is too long; at most {MAX_VALUE_LENGTH} characters are read"
        )
    if text.lower() in _LITERALS:
        return _LITERALS[text.lower()]
    try:
        with warnings.catch_warnings():  # of the parser, about code such as "1if"
            warnings.simplefilter("ignore")
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        if text.startswith("[") and text.endswith("]") and "[" not in text[1:]:  # a shell removes the quotes
            return [parse_value(word.strip()) for word in text[1:-1].split(",")]
        return text
    except (MemoryError, RecursionError, OverflowError):
        if text[0].isalpha() or text[0] in "/~_":  # a path of many folders, read as many divisions
            return text
        raise ConfigError(
            f"the value {shorten_value(text)} is nested too deeply; write it with fewer brackets"
        ) from None
    except TypeError:  # {[]: 1} and {{}}
        return text
    return _require_plain_value(value, text)


def _require_plain_value(value: Any, text: str) -> Any:
    """Return a literal whose parts a record can hold: numbers, texts, lists and dictionaries.

    Raises:
        ConfigError: there is another part.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigError(f"the value {shorten_value(text)} is not a finite number")
        return value + 0.0  # -0.0 is the same number as 0.0, and would give another id
    if isinstance(value, bool | str | None):
        return value
    if isinstance(value, int):
        if abs(value) >= 2**63:
            raise ConfigError(f"the number {shorten_value(text)} has more than 64 bits, and no setting is so large")
        return value
    if isinstance(value, list | tuple):
        return type(value)(_require_plain_value(each, text) for each in value)
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _require_plain_value(each, text) for key, each in value.items()}
    raise ConfigError(f"the value {shorten_value(text)} is no number, text or list of these")


def parse_setting(key: str, text: str) -> Any:
    """Parse the value of a setting; see ``parse_value``.

    Args:
        key: the name of the setting, for the sentence.
        text: the value.
    """
    try:
        return parse_value(text)
    except ConfigError as error:
        raise ConfigError(f"--set {key}: {error}") from None


def split_override(override: str) -> tuple[str, str]:
    """Split ``key=value`` into key and text.

    Raises:
        ConfigError: the text is not ``key=value``.
    """
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError(f"--set takes key=value, not {shorten_value(override)}")
    return key, text.strip()
