"""Names of files and classes that look alike and are not the same text, and names that are no text at all.

A Mac writes ``é`` into a zip as ``e`` and an accent (NFD), every other system as one letter (NFC). The two are the same
name to a person, and different names to a program.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import PurePath

from foundation.errors import DataError, UserError


def normalize_name(name: str) -> str:
    r"""Return a name in the one form (NFC) in which names from a list and from a folder are compared.

    >>> normalize_name("cafe\u0301") == "caf\u00e9"
    True
    """
    return unicodedata.normalize("NFC", name)


def index_names(names: Iterable[str], place: object, error_class: type[UserError] = DataError) -> dict[str, str]:
    """Return the names by their normalized form, in which another list is to be looked up.

    Args:
        names: names as they are on disk or in a list.
        place: the folder or file that has them, for the sentence.
        error_class: class of the exception.

    Raises:
        UserError: of the given class: two of the names differ only in how an accent is written.
    """
    found: dict[str, str] = {}
    for name in names:
        key = normalize_name(name)
        if found.setdefault(key, name) != name:
            raise error_class(
                f"{place} has the name {key} twice, once with the accent as a letter of its own (NFD, as a Mac writes "
                "it) and once without (NFC); put them together under one name"
            )
    return found


def require_text_name(path: PurePath | str, error_class: type[UserError] = DataError) -> None:
    """Check that a path is text in UTF-8, so that a record, a table and a page can name it.

    Python keeps other bytes of a name as lone surrogates, which can be opened and compared but not written.

    Args:
        path: path as ``os.scandir`` and ``sys.argv`` give it.
        error_class: class of the exception.

    Raises:
        UserError: of the given class: a part of the path is not UTF-8.
    """
    text = str(path)
    if text.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in text):
        return
    name = text.encode("utf-8", "surrogateescape")
    try:
        shown = name.decode("utf-8")
    except UnicodeDecodeError:
        shown = name.decode("utf-8", "backslashreplace")
        raise error_class(
            f"the name {shown} is not UTF-8, so no record can hold it; rename it (convmv -r -f latin1 -t utf8 --notest "
            "FOLDER renames all below a folder)"
        ) from None
    # Python was told to read names as something else
    raise error_class(f"the name {shown} is not read as UTF-8 by this system's locale; set LC_ALL=C.UTF-8")
