"""Text files in other encodings are refused in one sentence that says what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.errors import ConfigError, DataError
from foundation.text.user_text import decode_user_text, read_user_text


@pytest.mark.parametrize("content", [b"cat\ncaf\xc3\xa9", b"\xef\xbb\xbfcat\r\ncaf\xc3\xa9", b"cat\rcaf\xc3\xa9"])
def test_utf8_is_read_with_any_line_end_and_with_a_mark(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes(content)
    assert read_user_text(path) == "cat\ncafé"


def test_windows_1252_is_named_with_the_line_as_it_would_read(tmp_path: Path) -> None:
    path = tmp_path / "my classes.txt"
    path.write_bytes("cat\r\ncafé crème\r\n".encode("cp1252"))
    with pytest.raises(DataError) as raised:
        read_user_text(path)
    assert str(raised.value) == (
        f"{path} is not UTF-8: line 2 has the byte 0xe9 (byte 9 of the file); it is probably Windows-1252 (Latin-1), "
        'in which the line reads "café crème"; save it as UTF-8: '
        "iconv -f WINDOWS-1252 -t UTF-8 'my classes.txt' > 'new_my classes.txt'"
    )


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("utf-16", "UTF-16"), ("utf-16-le", "UTF-16LE"), ("utf-16-be", "UTF-16BE"), ("utf-32", "UTF-32")],
)
def test_utf16_and_utf32_are_named_with_and_without_a_mark(encoding: str, name: str) -> None:
    with pytest.raises(
        DataError, match=rf"^a.txt is UTF-(16|32), not UTF-8; save it as UTF-8: iconv -f {name} -t UTF-8"
    ):
        decode_user_text("cat\ndog\ncafé\n".encode(encoding), "a.txt")


@pytest.mark.parametrize(
    ("text", "encoding"), [("\u043a\u0438\u0442\n", "cp1251"), ("苹果\n香蕉\n", "gbk"), ("ねこ\n", "shift-jis")]
)
def test_other_code_pages_are_not_called_western(text: str, encoding: str) -> None:
    with pytest.raises(DataError, match=r"an encoding of one country.*open it in the program that wrote it"):
        decode_user_text(text.encode(encoding), "a.txt")


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"PK\x03\x04\x14\0\xff\xfe", b"cat\0dog"])
def test_what_is_no_text_is_said_to_be_none(content: bytes) -> None:
    with pytest.raises(DataError, match=r"^a.txt is not a text file: line 1 has the byte 0x"):
        decode_user_text(content, "a.txt")


def test_a_file_that_cannot_be_opened_is_refused_in_the_class_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no.toml cannot be read .No such file or directory.; name another suite"):
        read_user_text(tmp_path / "no.toml", ConfigError, cure="name another suite")
    with pytest.raises(DataError, match=r"cannot be read .Is a directory.; fix the path or its permissions"):
        read_user_text(tmp_path)
