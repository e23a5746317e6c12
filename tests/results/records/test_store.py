from __future__ import annotations

import multiprocessing
import os
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from foundation.errors import RecordError, UserError
from results.records.store import (
    RECORD_FILE,
    iter_folders,
    list_attempts,
    list_unread_records,
    lock_folder,
    next_attempt_folder,
    read_record,
    require_outside_run,
    scan_runs,
    write_record,
)
from tests.limits import HANG_SECONDS
from tests.results.make import make_record


def test_a_complete_record_is_never_rewritten(tmp_path: Path) -> None:
    write_record(tmp_path, make_record(status="running"))
    write_record(tmp_path, make_record(status="failed"))
    write_record(tmp_path, make_record(status="running"))
    write_record(tmp_path, make_record())
    with pytest.raises(RecordError, match="a finished record is never rewritten"):
        write_record(tmp_path, make_record(value=99.0))
    assert read_record(tmp_path) == make_record()


def test_a_complete_record_can_be_invalidated_once(tmp_path: Path) -> None:
    write_record(tmp_path, make_record())
    invalid = make_record(status="invalidated", reason="wrong labels")
    write_record(tmp_path, invalid)
    with pytest.raises(RecordError, match="never rewritten"):
        write_record(tmp_path, make_record())


def test_a_folder_belongs_to_one_run(tmp_path: Path) -> None:
    write_record(tmp_path, make_record(status="running"))
    with pytest.raises(RecordError, match="belongs to run"):
        write_record(tmp_path, make_record(status="running", run_id="0" * 16))


def test_scan_names_a_corrupt_record_and_reads_the_rest(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_record(tmp_path / name, make_record())
    (tmp_path / "b" / "record.json").write_text('{"schema_version": 1, "run')
    found = scan_runs([tmp_path])
    assert [folder.name for folder, _ in found.records] == ["a"]
    assert len(found.errors) == 1
    assert str(tmp_path / "b" / "record.json") in found.errors[0]
    assert (tmp_path / "b" / "record.json").exists()


def test_scan_reads_a_record_whose_file_looks_unchanged(tmp_path: Path) -> None:
    """Edited in place, with the size and the time of before: no index may answer for it."""
    path = tmp_path / "run/record.json"
    path.parent.mkdir()
    write_record(path.parent, make_record(71.5))
    before, text = path.stat(), path.read_text()
    assert scan_runs([tmp_path]).records[0][1] == make_record(71.5)
    path.write_text(text.replace("71.5", "99.5"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert scan_runs([tmp_path]).records[0][1] == make_record(99.5)


def test_scan_finds_what_is_called_a_record_in_the_order_of_paths(tmp_path: Path) -> None:
    """A folder of that name is reported; links to folders and hidden folders are not entered."""
    for name in ("b", "a.2", "a/z", "a/deep/er", "a/x.2", "a/x", ".merge/b"):
        (tmp_path / "runs" / name).mkdir(parents=True, exist_ok=True)
        write_record(tmp_path / "runs" / name, make_record())
    (tmp_path / "runs/c/record.json").mkdir(parents=True)
    (tmp_path / "runs/link").symlink_to(tmp_path / "runs/b", target_is_directory=True)
    (tmp_path / "runs/circle").symlink_to("circle")
    found = scan_runs([tmp_path / "runs"])
    expected = [path.parent for path in sorted((tmp_path / "runs").rglob("record.json")) if path.is_file()]
    expected.remove(tmp_path / "runs/.merge/b")
    assert [folder for folder, _ in found.records] == expected
    assert [folder.relative_to(tmp_path / "runs").as_posix() for folder in expected] == [
        *("a/deep/er", "a/x", "a/x.2", "a/z", "a.2", "b")
    ]
    assert len(found.errors) == 1 and "c/record.json" in found.errors[0]
    assert next(iter_folders(tmp_path / "runs", [])).linked_folders == ["link"]


def test_what_is_in_the_folder_of_a_run_belongs_to_it(tmp_path: Path) -> None:
    """A second record in there is no other run, and is named by who looks for it."""
    for name in ("digits/a", "digits/a/checkpoints/b", "digits/.old/c"):
        (tmp_path / name).mkdir(parents=True)
        write_record(tmp_path / name, make_record())
    assert [folder for folder, _ in scan_runs([tmp_path]).records] == [tmp_path / "digits/a"]
    unread = [tmp_path / "digits/.old/c/record.json", tmp_path / "digits/a/checkpoints/b/record.json"]
    assert list_unread_records(tmp_path) == unread
    require_outside_run(tmp_path / "digits")
    (tmp_path / "link").symlink_to(tmp_path / "digits/a/checkpoints")
    for place in (tmp_path / "digits/a", tmp_path / "digits/a/new/runs", tmp_path / "link/runs"):
        with pytest.raises(UserError, match="which is the folder of a run"):
            require_outside_run(place)


def test_only_a_regular_file_is_a_record(tmp_path: Path) -> None:
    """Reading a pipe would wait for ever; a link to nothing is a record that cannot be read."""
    for name in ("pipe", "nothing", "linked"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "pipe/record.json")
    (tmp_path / "nothing/record.json").symlink_to("nowhere")
    write_record(tmp_path, make_record())
    (tmp_path / "record.json").rename(tmp_path / "elsewhere.json")
    (tmp_path / "linked/record.json").symlink_to("../elsewhere.json")
    found = scan_runs([tmp_path])
    assert [folder.name for folder, _ in found.records] == ["linked"]
    assert ["nothing" in found.errors[0], "pipe" in found.errors[1]] == [True, True]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / "digits" / name).mkdir(parents=True)
        write_record(tmp_path / "digits" / name, make_record())
    (tmp_path / "letters").mkdir()
    scandir = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("letters"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    found = scan_runs([tmp_path])
    assert len(found.records) == 2
    assert found.errors == [f"cannot list the runs in {tmp_path / 'letters'}: Permission denied"]


def test_scan_of_a_missing_root_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder of runs at"):
        scan_runs([tmp_path / "none"])


def test_attempts_are_numbered_and_sorted(tmp_path: Path) -> None:
    stem = "task/name-abc"
    assert next_attempt_folder(tmp_path, stem) == tmp_path / "task" / "name-abc"
    for suffix in ("", ".2", ".10", ".9"):
        (tmp_path / "task" / f"name-abc{suffix}").mkdir(parents=True)
    (tmp_path / "task" / "name-abcd").mkdir()
    assert [path.name for path in list_attempts(tmp_path, stem)] == [
        "name-abc",
        "name-abc.2",
        "name-abc.9",
        "name-abc.10",
    ]
    assert next_attempt_folder(tmp_path, stem).name == "name-abc.11"


def hold(folder: Path, ready: Event, done: Event) -> None:
    with lock_folder(folder):
        ready.set()
        done.wait(HANG_SECONDS)


def test_a_folder_is_claimed_by_one_process_and_freed_by_its_death(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, ready, done))
    other.start()
    assert ready.wait(HANG_SECONDS)
    with pytest.raises(UserError, match="another process is working on"), lock_folder(tmp_path):
        pass
    other.kill()
    other.join()
    with lock_folder(tmp_path):
        pass


def test_a_made_up_file_does_not_fill_the_memory(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with (tmp_path / "a" / RECORD_FILE).open("wb") as file:
        file.truncate(10**12)  # which takes no disk
    found = scan_runs([tmp_path])
    assert found.records == [] and "at most 32,000,000 are read" in found.errors[0]
