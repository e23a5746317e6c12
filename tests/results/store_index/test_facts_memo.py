"""The memo costs time when something is wrong with its file, and never changes what is displayed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cli.main import main
from results.records.store import RECORD_FILE
from results.store_index import facts_memo, read_runs
from results.store_index.facts_memo import FactsMemo, get_memo_dir, get_memo_file, has_settled, pack_state
from results.store_index.run_listing import list_run_rows
from tests.conftest import ROOT
from tests.results.statistics.synthetic import write_synthetic_runs

SETTLE = "import time; clock = time.time; time.time = lambda: clock() + 3600\n"
"""For a child process: what was written just now has settled."""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    write_synthetic_runs(tmp_path / "runs", 4, 3, 24)
    monkeypatch.setattr("results.store_index.read_runs.time.time", lambda: 1e11)  # everything has settled
    return tmp_path / "runs"


def count_reads(store: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """List the store, and return how many records were read for it."""
    read: list[Path] = []
    read_record_stat = read_runs.read_record_stat
    with monkeypatch.context() as patch:
        patch.setattr(read_runs, "read_record_stat", lambda folder: (read.append(folder), read_record_stat(folder))[1])
        list_run_rows([store])
    return len(read)


def test_the_second_look_reads_no_record(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert count_reads(store, monkeypatch) == 24
    assert count_reads(store, monkeypatch) == 0


@pytest.mark.parametrize("seed", range(40))
def test_damage_anywhere_in_the_file(store: Path, seed: int) -> None:
    """A few bytes are overwritten, a part is cut off, or a page is another page."""
    rows, rng = list_run_rows([store]), random.Random(seed)
    content = bytearray(get_memo_file().read_bytes())
    assert len(content) > 5 * 4096
    kind = rng.choice(["bytes", "bytes", "cut", "page", "zeros"])
    place = rng.randrange(len(content))
    if kind == "bytes":
        for _ in range(rng.randrange(1, 30)):
            content[rng.choice([rng.randrange(100), rng.randrange(len(content))])] = rng.randrange(256)
    elif kind == "cut":
        del content[place:]
    elif kind == "page":
        first, second = (4096 * rng.randrange(len(content) // 4096) for _ in range(2))
        content[first : first + 4096] = content[second : second + 4096]
    else:
        content[place : place + 5000] = bytes(len(content[place : place + 5000]))
    get_memo_file().write_bytes(content)
    for _ in range(3):
        assert list_run_rows([store]) == rows, kind


@pytest.mark.parametrize(
    ("change", "num_read"),
    [
        ("UPDATE records SET lines = CAST(replace(lines, 'task_01', 'task_02') AS BLOB)", 8),
        ("UPDATE records SET lines = 'text', crc = 0", 24),
        ("UPDATE records SET lines = NULL", 24),
        ("UPDATE records SET crc = 'x'", 24),
        ("UPDATE records SET state = 5", 24),
        ("UPDATE records SET day = 'x'", 24),
        ("UPDATE records SET path = CAST(path AS TEXT)", 24),
        ("UPDATE records SET path = path || 'x'", 24),
        ("DELETE FROM records WHERE rowid % 2 = 0", 12),
        ("CREATE TABLE other (a)", 24),
        ("DROP TABLE records", 24),
        ("ALTER TABLE records ADD COLUMN other", 24),
        ("CREATE TRIGGER t AFTER INSERT ON records BEGIN DELETE FROM records; END", 24),
    ],
)
def test_a_row_that_is_not_what_was_written(
    change: str, num_read: int, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite itself would not notice it. The record is read again, and the row written again."""
    rows = list_run_rows([store])
    with sqlite3.connect(get_memo_file()) as connection:
        connection.execute(change)
    connection.close()
    assert count_reads(store, monkeypatch) == num_read
    assert list_run_rows([store]) == rows
    assert count_reads(store, monkeypatch) == 0


def test_a_record_with_an_endless_name_is_read_each_time(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = next(store.rglob(RECORD_FILE))
    content = json.loads(path.read_text())
    content["backbone"]["name"] = "n" * facts_memo.MAX_LINES_BYTES
    path.write_text(json.dumps(content))
    assert count_reads(store, monkeypatch) == 24
    assert count_reads(store, monkeypatch) == 1
    assert get_memo_file().stat().st_size < facts_memo.MAX_LINES_BYTES


def test_without_a_folder_for_caches_records_are_read(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user of a container may have no home folder."""
    rows = list_run_rows([store])
    monkeypatch.setenv("BENCH_CACHE", "~nobody-has-this-name/cache")
    assert list_run_rows([store]) == rows


def test_each_version_has_its_own_file(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list_run_rows([store])
    monkeypatch.setattr(facts_memo, "INDEX_VERSION", facts_memo.INDEX_VERSION + 1)
    assert count_reads(store, monkeypatch) == 24
    assert len(list(get_memo_dir().glob("*.sqlite"))) == 2


@pytest.mark.parametrize("obstacle", ["no folder", "a folder", "locked", "locked while writing", "read-only", "full"])
def test_where_nothing_can_be_kept(obstacle: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = list_run_rows([store])
    monkeypatch.setattr(facts_memo, "LOCK_SECONDS", 0.01)
    path = get_memo_file()
    holder = sqlite3.connect(path, isolation_level=None)
    if obstacle == "locked":
        holder.execute("BEGIN EXCLUSIVE")
    elif obstacle == "locked while writing":
        holder.execute("DELETE FROM records")
        holder.execute("BEGIN IMMEDIATE")
    else:
        holder.close()
        shutil.rmtree(tmp_path / "cache")
    if obstacle == "no folder":
        (tmp_path / "cache").write_text("")
    elif obstacle == "a folder":
        path.mkdir(parents=True)
    elif obstacle in ("read-only", "full"):
        connect = sqlite3.connect

        class Refusing(sqlite3.Connection):
            """A connection to a file on a disk that takes no bytes."""

            def executemany(self, *arguments: object) -> sqlite3.Cursor:
                text = {"full": "database or disk is full", "read-only": "attempt to write a readonly database"}
                raise sqlite3.OperationalError(text[obstacle])

        monkeypatch.setattr(sqlite3, "connect", lambda *names, **options: connect(*names, **options, factory=Refusing))
    for _ in range(2):
        assert list_run_rows([store]) == rows
    holder.close()
    assert obstacle in ("no folder", "a folder") or path.is_file(), "a file that cannot be written now is not damaged"


def test_what_was_changed_just_now_has_not_settled(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    os.utime(tmp_path / "file", (0, 0))
    found = (tmp_path / "file").stat()
    assert not has_settled(found, found.st_ctime + 1.9)
    assert not has_settled(found, found.st_ctime - 100), "the clock was set back"
    assert has_settled(found, found.st_ctime + 2.1)
    assert pack_state(found) != pack_state(tmp_path.stat())


def test_what_nobody_asks_for_is_dropped(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a day, rows of stores that are gone, without looking for their files; those in use stay, however old."""
    list_run_rows([store])
    with sqlite3.connect(get_memo_file()) as connection:
        connection.execute("UPDATE records SET day = day - 40")
        connection.execute("INSERT INTO records SELECT path || 'gone', state, lines, crc, day FROM records")
    assert count_reads(store, monkeypatch) == 0, "this also says that they are in use"
    count = "SELECT count(*), sum(hex(path) LIKE '%' || hex('gone')) FROM records"
    assert connection.execute(count).fetchone() == (48, 24), "today it was done before"
    tomorrow = facts_memo.time.time() + 86_400
    monkeypatch.setattr(facts_memo.time, "time", lambda: tomorrow)
    with FactsMemo() as memo:
        memo.keep_lines("/new", b"state", b"lines")
    assert connection.execute(count).fetchone() == (25, 0)
    connection.close()


def test_a_kill_in_the_middle_of_writing(store: Path) -> None:
    """The next command has the rows of before, or no file, and lists the same."""
    rows = list_run_rows([store])
    code = (
        "import os, signal, sqlite3, sys, pathlib\n"
        + SETTLE
        + "from results.store_index import facts_memo, read_runs\n"
        "from results.store_index.run_listing import list_run_rows\n"
        "facts_memo.MAX_PENDING, step, count = 7, int(sys.argv[2]), [0]\n"
        "def kill(statement):\n"
        "    count[0] += 1\n"
        "    count[0] == step and os.kill(os.getpid(), signal.SIGKILL)\n"
        "connect = sqlite3.connect\n"
        "def connect_traced(*names, **options):\n"
        "    found = connect(*names, **options); found.execute('PRAGMA cache_size = 1')\n"
        "    found.set_trace_callback(kill); return found\n"
        "sqlite3.connect = connect_traced\n"
        "list_run_rows([pathlib.Path(sys.argv[1])])\n"
    )
    for step in (3, 9, 20, 40):
        get_memo_file().unlink(missing_ok=True)
        command = [sys.executable, "-c", code, str(store), str(step)]
        child = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
        assert child.returncode == -signal.SIGKILL
        assert list_run_rows([store]) == rows


def test_several_processes_at_once(store: Path) -> None:
    """Three readers that all write the memo, while runs are added and removed, and the file is removed now and then."""
    code = (
        "import sys, pathlib\n" + SETTLE + "from results.store_index.run_listing import list_run_rows\n"
        "for _ in range(20): rows = list_run_rows([pathlib.Path(sys.argv[1])])\n"
        # a run may go between the moments when it is listed and when it is read, in a scan as well
        "assert not [row for row in rows if row['error'] and '/new-' not in row['error']], rows\n"
        "assert sum(row['error'] is None and '/new-' not in row['folder'] for row in rows) == 24\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    children = [subprocess.Popen([sys.executable, "-c", code, str(store)], cwd=ROOT, env=environment) for _ in range(3)]
    number = 0
    while any(child.poll() is None for child in children):
        number += 1
        source = next(store.glob("task_00/*seed0*"))
        shutil.copytree(source, store.parent / "new")
        (store.parent / "new").rename(store / "task_02" / f"new-{number:016x}")
        if number > 3:
            (store / "task_02" / f"new-{number - 3:016x}").rename(store.parent / "old")
            shutil.rmtree(store.parent / "old")
        if number % 50 == 0:
            get_memo_file().unlink(missing_ok=True)
    assert [child.returncode for child in children] == [0, 0, 0]
    names = {row["folder"] for row in list_run_rows([store])}
    assert names == {str(path.parent) for path in store.rglob(RECORD_FILE)}


def test_the_memo_is_listed_and_pruned(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list_run_rows([store])
    assert main(["cache"]) == 0
    assert "1 file, 0.0 MiB of indexes of runs in" in capsys.readouterr().out
    os.utime(get_memo_file(), (0, 0))
    assert main(["cache", "--prune", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed_indexes"]["num_files"] == 1
    assert list_run_rows([store]) == rows
