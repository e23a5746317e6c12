"""Check the words of a command line before any of them is used, and cut long ones where a message quotes them.

These checks concern every option alike: a path, a name and a number are all words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from foundation.display_text import MAX_QUOTED, escape_controls, shorten_value
from foundation.errors import UserError
from foundation.values.path_text import MAX_NAME_BYTES, find_path_fault

_OPTION = re.compile(r"--[a-z-]+=")
_SETTING = re.compile(r"[A-Za-z_][A-Za-z_0-9.]*\s*=")

TEXT_OPTIONS = ("--label", "--licence", "--setup")
"""Options whose value is a sentence and never a path; how long it may be is checked where it is read."""

_MAX_UNKNOWN = 5
"""Number of unknown words that a message lists."""


def require_possible_words(words: Sequence[str]) -> None:
    """Accept words that can be names, numbers, paths or settings.

    Raises:
        UserError: a word is empty, has a NUL character, or is longer than any path or name.
    """
    for number, word in enumerate(words):
        if word.isalnum() and len(word) <= MAX_NAME_BYTES // 4:  # nearly all words
            continue
        option = _OPTION.match(word)
        value = word[option.end() :] if option else word
        # "--out ''" comes of a variable that is not set, so the option is named
        after = f" after {shorten_value(words[number - 1])}" if number else ""
        if not value.strip():
            raise UserError(f"an empty word {word!r}{after}; write its value, or leave the option out")
        # the value of a setting has a limit of its own where it is read
        named = word.partition("=")[0] if option else "".join(words[:number][-1:])
        is_text = _SETTING.match(value) or named in TEXT_OPTIONS
        fault = find_path_fault(value) if "\0" in value or not is_text else ""
        if fault:
            raise UserError(f"the word {shorten_value(word)}{after} cannot be a name or a path: {fault}")


def shorten_parser_message(message: str, words: Sequence[str]) -> str:
    """Return a message of argparse with the words that it quotes cut to what a person can read.

    Args:
        message: the message.
        words: the words of the command line.
    """
    unknown = message.removeprefix("unrecognized arguments: ")
    if unknown != message:
        parts = unknown.split(" ")
        if len(parts) > _MAX_UNKNOWN:
            message = f"unrecognized arguments: {' '.join(parts[:_MAX_UNKNOWN])} and {len(parts) - _MAX_UNKNOWN} more"
    # the value of --option=VALUE is quoted alone
    values = {part for word in words for part in (word, word.partition("=")[2]) if len(part) > MAX_QUOTED // 2}
    for value in sorted(values, key=len, reverse=True):
        for text in (repr(value), value):
            if len(text) > MAX_QUOTED:
                message = message.replace(text, shorten_value(value))
    return escape_controls(message)
