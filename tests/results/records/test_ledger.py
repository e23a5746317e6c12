"""The ledger of a store: chains that only grow, and what shows when they, or the records, are tampered with."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import UserError
from results.records import ledger
from results.records.ledger import LedgerEvent, append_event, find_store, read_ledgers
from results.records.ledger_checks import check_ledgers
from results.records.migrate import migrate_store
from results.records.store import RECORD_FILE, read_record, scan_runs, write_record
from results.records.verification import VerificationCheck
from tests.fork_pool import open_fork_pool
from tests.results.make import make_record


def write_runs(store: Path, *numbers: int) -> list[Path]:
    """Complete runs in the folders that ``bench run`` gives them."""
    folders = []
    for number in numbers:
        run_id = f"{number:016x}"
        folder = store / "digits" / f"vit_nano-finetune-full-seed{number}-{run_id}"
        folder.mkdir(parents=True)
        write_record(folder, make_record(status="running", run_id=run_id, seed=number))
        write_record(folder, make_record(float(number), run_id=run_id, seed=number))
        folders.append(folder)
    return folders


def check_store(store: Path) -> list[VerificationCheck]:
    return check_ledgers(store, scan_runs([store]).records)


def list_states(store: Path) -> set[tuple[str, str]]:
    """Subjects and states; the names of chains are random."""
    return {(check.subject.partition(" ")[0], check.state) for check in check_store(store)}


def get_chain(store: Path) -> Path:
    (path,) = (store / "ledger").glob("*.jsonl")
    return path


def make_event(**changes: Any) -> LedgerEvent:
    fields: dict[str, Any] = {
        "event": "started",
        "run_id": "0" * 16,
        "folder": "digits/x",
        "task": "digits",
        "protocol": "knn",
        "seed": 0,
        "record_sha256": None,
        "items_sha256": None,
    }
    return LedgerEvent(**fields | changes)


WHOLE = {("chain", "holds"), ("records", "holds")}


def test_each_line_holds_the_hash_of_the_line_before_and_of_the_record(tmp_path: Path) -> None:
    first, _ = write_runs(tmp_path, 0, 1)
    lines = get_chain(tmp_path).read_bytes().splitlines()
    found = [json.loads(line) for line in lines]
    assert [each["event"] for each in found] == ["started", "complete"] * 2
    hashes = [hashlib.sha256(line).hexdigest() for line in lines]
    assert [each["previous"] for each in found] == [None, *hashes[:-1]]
    assert found[0]["record_sha256"] is None
    assert found[1]["record_sha256"] == hashlib.sha256((first / RECORD_FILE).read_bytes()).hexdigest()
    assert found[1]["folder"] == first.relative_to(tmp_path).as_posix()
    record = read_record(first)
    assert record.result is not None and found[1]["items_sha256"] == record.result.items.sha256
    (chain,) = read_ledgers(tmp_path)
    assert chain.head == hashes[-1] and not chain.faults
    assert list_states(tmp_path) == WHOLE
    (text,) = [check.message for check in check_store(tmp_path) if check.subject.startswith("chain")]
    assert text.startswith(f"ledger head {chain.head[:12]}, 2 attempts")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda lines: [lines[0], lines[1].replace(b"finetune", b"linear00"), *lines[2:]],
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: lines[1:],
        lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
        lambda lines: [lines[0], lines[0], *lines[1:]],
        lambda lines: [lines[0], b"garbage", *lines[2:]],
    ],
    ids=["edited", "removed", "beheaded", "moved", "doubled", "overwritten"],
)
def test_a_chain_that_was_tampered_with_is_broken(spoil: Any, tmp_path: Path) -> None:
    write_runs(tmp_path, 0, 1)
    path = get_chain(tmp_path)
    path.write_bytes(b"\n".join(spoil(path.read_bytes().splitlines())) + b"\n")
    assert ("chain", "fails") in list_states(tmp_path)


def test_a_line_that_a_kill_cut_off_is_told_and_breaks_nothing(tmp_path: Path) -> None:
    write_runs(tmp_path, 0)
    path = get_chain(tmp_path)
    with path.open("ab") as file:
        file.write(b'{"previous": "12')
    assert list_states(tmp_path) == {*WHOLE, ("chain", "note")}
    write_runs(tmp_path, 1)
    assert list_states(tmp_path) == {*WHOLE, ("chain", "note")}
    (chain,) = read_ledgers(tmp_path)
    assert chain.torn_lines == (3,) and len(chain.lines) == 4, "no later line is lost"


def append_some(job: tuple[Path, int]) -> None:
    store, number = job
    for _ in range(10):
        append_event(store, make_event(seed=number))


def test_processes_of_one_writer_share_a_chain(tmp_path: Path) -> None:
    with open_fork_pool(4) as pool:
        pool.map(append_some, [(tmp_path, number) for number in range(4)], chunksize=1)
    (chain,) = read_ledgers(tmp_path)
    assert len(chain.lines) == 40 and not chain.faults and not chain.torn_lines


def test_a_copied_store_goes_on_in_its_own_chain_and_a_merge_keeps_both(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    write_runs(here, 0)
    shutil.copytree(here, there)
    write_runs(here, 1)
    write_runs(there, 2)
    assert len(read_ledgers(here)) == 1 and len(read_ledgers(there)) == 2
    shutil.copytree(there, here, dirs_exist_ok=True)
    assert len(read_ledgers(here)) == 2
    # the common chain was overwritten by its older state, so the run that it no longer mentions is told
    write_runs(here, 3)
    assert list_states(here) == {*WHOLE, ("records", "unchecked")}


def test_stores_of_two_machines_are_merged_by_copying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_runs(tmp_path / "a", 0, 1)
    monkeypatch.setattr(ledger.socket, "gethostname", lambda: "another")
    write_runs(tmp_path / "b", 2)
    shutil.copytree(tmp_path / "b", tmp_path / "a", dirs_exist_ok=True)
    assert [len(chain.lines) for chain in read_ledgers(tmp_path / "a")] in ([4, 2], [2, 4])
    assert list_states(tmp_path / "a") == WHOLE
    shutil.rmtree(next((tmp_path / "a" / "digits").glob("*seed2*")))
    assert ("missing", "fails") in list_states(tmp_path / "a")


def test_the_same_run_of_two_machines_is_no_replacement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_runs(tmp_path / "a", 0)
    monkeypatch.setattr(ledger.socket, "gethostname", lambda: "another")
    (folder,) = write_runs(tmp_path / "b", 0)
    shutil.copytree(tmp_path / "b", tmp_path / "a", dirs_exist_ok=True)
    assert list_states(tmp_path / "a") == WHOLE
    assert read_record(folder).run_id == "0" * 16


def test_an_edited_record_and_a_deleted_one(tmp_path: Path) -> None:
    first, second = write_runs(tmp_path, 0, 1)
    text = (first / RECORD_FILE).read_text()
    (first / RECORD_FILE).write_text(text.replace('"peak_memory_mib"', '"peak_memory_mib" '))
    assert ("record", "fails") in list_states(tmp_path)
    (first / RECORD_FILE).write_text(text)
    assert list_states(tmp_path) == WHOLE
    shutil.rmtree(second)
    assert list_states(tmp_path) == {*WHOLE, ("missing", "fails")}
    assert check_ledgers(tmp_path, [(first, read_record(first))], first) == [
        check for check in check_store(tmp_path) if check.subject != "missing runs"
    ], "of runs elsewhere nothing is said where one is verified"


def test_deleting_and_starting_again_does_not_hide_a_run(tmp_path: Path) -> None:
    (folder,) = write_runs(tmp_path, 0)
    shutil.rmtree(folder)
    folder.mkdir()
    write_record(folder, make_record(status="running", run_id="0" * 16))
    assert ("missing", "fails") in list_states(tmp_path)


def test_a_renamed_run_and_a_withdrawn_one_are_not_missing(tmp_path: Path) -> None:
    first, second = write_runs(tmp_path, 0, 1)
    write_record(second, read_record(second).model_copy(update={"status": "invalidated", "reason": "wrong labels"}))
    assert [line.event.event for line in read_ledgers(tmp_path)[0].lines][-1] == "invalidated"
    shutil.rmtree(second)
    assert list_states(tmp_path) == WHOLE
    first.rename(first.with_name(f"{first.name}.2"))
    assert list_states(tmp_path) == {("chain", "holds"), ("records", "unchecked")}


def test_a_record_from_before_the_ledger_is_told(tmp_path: Path) -> None:
    write_runs(tmp_path / "old", 0)
    write_runs(tmp_path / "new", 1)
    shutil.copytree(tmp_path / "old" / "digits", tmp_path / "new" / "digits", dirs_exist_ok=True)
    assert list_states(tmp_path / "new") == {*WHOLE, ("records", "unchecked")}
    shutil.rmtree(tmp_path / "old" / "ledger")
    (check,) = check_store(tmp_path / "old")
    assert (check.subject, check.state) == ("ledger", "unchecked")


def test_a_kill_between_record_and_line_is_unchecked(tmp_path: Path) -> None:
    write_runs(tmp_path, 0)
    path = get_chain(tmp_path)
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    assert list_states(tmp_path) == {("chain", "holds"), ("records", "unchecked")}


def test_a_failed_and_resumed_run_holds(tmp_path: Path) -> None:
    (folder,) = write_runs(tmp_path, 0)
    shutil.rmtree(tmp_path)
    folder.mkdir(parents=True)
    same = {"run_id": "0" * 16}
    for status in ("running", "failed", "running"):
        write_record(folder, make_record(status=status, **same))
        assert not [check for check in check_store(tmp_path) if check.state != "holds"]
    write_record(folder, make_record(**same))
    events = [line.event.event for line in read_ledgers(tmp_path)[0].lines]
    assert events == ["started", "failed", "started", "complete"]
    assert list_states(tmp_path) == WHOLE


def write_old_run(store: Path) -> Path:
    """A run that bench of schema version 4 had written, with its line."""
    folder = store / "digits" / f"vit_nano-finetune-full-seed0-{'0' * 16}"
    folder.mkdir(parents=True)
    write_record(folder, make_record(run_id="0" * 16, schema_version=4))
    return folder


def test_a_migration_is_a_line_and_does_not_launder_an_edited_record(tmp_path: Path) -> None:
    write_old_run(tmp_path / "a")
    assert len(list(migrate_store(tmp_path / "a"))) == 1
    (chain,) = read_ledgers(tmp_path / "a")
    assert [line.event.event for line in chain.lines] == ["complete", "migrated"]
    assert list_states(tmp_path / "a") == WHOLE
    folder = write_old_run(tmp_path / "b")
    text = (folder / RECORD_FILE).read_text()
    (folder / RECORD_FILE).write_text(text.replace('"seed": 0', '"seed": 3'))
    assert len(list(migrate_store(tmp_path / "b"))) == 1
    assert ("record", "fails") in list_states(tmp_path / "b")


@pytest.mark.parametrize(
    ("folder", "task", "store"),
    [
        ("runs/digits/vit-knn-full-seed0-0123456789abcdef", "digits", "runs"),
        ("runs/digits/vit-knn-full-seed0-0123456789abcdef.12", "digits", "runs"),
        ("runs/mine/ink/vit-knn-full-seed0-0123456789abcdef", "mine/ink", "runs"),
        ("runs/copies/vit-knn-full-seed0-0123456789abcdef", "digits", None),
        ("runs/digits/my_run", "digits", None),
    ],
)
def test_the_store_of_a_run(folder: str, task: str, store: str | None, tmp_path: Path) -> None:
    assert find_store(tmp_path / folder, task) == (None if store is None else tmp_path / store)


def test_a_ledger_that_cannot_be_written_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("a file, where the folder should be")
    with pytest.raises(UserError, match="cannot append to the ledger"):
        write_runs(tmp_path, 0)


def test_a_store_that_cannot_be_written_can_be_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_runs(tmp_path, 0)
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    monkeypatch.setattr(os, "mkdir", None)
    assert list_states(tmp_path) == WHOLE
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


def test_a_writer_without_a_name_has_a_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise KeyError("no name for this number")

    monkeypatch.setattr(ledger.getpass, "getuser", fail)
    append_event(tmp_path, make_event())
    assert len(read_ledgers(tmp_path)) == 1
    # names of people and machines are nobody's business where records are published
    assert os.uname().nodename not in get_chain(tmp_path).name
