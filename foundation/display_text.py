"""Make text safe to display: names, notes and reasons come from records and plug-ins, which anyone may have written.

A terminal carries out what it finds in a text: an escape sequence clears the screen or changes what was written above,
and a bidirectional override displays a name backwards. Every output of bench therefore passes through one of the two
functions here; renderers then escape what is special in their own format.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# C0 except tab and line feed, DEL and C1; marks and overrides of the writing direction (Arabic letter mark, LRM, RLM,
# U+202A to U+202E, U+2066 to U+2069); line and paragraph separator; the byte order mark; and surrogates, which stand
# for bytes of a file name that are not UTF-8 and cannot be written
_CONTROL_CHARACTERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def escape_controls(text: str) -> str:
    r"""Replace every control character except tab and line feed by its code, as ``\u001b``.

    JSON reads these codes back as the characters, so the content of a JSON text stays what it is.

    >>> print(escape_controls("a\x1b[31mb\u202e"))
    a\u001b[31mb\u202e
    """
    return _CONTROL_CHARACTERS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def format_one_line(text: str) -> str:
    r"""Return a text for a cell, a heading or a message: on one line, without control characters.

    Line breaks of all kinds and tabs become a single blank.

    >>> print(format_one_line("disk\r\nfull \x07"))
    disk full \u0007
    """
    if text.isascii() and text.isprintable():  # nearly all texts
        return text
    return escape_controls(" ".join(part for part in text.replace("\t", " ").splitlines() if part))


MAX_QUOTED = 200
"""Number of characters of a value that a message quotes."""


def shorten_value(value: object, limit: int = MAX_QUOTED) -> str:
    """Return a value as ``repr`` writes it, cut where it is too long for a message.

    >>> shorten_value("digits")
    "'digits'"
    >>> shorten_value("x" * 500, limit=20)
    "'xxxxxxxxx ... (502 characters)"
    """
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return f"a {type(value).__name__} that cannot be written"
    if len(text) <= limit:
        return text
    return f"{text[: limit // 2]} ... ({len(text)} characters)"


MAX_FOREIGN_TEXT = 2000
"""Number of characters of a text from a file that a listing repeats."""

MAX_FOREIGN_SENTENCES = 20
"""Number of sentences of a list from a file that one line repeats."""


def cut_text(text: str, limit: int = MAX_FOREIGN_TEXT) -> str:
    """Return a text from a file, which may have any length, cut for a listing.

    >>> cut_text("a b c d e f", limit=5)
    'a b c ... (11 characters)'
    """
    return text if len(text) <= limit else f"{text[:limit]} ... ({len(text):,} characters)"


def cut_sentences(sentences: Sequence[str], limit: int = MAX_FOREIGN_SENTENCES) -> list[str]:
    """Return the first sentences of a list from a file, each cut, and how many more there are.

    >>> cut_sentences(["a", "b", "c"], limit=1)
    ['a', 'and 2 more']
    """
    more = [f"and {len(sentences) - limit:,} more"] if len(sentences) > limit else []
    return [*map(cut_text, sentences[:limit]), *more]
