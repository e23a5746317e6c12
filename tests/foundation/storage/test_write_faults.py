from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundation import files
from foundation.errors import DataError, StorageError, UserError
from foundation.files import atomic_writer, ensure_writable_dir, write_atomic
from foundation.storage.disk_space import measure_free_space, require_space
from foundation.storage.write_faults import find_storage_error, make_storage_error, name_write_faults

FAULTS = ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "ENAMETOOLONG", "EFBIG", "EIO", "EMFILE", "ENFILE", "ENOTDIR",
          "ESTALE", "EISDIR", "ENOENT", "ELOOP", "EBUSY", "EEXIST")  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_of_a_disk_is_one_sentence_with_the_path(name: str, tmp_path: Path) -> None:
    number = getattr(errno, name)
    sentence = str(make_storage_error(tmp_path / "a.csv", OSError(number, os.strerror(number))))
    assert sentence.startswith(f"cannot write {tmp_path / 'a.csv'}: ") and "; " in sentence
    assert "Errno" not in sentence and "{" not in sentence
    found = find_storage_error(OSError(number, os.strerror(number), str(tmp_path / "b.csv")))
    assert found is not None and str(tmp_path / "b.csv") in str(found) and found.errno == number
    assert isinstance(found, UserError) and isinstance(found, OSError) and found.exit_code == 2


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 64 vs 0"),
        RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"),
        sqlite3.OperationalError("database or disk is full"),
        ValueError('Error while serializing: IoError(Os { code: 28, message: "No space left on device" })'),
        OSError("57600 requested and 20480 written"),
    ],
)
def test_what_libraries_say_of_a_full_disk_is_understood(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write .*a\.bin: the disk "), name_write_faults(tmp_path / "a.bin"):
        raise error
    found = find_storage_error(error, tmp_path)
    assert found is not None and found.errno == errno.ENOSPC


def test_an_error_without_a_text_is_none_of_the_disk() -> None:
    """The sentence for such an error of a plug-in became a trace."""

    class SilentError(RuntimeError):
        def __str__(self) -> str:
            raise ValueError("no text")

    assert find_storage_error(SilentError()) is None


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    assert find_storage_error(ValueError("a bug")) is None
    assert find_storage_error(DataError("a sentence of its own")) is None
    assert find_storage_error(KeyboardInterrupt()) is None
    with pytest.raises(ValueError, match="a bug"), name_write_faults(tmp_path):
        raise ValueError("a bug")
    try:
        try:
            Path(tmp_path / "missing").read_bytes()
        except OSError:
            raise ValueError("a bug in the handler")  # noqa: B904 - as a library does
    except ValueError as error:
        assert find_storage_error(error) is None, "a file that a library has only looked for is not the reason"


@pytest.mark.parametrize(
    "text", ["unable to write to file </torch_1_2_3>: No space left on device (28)", "out of shared memory"]
)
def test_little_shared_memory_names_the_workers(text: str) -> None:
    found = find_storage_error(RuntimeError(text))
    assert found is not None and "/dev/shm" in str(found) and "--set workers=0" in str(found)


@pytest.fixture
def full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which every temporary file takes no byte."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")

    def make_full_file(prefix: str, suffix: str, dir: Path) -> tuple[int, str]:
        (dir / f"{prefix}x{suffix}").touch()
        return os.open("/dev/full", os.O_WRONLY), str(dir / f"{prefix}x{suffix}")

    write_atomic(tmp_path / "a.bin", b"old")
    monkeypatch.setattr(files.tempfile, "mkstemp", make_full_file)
    return tmp_path


def write_much(file: Any) -> None:
    file.write(b"x" * 100_000)


def write_and_hide(file: Any) -> None:
    with contextlib.suppress(OSError):
        write_much(file)


def write_array(file: Any) -> None:
    np.save(file, np.zeros(100_000))  # around Python's file


@pytest.mark.parametrize("write", [write_much, write_and_hide, write_array, lambda file: file.write(b"x")])
def test_a_write_that_fails_or_is_hidden_leaves_the_old_file(write: Callable[[Any], object], full_disk: Path) -> None:
    target = full_disk / "a.bin"
    with pytest.raises(StorageError, match=r"cannot write .*a\.bin: the disk "), atomic_writer(target) as file:
        write(file)
    assert target.read_bytes() == b"old" and list(full_disk.iterdir()) == [target]


def test_an_interrupt_stays_one_although_the_disk_is_full(full_disk: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_writer(full_disk / "a.bin") as file:
        file.write(b"x")
        raise KeyboardInterrupt
    assert [path.name for path in full_disk.iterdir()] == ["a.bin"]


def test_room_is_required_in_sizes_that_people_read(tmp_path: Path) -> None:
    free = measure_free_space(tmp_path / "not" / "yet")
    assert free.num_bytes > 0
    require_space(tmp_path, 1, "the files")
    with pytest.raises(StorageError, match=r"^the files need 1,000,000\.00 GB in .*, but only .* are free; free some "):
        require_space(tmp_path / "not" / "yet", 10**15, "the files")
    if free.num_files is not None:
        with pytest.raises(StorageError, match=r"need 1,000,000,000,000 files in .* \(it is out of inodes\); remove"):
            require_space(tmp_path, 0, "the pictures", num_files=10**12)


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write to the output folder .*file.* \(.*\); name another one"):
        ensure_writable_dir(tmp_path / "file" / "sub")
