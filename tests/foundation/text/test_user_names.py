"""Names that look alike are found to be one, and names that are no text are refused."""

from __future__ import annotations

import os

import pytest

from foundation.errors import DataError, UserError
from foundation.text.user_names import index_names, normalize_name, require_text_name

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def test_both_forms_of_an_accent_are_one_name() -> None:
    assert COMPOSED != DECOMPOSED
    assert index_names([DECOMPOSED, "cat"], "classes.txt") == {COMPOSED: DECOMPOSED, "cat": "cat"}
    assert normalize_name(DECOMPOSED) == COMPOSED


def test_both_forms_in_one_folder_are_refused() -> None:
    with pytest.raises(DataError, match=r"^data/train has the name café twice, once with .*put them together"):
        index_names([DECOMPOSED, COMPOSED], "data/train")


def test_a_name_that_is_listed_twice_is_left_to_the_caller() -> None:
    assert index_names(["cat", "cat"], "classes.txt") == {"cat": "cat"}


def test_a_name_in_another_encoding_is_refused_with_its_bytes() -> None:
    require_text_name("data/café/1.jpg")
    with pytest.raises(UserError, match=r"^the name caf\\xe9/1.jpg is not UTF-8, so no record can hold it; rename it"):
        require_text_name(os.fsdecode(b"caf\xe9/1.jpg"), UserError)


def test_a_locale_that_is_not_utf_8_is_named_and_not_the_file() -> None:
    # as Python reads a name in UTF-8 where the locale is ASCII
    with pytest.raises(DataError, match=r"^the name café is not read as UTF-8 by .* locale; set LC_ALL=C.UTF-8$"):
        require_text_name("café".encode().decode("ascii", "surrogateescape"))
