"""Lists, leaderboards and comparisons from the index are those from a scan of all records, whatever happens to a store.

Every change is compared with ``scan_runs``, which uses no index.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import compare_runs, find_run
from benchmarks.cli.main import main
from foundation.errors import BenchError
from results.leaderboard.departures import list_departures
from results.leaderboard.filter_sort import TableFilter
from results.leaderboard.render.csv import to_csv
from results.leaderboard.render.json import to_json_data
from results.leaderboard.render.markdown import to_markdown
from results.leaderboard.report import LeaderboardReport, StoreFacts, build_report
from results.leaderboard.row_labels import format_record_start, map_pretrain_methods
from results.records import store as store_module
from results.records.record import Record
from results.records.store import RECORD_FILE, ScanResult, scan_runs
from results.store_index import read_runs, select_runs
from results.store_index.facts_memo import get_memo_dir, pack_state
from results.store_index.indexed_report import build_store_report
from results.store_index.run_listing import list_run_facts, list_run_rows
from results.store_index.select_runs import SelectedRuns
from tests.results.make import make_cost, write_digits_run
from tests.results.statistics.synthetic import write_synthetic_runs

TICK = 0.012
"""Seconds; longer than a step of the clock of the file system (10 ms where the kernel counts 100 in a second), in which
two changes cannot be told apart."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two tasks, three backbones, a pre-training that made start weights, several attempts, timings, failures."""
    root, sha = tmp_path / "runs", "ab" * 32
    start = {"uri": "encoder.pth", "sha256": sha, "bytes": 1}
    for task in ("digits", "letters"):
        for number, name in enumerate(("one", "two", "three")):
            for seed in (0, 1):
                outcomes = [random.Random(f"{name} {seed} {item}").random() < 0.5 + number / 5 for item in range(40)]
                # the quickest time of a backbone is in the records of another task than its board
                slower = seed / 10 + (task == "digits")
                cost = make_cost(1000 * (number + 1), 1 + number + slower, other_load=seed * 0.9)
                write_made_run(root, name, outcomes, task=task, seed=seed, cost=cost)
    write_made_run(root, "one", [True] * 40, task="digits", init="checkpoint", checkpoint=start)
    for heads, milliseconds in (("2", 5.0), ("8", 1.0)):  # a plug-in that makes two networks from the same code
        model = {"structure": "s", "attributes": heads, "source": "c"}
        task = "digits" if heads == "2" else "letters"
        write_made_run(root, "plug", [True] * 40, task=task, model=model, cost=make_cost(1000, milliseconds))
    failed = {"status": "failed", "result": None, "done": 3, "reason": "disk full"}
    write_made_run(root, "four", [True] * 40, task="letters", seed=7, **failed)
    encoder = {"details": {"encoder": {"sha256": sha}}}
    made = {"domain": "pretraining", "protocol": "mae", "task": "pretrain"}
    write_made_run(root, "one", [True] * 40, result_changes=encoder, **made)
    folder = next(root.glob("digits/one-*seed0-*"))
    again = folder.with_name(folder.name + ".2")
    shutil.copytree(folder, again)
    edit_record(again, lambda record: record["result"]["metrics"]["top1"].update(value=12.5))
    (root / "digits" / "empty").mkdir()
    (root / "letters" / "broken-0000000000000000").mkdir()
    (root / "letters" / "broken-0000000000000000" / RECORD_FILE).write_text("{}")
    return root


def write_made_run(root: Path, name: str, outcomes: list[bool], seed: int = 0, **changes: Any) -> Path:
    """A run in its place in a store."""
    backbone = {key: changes.pop(key) for key in ("init", "checkpoint", "model") if key in changes}
    result = changes.pop("result_changes", {})
    place = root / "new"
    _, record = write_digits_run(place, name, outcomes, seed)
    content = record.model_dump(mode="json") | changes
    content["backbone"] |= backbone
    if content["result"]:
        content["result"] |= result
    record = Record.model_validate(content)
    (place / RECORD_FILE).write_text(json.dumps(content))
    folder = root / record.task / f"{name}-finetune-full-seed{seed}-{random.Random(str(content)).randbytes(8).hex()}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    place.rename(folder)
    shutil.rmtree(root / "ledger", ignore_errors=True)
    return folder


def edit_record(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Edit a record in place."""
    content = json.loads((folder / RECORD_FILE).read_text())
    change(content)
    with (folder / RECORD_FILE).open("r+") as file:
        file.write(json.dumps(content))
        file.truncate()


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock of the memo run an hour ahead, so that what was written just now has settled."""
    monkeypatch.setattr("results.store_index.read_runs.time.time", lambda: time.time_ns() / 1e9 + 3600)


CHOICES = (
    TableFilter(tasks=("digits",)),
    TableFilter(tasks=("letters",), backbones=("two",)),
    TableFilter(tiers=("full",), sort_key="latency"),
    TableFilter(tiers=("smoke",)),
    TableFilter(tasks=("nothing",)),
    TableFilter(tasks=("digits",), backbones=("nobody",)),
    TableFilter(),
)


def capture(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except BenchError as error:
        return repr(error)


def render(report: LeaderboardReport) -> list[Any]:
    return [to_markdown(report), to_csv(report), to_json_data(report), report.table, report.pretrainings]


def list_scanned(roots: list[Path]) -> list[dict[str, Any]]:
    """What ``list runs`` gave when it read every record."""
    found = scan_runs(roots)
    made = map_pretrain_methods(found.records)
    rows: list[dict[str, Any]] = []
    for folder, record in found.records:
        primary = record.result.primary_metric if record.result else None
        value = record.result.metrics[record.result.primary_metric].value if record.result else None
        rows.append(
            {
                **{name: getattr(record, name) for name in ("run_id", "task", "protocol", "tier")},
                "departures": list(list_departures(record)),
                "backbone": record.backbone.name,
                "start": format_record_start(record, made),
                "seed": record.seed,
                "status": record.status,
                "primary": primary,
                "value": value,
                "folder": str(folder),
                "error": None,
            }
        )
    return rows + [{"error": fault} for fault in found.errors]


def select_scanned(roots: list[Path], is_chosen: object) -> SelectedRuns:
    found = scan_runs(roots)
    names = frozenset(record.backbone.name for _, record in found.records)
    return SelectedRuns(found, StoreFacts(frozenset(), names, ()))


def require_same_board(roots: Sequence[Path], choice: TableFilter) -> None:
    scanned = capture(lambda: render(build_report(scan_runs(roots), choice)))
    assert capture(lambda: render(build_store_report(roots, choice).report)) == scanned, choice


def require_same(*roots: Path) -> None:
    """Compare everything that the index answers with the same from a scan."""
    assert list_run_rows(roots) == list_scanned(list(roots))
    for choice in CHOICES:
        require_same_board(roots, choice)
    for pair in (("one@card", "two"), ("one@mae", "three"), ("one", "two"), ("one", "nobody")):
        indexed = capture(compare_runs.make_comparisons, *pair, roots, None)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(compare_runs, "scan_selected_runs", select_scanned)
            assert capture(compare_runs.make_comparisons, *pair, roots, None) == indexed, pair
    for folder, record in scan_runs(roots).records[:3]:
        assert find_run.find_run(record.run_id, roots)[1].run_id == record.run_id, folder


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Collect the folders whose record is read because the memo does not have it."""
    read: list[Path] = []

    def read_record_stat(folder: Path) -> tuple[Record, os.stat_result]:
        read.append(folder)
        return store_module.read_record_stat(folder)

    monkeypatch.setattr(read_runs, "read_record_stat", read_record_stat)
    return read


def test_a_store_in_use_and_one_at_rest(store: Path, settled: None) -> None:
    for _ in range(2):
        require_same(store)
        require_same(store, store / "letters", store)


def test_an_unchanged_record_is_read_once(store: Path, settled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    list_run_rows([store])
    read = count_reads(monkeypatch)
    list_run_rows([store])
    assert [folder.name for folder in read] == ["broken-0000000000000000"], "what cannot be read is tried each time"
    edited = next(store.glob("digits/two-*"))
    edit_record(edited, lambda record: record.update(status="invalidated", reason="made up"))
    read.clear()
    require_same(store)
    assert read.count(edited) == 1


def test_what_was_written_just_now_is_read_again(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another change within the same step of the file system's clock would not show in its times."""
    edit_record(next(store.glob("digits/two-*")), lambda record: None)
    read = count_reads(monkeypatch)
    for times in (1, 2):
        list_run_rows([store])
        assert len([folder for folder in read if folder.name.startswith("two")]) == 4 * times


def test_an_edit_that_keeps_size_and_time_is_seen(store: Path, settled: None) -> None:
    """Whoever sets the time back cannot set back when the system saw the change."""
    require_same(store)
    edit_same_size(next(store.glob("digits/two-*")))
    require_same(store)


def edit_same_size(folder: Path) -> None:
    """Change the score in place; size, inode and mtime are as before."""
    path = folder / RECORD_FILE
    before, text = path.stat(), path.read_text()
    value = json.loads(text)["result"]["metrics"]["top1"]["value"]
    assert f'"value": {value}' in text
    time.sleep(TICK)
    with path.open("r+") as file:
        file.write(text.replace(f'"value": {value}', f'"value": {99.5 - value}'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)


def test_the_file_that_was_read_is_the_one_that_is_kept(
    store: Path, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two folders change places after the walk has seen one of them, and change back afterwards."""
    one, two = next(store.glob("digits/one-*seed0-*")), next(store.glob("digits/two-*seed0-*"))

    def swap() -> None:
        for source, target in ((one, store / "swap"), (two, one), (store / "swap", two)):
            source.rename(target)

    def read_swapped(folder: Path) -> tuple[Record, os.stat_result]:
        if folder != one:
            return store_module.read_record_stat(folder)
        swap()
        try:
            return store_module.read_record_stat(folder)
        finally:
            swap()

    with monkeypatch.context() as patch:
        patch.setattr(read_runs, "read_record_stat", read_swapped)
        assert list_run_rows([store]) != list_scanned([store])
    require_same(store)


class StoreChanges:
    """Random changes of a store, as people and programs make them."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.root, self.rng, self.away = root, rng, root.parent / "away"
        self.samples = [path.read_bytes() for path in sorted(root.glob(f"*/*/{RECORD_FILE}"))]
        self.names = [name for name in dir(self) if name.startswith("do_")]

    def change(self) -> str:
        name = self.rng.choice(self.names)
        getattr(self, name)(self.choose_folder())
        return name

    def choose_folder(self) -> Path:
        return self.rng.choice(self.list_folders())

    def list_folders(self) -> list[Path]:
        found = (path.parent for path in sorted(self.root.glob(f"*/*/{RECORD_FILE}")))
        return [folder for folder in found if not folder.is_symlink()]

    def do_add(self, folder: Path) -> None:
        new = self.root / self.rng.choice(["digits", "letters", "a\nb\udc80"]) / f"new\U0001f600{self.rng.random()}"
        new.mkdir(parents=True)
        (new / RECORD_FILE).write_bytes(self.rng.choice(self.samples))

    def do_replace(self, folder: Path) -> None:
        (folder / "other").write_bytes(self.rng.choice(self.samples))
        if not (folder / RECORD_FILE).is_dir():
            (folder / "other").replace(folder / RECORD_FILE)

    def do_edit(self, folder: Path) -> None:
        if not (folder / RECORD_FILE).is_dir():
            (folder / RECORD_FILE).write_bytes(self.rng.choice(self.samples))

    def do_restore_old_time(self, folder: Path) -> None:
        self.do_edit(folder)
        os.utime(folder / RECORD_FILE, (1e9, 1e9))

    def do_break(self, folder: Path) -> None:
        if not (folder / RECORD_FILE).is_dir():
            (folder / RECORD_FILE).write_bytes(self.rng.choice([b"", b"{}", b"\xff{", self.samples[0][:1000]]))

    def do_remove(self, folder: Path) -> None:
        if len(self.list_folders()) > 12:
            shutil.rmtree(folder)

    def do_remove_record(self, folder: Path) -> None:
        if len(self.list_folders()) > 12 and not (folder / RECORD_FILE).is_dir():
            (folder / RECORD_FILE).unlink()

    def do_rename(self, folder: Path) -> None:
        folder.rename(folder.with_name(f"moved{self.rng.random()}"))

    def do_rename_task(self, folder: Path) -> None:
        folder.parent.rename(self.root / f"task{self.rng.random()}")

    def do_take_away_or_bring_back(self, folder: Path) -> None:
        if not self.away.exists():
            self.away.mkdir()
            folder.rename(self.away / "run")
            (self.away / "path").write_text(str(folder), errors="surrogateescape")
        elif not (home := Path((self.away / "path").read_text(errors="surrogateescape"))).parent.is_dir():
            shutil.rmtree(self.away)
        elif not home.exists():
            (self.away / "run").rename(home)
            shutil.rmtree(self.away)

    def do_swap(self, folder: Path) -> None:
        other = self.choose_folder()
        if other != folder:
            for source, target in ((folder, self.root / "swap"), (other, folder), (self.root / "swap", other)):
                source.rename(target)

    def do_nest(self, folder: Path) -> None:
        (folder / "checkpoints" / "a").mkdir(parents=True, exist_ok=True)
        (folder / "checkpoints" / "a" / RECORD_FILE).write_bytes(self.samples[0])

    def do_link_record(self, folder: Path) -> None:
        other = self.choose_folder()
        new = self.root / "links" / f"{self.rng.random()}"
        new.mkdir(parents=True)
        (new / RECORD_FILE).symlink_to(self.rng.choice([other / RECORD_FILE, self.root / "nowhere"]))

    def do_link_folder(self, folder: Path) -> None:
        (self.root / "digits").mkdir(exist_ok=True)
        (self.root / "digits" / f"link{self.rng.random()}").symlink_to(folder)

    def do_hide(self, folder: Path) -> None:
        new = self.root / ".hidden" / f"{self.rng.random()}"
        new.mkdir(parents=True)
        (new / RECORD_FILE).write_bytes(self.samples[0])

    def do_make_folder_of_that_name(self, folder: Path) -> None:
        (self.root / "odd" / f"{self.rng.random()}" / RECORD_FILE).mkdir(parents=True)

    def do_save_timing(self, folder: Path) -> None:
        (folder.parent / "timings").mkdir(exist_ok=True)
        (folder.parent / "timings" / f"{self.rng.random()}.json").write_text("{}")


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in (1, 2))])
def test_any_sequence_of_changes(store: Path, seed: int, settled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list after each change, and a board after some, from several names of the store."""
    monkeypatch.chdir(store.parent)
    (store.parent / "link").symlink_to(store)
    rng, done = random.Random(seed), list[str]()
    changes = StoreChanges(store, rng)
    roots = [[store], [Path("runs")], [Path("link")], [Path("link"), store], [store, Path("runs/../runs/letters")]]
    for _ in range(100):
        time.sleep(TICK)
        done.append(changes.change())
        chosen = [root for root in rng.choice(roots) if root.is_dir()]
        assert list_run_rows(chosen) == list_scanned(chosen), done
        if rng.random() < 0.1:
            choice = rng.choice(CHOICES)
            require_same_board(chosen, choice)
    monkeypatch.chdir(store)
    require_same(Path())


@pytest.mark.parametrize("year", [1500, 1901, 2300, 2440])
def test_a_file_may_be_of_any_year(store: Path, settled: None, year: int) -> None:
    """The nanoseconds of far years do not fit 64 bits, and some disks keep such times."""
    require_same(store)
    path = next(store.glob("digits/two-*")) / RECORD_FILE
    os.utime(path, ns=(0, (year - 1970) * 31_556_952 * 10**9))
    require_same(store)
    far = os.stat_result((*path.stat()[:10], *([0.0] * 3), 0, (year - 1970) * 31_556_952 * 10**9, 0))
    assert len(pack_state(far)) == 40, "whatever the disk of this test keeps"


def test_a_task_that_becomes_a_link_is_no_longer_searched(store: Path, settled: None) -> None:
    require_same(store)
    (store / "digits").rename(store.parent / "digits")
    (store / "digits").symlink_to(store.parent / "digits")
    require_same(store)
    assert {facts.task for facts in list_run_facts([store]).runs} == {"letters", "pretrain"}


@pytest.mark.parametrize("store_name", [".", "runs/", "link", "../runs"])
def test_stores_are_named_as_the_user_names_them(
    store: Path, store_name: str, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (store.parent / "link").symlink_to(store)
    (store.parent / "work").mkdir()
    list_run_rows([store])
    monkeypatch.chdir(store if store_name == "." else store.parent / "work" if ".." in store_name else store.parent)
    read = count_reads(monkeypatch)
    require_same(Path(store_name))
    assert {folder.name for folder in read} == {"broken-0000000000000000"}, "one memo, whatever the store is called"


def test_a_root_that_is_a_run_or_the_top_of_the_file_system(store: Path, settled: None) -> None:
    run = next(store.glob("digits/two-*"))
    for _ in range(2):
        require_same(run)
    reader = read_runs._StoreReader(Path("/"), None, [])  # type: ignore[arg-type]
    assert reader._resolve_path("/a/b") == "/a/b/record.json"


def test_the_text_is_the_same_without_a_memo(
    store: Path, settled: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (["list", "runs"], ["list", "runs", "--json"], ["table", "--task", "digits", "--format", "csv"])
    texts = []
    (store.parent / "file").write_text("")
    for cache in ("cache", "cache", "file"):
        monkeypatch.setenv("BENCH_CACHE", str(store.parent / cache))
        for line in words:
            assert main([*line, "--runs", str(store)]) == 0
        texts.append(capsys.readouterr())
    assert get_memo_dir().parent.is_file() and texts[0] == texts[1] == texts[2]
    assert "broken-0000000000000000" in texts[0].out and "left out of the table" in texts[0].err


def test_an_empty_store_and_no_store(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    assert list_run_rows([tmp_path / "runs"]) == []
    with pytest.raises(BenchError, match="no folder of runs at"):
        list_run_rows([tmp_path / "nothing"])
    assert scan_runs([tmp_path / "runs"]) == ScanResult([], [], [])


def test_three_hundred_records_of_which_one_board_is_opened(
    tmp_path: Path, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "runs"
    write_synthetic_runs(root, 10, 6, 300)
    list_run_rows([root])
    assert list_run_rows([root]) == list_scanned([root])
    opened: list[Path] = []

    def read_record(folder: Path) -> Record:
        opened.append(folder)
        return store_module.read_record(folder)

    monkeypatch.setattr(select_runs, "read_record", read_record)
    choice = TableFilter(tasks=("task_03",))
    read = count_reads(monkeypatch)
    report = build_store_report([root], choice).report
    assert (len(opened), {folder.parent.name for folder in opened}, read) == (50, {"task_03"}, [])
    assert render(report) == render(build_report(scan_runs([root]), choice))
