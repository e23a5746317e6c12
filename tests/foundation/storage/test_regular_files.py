"""Files of unknown origin: pipes, devices, folders and files without end are refused at once."""

import os
from pathlib import Path

import pytest

from foundation.storage.regular_files import FileTooLargeError, NotRegularFileError, open_regular, read_regular


def test_regular_file_and_link(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert read_regular(tmp_path / "a", 7) == b"content"
    assert read_regular(tmp_path / "link", 7) == b"content"


def test_too_large(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    with pytest.raises(FileTooLargeError, match="it has 7 bytes, and at most 6 are read"):
        read_regular(tmp_path / "a", 6)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_not_regular(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises((NotRegularFileError, IsADirectoryError)):
        open_regular(path)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(5):
        with pytest.raises(NotRegularFileError):
            open_regular(tmp_path / "pipe")
    assert len([*Path("/proc/self/fd").iterdir()]) == before
