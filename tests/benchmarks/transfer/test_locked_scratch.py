"""One process at a time has the scratch folder, also while another one gives it back."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from benchmarks.transfer.locked_scratch import open_locked_scratch
from foundation.errors import UserError


def test_one_at_a_time_and_no_trace(tmp_path: Path) -> None:
    place = tmp_path / "new" / ".scratch"
    words = {"is_busy": "another process has it", "cannot_write": "cannot write ({error})"}
    with open_locked_scratch(place, **words) as scratch:
        scratch.mkdir()
        (scratch / "half").write_text("x")
        with pytest.raises(UserError, match="another process has it"), open_locked_scratch(place, **words):
            pass
        assert (scratch / "half").is_file(), "the other one has left it alone"
    assert list(place.parent.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write \("), open_locked_scratch(tmp_path / "file" / "x", **words):
        pass


def test_a_lock_file_that_was_removed_meanwhile_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner before removes the file between our opening and our locking of it."""
    lock_file, real = tmp_path / ".scratch.lock", fcntl.flock
    removed = []

    def lock_a_nameless_file(descriptor: int, flags: int) -> None:
        if not removed:
            removed.append(lock_file.exists())
            lock_file.unlink()
        real(descriptor, flags)

    monkeypatch.setattr(fcntl, "flock", lock_a_nameless_file)
    words = {"is_busy": "another process has it", "cannot_write": "cannot write ({error})"}
    try:
        with open_locked_scratch(tmp_path / ".scratch", **words):
            assert lock_file.exists(), "whoever comes next would lock a new file, and both would be in the folder"
            with pytest.raises(UserError), open_locked_scratch(tmp_path / ".scratch", **words):
                pass
    except UserError as error:  # to be sent away is safe too
        assert "another process has it" in str(error)
    assert removed == [True]
