"""Read the tables of a large JSON object one row at a time, so that never more than one row is held as Python objects.

A parsed annotation file of COCO takes about eight times its size; train2017 has 450 MB. Imports no torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from foundation.display_text import shorten_value
from foundation.errors import DataError
from foundation.storage.regular_files import read_regular

MAX_ANNOTATION_BYTES = 4 * 10**9
"""Bytes of the largest annotation file that is read; that of train2017 has 0.45e9."""

_SPACE = re.compile(r"[ \t\n\r]*")


class TableRow(NamedTuple):
    """A row of a table: the name of the table, and the row as it was parsed."""

    table: str
    content: Any


class SingleValue(NamedTuple):
    """A value of the object that is not one of the wanted tables: its key."""

    key: str


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number of JSON")


def read_json_text(path: Path) -> str:
    """Read a JSON file as text.

    Args:
        path: the file.

    Raises:
        DataError: it cannot be read, is too large, or is not UTF-8.
    """
    try:
        return read_regular(path, MAX_ANNOTATION_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot read the annotations {path}: {error.strerror or error}; name another file") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a text file (UTF-8), and so not an annotation file of COCO") from error


def iterate_tables(path: Path, tables: frozenset[str]) -> Iterator[TableRow | SingleValue]:
    """Yield the rows of the wanted tables of a JSON object, and the keys of everything else.

    Args:
        path: the file.
        tables: keys whose values are lists; their elements are yielded one by one.

    Raises:
        DataError: the file is not a JSON object, a wanted table is not a list, or a key comes twice.
    """
    text = read_json_text(path)
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    seen: set[str] = set()
    try:
        position = _skip_space(text, 0)
        if text[position : position + 1] != "{":
            raise DataError(
                f"{path} is not a JSON object with images, annotations and categories (a list of detections is none); "
                "name the annotation file"
            )
        position = _skip_space(text, position + 1)
        while text[position] != "}":
            key, position = decoder.raw_decode(text, position)
            if not isinstance(key, str) or key in seen:
                raise DataError(f"{path} has the key {shorten_value(key)} twice; keep one of them")
            # json.loads would keep the last one without a word
            seen.add(key)
            position = _skip_space(text, _expect(text, position, ":"))
            if key not in tables:
                _, position = decoder.raw_decode(text, position)
                yield SingleValue(key)
            else:
                if text[position] != "[":
                    raise DataError(f"{path}: {key} is not a list; write it as COCO does")
                position = _skip_space(text, position + 1)
                while text[position] != "]":
                    row, position = decoder.raw_decode(text, position)
                    yield TableRow(key, row)
                    position = _next_element(text, position, "]")
                position += 1
            position = _next_element(text, position, "}")
        if _skip_space(text, position + 1) != len(text):
            raise ValueError(f"text behind the object at character {position + 1:,}")
    # a file that ends too early is read beyond its end, and one of brackets alone fills the stack
    except (ValueError, IndexError, RecursionError) as error:
        reason = "it ends too early" if isinstance(error, IndexError) else shorten_value(str(error))
        if "int_max_str_digits" in reason:  # Python's advice is about its own limit
            reason = "a number has thousands of digits"
        raise DataError(f"{path} is not valid JSON ({reason}); write or fetch it again") from error


def _skip_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    assert found is not None, "the pattern matches nothing too"
    return found.end()


def _expect(text: str, position: int, sign: str) -> int:
    """Return the position behind a sign that must come next."""
    position = _skip_space(text, position)
    if text[position] != sign:
        raise ValueError(f"no {sign} at character {position:,}")
    return position + 1


def _next_element(text: str, position: int, end: str) -> int:
    """Return the position of the next element of a list or object, or of its end."""
    position = _skip_space(text, position)
    if text[position] == end:
        return position
    position = _skip_space(text, _expect(text, position, ","))
    if text[position] == end:
        raise ValueError(f"a comma without an element at character {position:,}")
    return position
