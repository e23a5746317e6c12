from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from foundation.errors import UserError
from foundation.files import atomic_writer, ensure_writable_dir, iter_files, sha256_file, write_atomic


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
