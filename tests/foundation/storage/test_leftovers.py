"""What killed processes leave goes; what a living one uses, and what a user made, stays."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from foundation.files import atomic_writer, write_atomic
from foundation.storage import leftovers
from foundation.storage.leftovers import (
    ABANDONED_SECONDS,
    UNLOCKABLE_SECONDS,
    clean_own_folder,
    is_abandoned,
    is_unfinished_name,
    list_leftovers,
    make_partial_file,
    open_partial_folder,
    open_scratch_folder,
    remove_abandoned,
    remove_leftovers,
    remove_owned_leftovers,
)
from results.records.store import lock_folder
from tests.conftest import ROOT

OLD = ABANDONED_SECONDS + 60


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    leftovers._list_unfinished_beside.cache_clear()


def make_old(path: Path, seconds: float = OLD) -> Path:
    """A file or folder that nobody has written to for so long."""
    then = time.time() - seconds
    for each in [*path.rglob("*"), path] if path.is_dir() else [path]:
        os.utime(each, (then, then))
    return path


def leave_file(target: Path, seconds: float = OLD) -> Path:
    """What a killed writer of a target left."""
    descriptor, path = make_partial_file(target)
    os.write(descriptor, b"half")
    os.close(descriptor)
    return make_old(path, seconds)


@pytest.mark.parametrize(
    ("name", "is_ours"),
    [
        (".record.json.abcd_123.tmp", True),
        (".onnx-f32.abcd_123.tmp", True),
        (".step_00000012.pth.tmp", True),
        ("record.json.abcd_123.tmp", False),
        (".record.json.tmp", False),
        (".record.json.ABCD1234.tmp", False),
        (".abcd_123.tmp", False),
        (".notes.pth.tmp", False),
        (".record.json.abcd_123.tmp.old", False),
        (".notes.20261127.tmp", False),
        (".notes.original.tmp", False),
    ],
)
def test_names(name: str, is_ours: bool) -> None:
    assert is_unfinished_name(name) is is_ours


def test_the_next_write_of_a_target_removes_old_halves_of_it_alone(tmp_path: Path) -> None:
    old, young = leave_file(tmp_path / "page.html"), leave_file(tmp_path / "page.html", 60)
    other = leave_file(tmp_path / "table.md")
    with open_partial_folder(tmp_path / "kept") as folder:
        folder.rename(tmp_path / ".page.html.folder_1.tmp")
    leftovers._list_unfinished_beside.cache_clear()
    write_atomic(tmp_path / "page.html", "whole")
    assert not old.exists()
    assert young.exists() and other.exists() and (tmp_path / ".page.html.folder_1.tmp").exists()


def test_a_living_writer_keeps_its_file_however_long_it_waits(tmp_path: Path) -> None:
    """Another process that holds its file is left alone by its sister, by the owner of the folder, and by prune."""
    code = (
        "import sys, pathlib\nfrom foundation.files import atomic_writer\n"
        "from foundation.storage.leftovers import open_partial_folder, open_scratch_folder\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "with atomic_writer(root / 'page.html') as file, open_partial_folder(root / 'export') as half, "
        "open_scratch_folder('test') as scratch:\n"
        "    file.write(b'living'); file.flush(); (half / 'model').touch(); (scratch / 'a').touch()\n"
        "    print(flush=True); sys.stdin.readline(); half.rename(root / 'export')\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout
    child.stdout.readline()
    found = [*tmp_path.glob(".*.tmp"), *(tmp_path / "tmp").iterdir()]
    assert len(found) == 3
    for path in found:
        make_old(path, 10 * UNLOCKABLE_SECONDS)
    write_atomic(tmp_path / "page.html", "mine")
    remove_abandoned(tmp_path / "export", is_owner=True)
    remove_owned_leftovers(tmp_path)
    assert remove_leftovers([tmp_path]) == []
    assert all(path.exists() for path in found)
    child.communicate("\n")
    assert child.returncode == 0
    assert (tmp_path / "page.html").read_text() == "living" and (tmp_path / "export" / "model").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert not any((tmp_path / "tmp").iterdir())


def test_a_killed_writer_keeps_nothing(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib, signal\nfrom foundation.storage.leftovers import open_scratch_folder\n"
        "with open_scratch_folder('test'): os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}
    )
    (left,) = (tmp_path / "tmp").iterdir()
    assert list_leftovers([]) == [], "not yet an hour old"
    make_old(left)
    assert [found.path for found in remove_leftovers([])] == [left]
    assert not left.exists()


def test_the_owner_of_a_folder_removes_all_that_is_unfinished_in_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    young = leave_file(run / "record.json", 0)
    (run / "checkpoints" / ".step_00000002.pth.tmp").write_bytes(b"half")
    (run / f"node-{'a' * 32}").touch()
    (run / ".notes").write_text("the user's")
    (run / "mine.tmp").write_text("the user's")
    with lock_folder(run):
        assert not young.exists()
        assert sorted(path.name for path in run.rglob("*")) == [".lock", ".notes", "checkpoints", "mine.tmp"]


def test_folders_with_names_as_people_give_them_stay(tmp_path: Path) -> None:
    """``bench cache --prune`` removed ``/tmp/bench-results-20261127``, whoever had made it."""
    names = (
        "bench-results-20261127",
        "bench-results-final_v2",
        "bench-results-20261127.tmp",
        "bench-results-final_v2.tmp",
    )
    for name in names:
        folder = tmp_path / "tmp" / name
        folder.mkdir()
        folder.chmod(0o755)
        (folder / "numbers.csv").touch()
        make_old(folder, 10 * UNLOCKABLE_SECONDS)
    assert remove_leftovers([tmp_path]) == []
    assert len(list((tmp_path / "tmp").rglob("numbers.csv"))) == len(names)


def test_a_name_that_chance_made_a_word_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise, what a killed process left under it would stay."""
    names = iter(["original", "20261127", "final_v2"] * 3)
    monkeypatch.setattr(tempfile, "_get_candidate_names", lambda: names)
    descriptor, path = make_partial_file(tmp_path / "a")
    os.close(descriptor)
    assert [each.name for each in tmp_path.glob(".*")] == [path.name] == [".a.final_v2.tmp"]
    with open_partial_folder(tmp_path / "b") as half, open_scratch_folder("test") as scratch:
        assert (half.name, scratch.name) == (".b.final_v2.tmp", "bench-test-final_v2.tmp")
    assert not any((tmp_path / "tmp").iterdir())


def test_leftovers_go_from_a_disk_without_room_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of the disk was read by writing a file, so that a disk without inodes kept all of them."""

    def refuse(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    old, young = leave_file(tmp_path / "a"), leave_file(tmp_path / "b", 60)
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    remove_leftovers([tmp_path])
    assert (old.exists(), young.exists()) == (False, True)


def test_links_and_pipes_are_not_followed_or_opened(tmp_path: Path) -> None:
    target = tmp_path / "data"
    target.mkdir()
    leave_file(target / "a")
    (tmp_path / ".page.html.abcdefg1.tmp").symlink_to(target)
    os.mkfifo(tmp_path / ".page.html.abcdefg2.tmp")
    (tmp_path / "store").symlink_to(target)
    write_atomic(tmp_path / "page.html", "whole")
    assert list_leftovers([tmp_path]) == [found for found in list_leftovers([tmp_path]) if target in found.path.parents]
    assert (tmp_path / ".page.html.abcdefg1.tmp").is_symlink() and len(list(target.iterdir())) == 1


def test_a_disk_without_locks_keeps_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError("No locks available")

    young, old = leave_file(tmp_path / "a"), leave_file(tmp_path / "a", UNLOCKABLE_SECONDS + 60)
    monkeypatch.setattr(leftovers.fcntl, "flock", refuse)
    with atomic_writer(tmp_path / "b") as file:
        file.write(b"b")
    assert (is_abandoned(young), is_abandoned(old)) == (False, True)


def test_a_clock_of_a_server_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's clock is a day ahead of the disk's."""
    young = leave_file(tmp_path / "a", 60)
    monkeypatch.setattr(time, "time", lambda: young.stat().st_mtime + 24 * 3600)
    assert not is_abandoned(young)


def test_a_scratch_folder_is_private_and_goes(tmp_path: Path) -> None:
    with pytest.raises(KeyError), open_scratch_folder("test") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "a").touch()
        raise KeyError
    assert not any((tmp_path / "tmp").iterdir())


def test_a_folder_of_bench_alone_is_cleaned_of_all_targets(tmp_path: Path) -> None:
    old, young = leave_file(tmp_path / "a.json"), leave_file(tmp_path / "b.json", 60)
    clean_own_folder(tmp_path)
    assert (old.exists(), young.exists()) == (False, True)
