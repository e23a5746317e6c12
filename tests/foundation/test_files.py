from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path

import pytest

from foundation import files
from foundation.errors import UserError
from foundation.files import (
    atomic_writer,
    ensure_writable_dir,
    grant_default_mode,
    iter_files,
    sha256_file,
    sha256_unchanged_file,
    write_atomic,
)


def test_write_atomic_replaces_whole_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_atomic(target, "old")
    write_atomic(target, "new ü")
    assert target.read_text(encoding="utf-8") == "new ü"
    assert list(tmp_path.iterdir()) == [target]


def test_failure_in_the_middle_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    write_atomic(target, b"old")
    with pytest.raises(RuntimeError), atomic_writer(target) as file:
        file.write(b"ne")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_sha256_file_equals_hashlib(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000
    (tmp_path / "x").write_bytes(content)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(content).hexdigest()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file whose content is hashed from now on."""
    found: list[Path] = []

    def read(path: Path) -> str:
        found.append(path)
        return sha256_file(path)

    monkeypatch.setattr(files, "sha256_file", read)
    return found


def test_an_unchanged_file_is_hashed_once(tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SETTLED_SECONDS", 0.0)
    path = tmp_path / "weights"
    path.write_bytes(b"1234")
    time.sleep(0.05)
    first = sha256_unchanged_file(path)
    assert sha256_unchanged_file(path) == first == sha256_file(path)
    assert reads == [path]
    (tmp_path / "other").write_bytes(b"5678")
    (tmp_path / "other").replace(path)  # of the same size under the same name
    assert sha256_unchanged_file(path) == sha256_file(path) != first
    time.sleep(0.05)
    os.utime(path, ns=(0, 0))  # as tools do that keep a file's times; when it was changed they cannot set
    path.write_bytes(b"9999")
    os.utime(path, ns=(0, 0))
    assert sha256_unchanged_file(path) == sha256_file(path)


def test_a_file_written_just_now_is_read_again(tmp_path: Path, reads: list[Path]) -> None:
    path = tmp_path / "weights"
    for content in (b"1234", b"5678"):  # perhaps within one step of the file system's clock
        path.write_bytes(content)
        assert sha256_unchanged_file(path) == hashlib.sha256(content).hexdigest()
    assert reads == [path, path]


def test_what_a_temporary_becomes_is_open_to_others(tmp_path: Path) -> None:
    made = Path(tempfile.mkdtemp(dir=tmp_path))
    (tmp_path / "plain").mkdir()
    grant_default_mode(made)
    assert made.stat().st_mode == (tmp_path / "plain").stat().st_mode
    write_atomic(tmp_path / "a", "")
    (tmp_path / "b").write_text("")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_require_writable_names_the_folder_and_the_mend(tmp_path: Path) -> None:
    ensure_writable_dir(tmp_path / "new" / "deep")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write to the output folder .*file.*--out"):
        ensure_writable_dir(tmp_path / "file")


def test_iter_files_follows_links_and_enters_no_folder_twice(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for path in (home / "b" / "2.txt", home / "b" / ".hidden", home / ".git" / "3.txt", elsewhere / "4.txt"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (home / "linked").symlink_to(elsewhere)
    (home / "twice").symlink_to(elsewhere)
    (elsewhere / "up").symlink_to(home)
    (home / "1.txt").touch()
    assert [path.relative_to(home).as_posix() for path in iter_files(home)] == ["1.txt", "b/2.txt", "linked/4.txt"]
