from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.cli.main import main
from benchmarks.transfer import install_union
from benchmarks.transfer.install_union import MergeReport, describe_merge, merge_stores
from benchmarks.transfer.pack_results import pack_results
from foundation.errors import UserError
from results.records.ledger_checks import check_ledgers
from results.records.store import read_record, scan_runs, write_record
from tests.benchmarks.transfer.make_stores import RIGHT, add_run, read_tree


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two stores that share a run, byte for byte, and have one of their own each."""
    first, second = tmp_path / "first", tmp_path / "second"
    shared = add_run(first)
    shutil.copytree(first, second)
    add_run(first, seed=1)
    add_run(second, "vit_pico", seed=2)
    (shared / "pictures").mkdir()
    (shared / "pictures" / "a.png").write_bytes(b"picture")
    (second / "timings").mkdir()
    (second / "timings" / "t.json").write_text("{}")
    return first, second


def failed_checks(store: Path) -> list[str]:
    return [check.message for check in check_ledgers(store, scan_runs([store]).records) if check.state == "fails"]


def test_the_union_has_every_record_once_and_all_that_belongs_to_it(pair: tuple[Path, Path], tmp_path: Path) -> None:
    before = [read_tree(store) for store in pair]
    done = merge_stores(pair, tmp_path / "all")
    assert done == MergeReport(tmp_path / "all", 3, 3, 1, [], [])
    union = read_tree(tmp_path / "all")
    # the chains of the second store are longer than those that it was copied with
    assert union.keys() == before[0].keys() | before[1].keys()
    for tree in before:
        assert all(union[name] == content for name, content in tree.items() if not name.startswith("ledger/"))
    assert failed_checks(tmp_path / "all") == []
    assert [read_tree(store) for store in pair] == before, "the sources are as they were"
    assert not list(tmp_path.glob(".*")), "nothing is left over"


def test_the_order_and_a_second_merge_change_nothing(pair: tuple[Path, Path], tmp_path: Path) -> None:
    merge_stores(pair, tmp_path / "one")
    merge_stores(pair[::-1], tmp_path / "two")
    assert read_tree(tmp_path / "one") == read_tree(tmp_path / "two")
    again = merge_stores(pair, tmp_path / "one")
    assert (again.num_records, again.num_added, again.conflicts) == (3, 0, [])
    assert read_tree(tmp_path / "one") == read_tree(tmp_path / "two")


def test_a_store_that_is_there_is_added_to_by_an_archive(pair: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = pair
    pack_results(second, tmp_path / "second.tar.zst")
    done = merge_stores([tmp_path / "second.tar.zst"], first)
    assert (done.num_records, done.num_added) == (3, 1)
    assert failed_checks(first) == []


def conflicts_of(sources: list[Path], out: Path, **options: bool) -> list[str]:
    done = merge_stores(sources, out, **options)
    assert not done.conflicts or not out.exists(), "nothing is half-written"
    return done.conflicts


def test_other_numbers_of_one_run_are_always_a_conflict(tmp_path: Path) -> None:
    add_run(tmp_path / "a")
    other = add_run(tmp_path / "b", right=(*RIGHT[::-1][:-1], False))
    for keep_first in (False, True):
        (found,) = conflicts_of([tmp_path / "a", tmp_path / "b"], tmp_path / "all", keep_first=keep_first)
        assert "other numbers: top1 85.0" in found and "against top1 80.0" in found
        assert str(other) in found and str(tmp_path / "a") in found


def test_other_numbers_under_another_attempt_are_found(tmp_path: Path) -> None:
    add_run(tmp_path / "a")
    other = add_run(tmp_path / "b", right=(True,) * 20)
    other.rename(other.with_name(f"{other.name}.2"))
    shutil.rmtree(tmp_path / "b" / "ledger")
    (found,) = conflicts_of([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    assert "other numbers in" in found
    # a store that has both attempts already contradicts nothing
    shutil.copytree(tmp_path / "b" / "digits", tmp_path / "a" / "digits", dirs_exist_ok=True)
    assert conflicts_of([tmp_path / "a", tmp_path / "b"], tmp_path / "all") == []


def test_equal_numbers_with_other_times_need_a_choice(tmp_path: Path) -> None:
    mine = add_run(tmp_path / "a")
    add_run(tmp_path / "b", earlier_attempts=[json.loads((mine / "record.json").read_text())["environment"]])
    sources = [tmp_path / "a", tmp_path / "b"]
    (found,) = conflicts_of(sources, tmp_path / "all")
    assert "the same numbers, but other content of the record" in found
    done = merge_stores(sources, tmp_path / "all", keep_first=True)
    assert "is kept" in done.notes[0]
    (folder,) = (tmp_path / "all" / "digits").iterdir()
    assert (folder / "record.json").read_bytes() == (mine / "record.json").read_bytes()
    assert failed_checks(tmp_path / "all") == []


def test_a_damaged_item_file_gives_way_to_the_right_one(pair: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = pair
    shared = next((second / "digits").glob("vit_nano*"))
    damaged = first / shared.relative_to(second) / "items.csv"
    damaged.write_text("nonsense")
    assert conflicts_of([first, second], tmp_path / "all") == []
    copied = tmp_path / "all" / damaged.relative_to(first)
    assert copied.read_bytes() == (shared / "items.csv").read_bytes()
    (shared / "log.txt").write_text("one")
    (damaged.parent / "log.txt").write_text("two")
    (found,) = conflicts_of([first, second], tmp_path / "more")
    assert "equal records, but other content of log.txt" in found


def test_an_end_replaces_a_start_and_a_withdrawal_what_it_withdraws(tmp_path: Path) -> None:
    whole = add_run(tmp_path / "a")
    record = read_record(whole)
    name = whole.relative_to(tmp_path / "a")
    started = tmp_path / "b" / name
    started.mkdir(parents=True)
    write_record(started, record.model_copy(update={"status": "running", "result": None, "done": 0}))
    (started / "checkpoints").mkdir()
    (started / "checkpoints" / "step.pth").write_bytes(b"half")
    done = merge_stores([tmp_path / "a"], tmp_path / "b")
    assert (done.num_records, done.conflicts) == (1, []) and "replaces the running one" in done.notes[0]
    assert read_record(started).status == "complete"
    assert not (started / "checkpoints").exists()
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    write_record(tmp_path / "c" / name, record.model_copy(update={"status": "invalidated", "reason": "wrong data"}))
    assert merge_stores([tmp_path / "c"], tmp_path / "a").conflicts == []
    assert read_record(whole).status == "invalidated"
    assert failed_checks(tmp_path / "a") == failed_checks(tmp_path / "b") == []
    # where the withdrawn record was removed, it does not come back by a merge
    shutil.rmtree(whole)
    (found,) = merge_stores([tmp_path / "b"], tmp_path / "a").conflicts
    assert "but withdrawn by the ledger of" in found and not whole.exists()


def add_analysis(store: Path, seconds: float) -> Path:
    folder = store / "analysis" / f"cka-vit_nano-{'a' * 16}"
    folder.mkdir(parents=True)
    (folder / "analysis.json").write_text(json.dumps({"seconds": seconds}))
    (folder / "cka.png").write_bytes(b"figure")
    return folder


def test_analyses_travel_and_contradict_like_records(pair: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = pair
    mine = add_analysis(first, 1.0)
    merge_stores(pair, tmp_path / "one")
    assert read_tree(tmp_path / "one" / "analysis") == read_tree(first / "analysis")
    add_analysis(second, 2.0)
    (found,) = conflicts_of([first, second], tmp_path / "two")
    assert "other content of the analysis" in found
    assert merge_stores(pair, tmp_path / "two", keep_first=True).conflicts == []
    kept = tmp_path / "two" / mine.relative_to(first)
    assert json.loads((kept / "analysis.json").read_text())["seconds"] == 1.0


def test_an_archive_is_named_in_messages_and_not_the_place_it_was_unpacked_to(tmp_path: Path) -> None:
    add_run(tmp_path / "a")
    add_run(tmp_path / "b", right=(True,) * 20)
    pack_results(tmp_path / "b", tmp_path / "b.tar.gz")
    (found,) = conflicts_of([tmp_path / "a", tmp_path / "b.tar.gz"], tmp_path / "all")
    assert str(tmp_path / "b.tar.gz") in found and ".merge" not in found


def test_a_target_that_cannot_be_written_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_run(tmp_path / "a")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="is not a folder; name a folder with --out"):
        merge_stores([tmp_path / "a"], tmp_path / "file")
    with pytest.raises(UserError, match="cannot write beside"):
        merge_stores([tmp_path / "a"], tmp_path / "file" / "all")

    def fill_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(install_union.shutil, "copyfile", fill_disk)
    with pytest.raises(UserError, match=r"the merge into .* stopped \(.*the disk had no room"):
        merge_stores([tmp_path / "a"], tmp_path / "all")
    assert not (tmp_path / "all").exists() and not list(tmp_path.glob(".all*"))


def test_names_cannot_write_lines_of_their_own(tmp_path: Path) -> None:
    report = MergeReport(tmp_path, 1, 1, 0, ["a\nok: all is well\x1b[2J"], [])
    assert describe_merge(report).splitlines()[0] == "conflict: a ok: all is well\\u001b[2J"


def test_a_forked_chain_is_a_conflict(pair: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = pair
    chain = next((second / "ledger").glob("*.jsonl"))
    lines = chain.read_text().splitlines(keepends=True)
    copy = first / "ledger" / chain.name
    copy.write_text(lines[0].replace("complete", "failed"))
    assert any("one of them was edited" in text for text in conflicts_of([first, second], tmp_path / "all"))


def test_a_new_fault_of_the_ledger_is_a_conflict(tmp_path: Path) -> None:
    """A record that came without a ledger, where another store's ledger knows other content."""
    mine = add_run(tmp_path / "a")
    shutil.rmtree(tmp_path / "a" / "ledger")
    other = tmp_path / "b" / mine.relative_to(tmp_path / "a")
    other.mkdir(parents=True)
    record = read_record(mine)
    write_record(other, record.model_copy(update={"status": "failed", "result": None, "done": 0, "reason": "disk"}))
    (found,) = conflicts_of([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    assert "record of the union" in found and "edited or replaced since" in found


def test_links_and_unreadable_records_are_all_named(pair: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = pair
    (tmp_path / "secret").write_text("secret")
    folder = next((first / "digits").iterdir())
    (folder / "logs").symlink_to(tmp_path)
    (folder / "notes.txt").symlink_to(tmp_path / "secret")
    (next((second / "digits").iterdir()) / "record.json").write_text("{}")
    with pytest.raises(UserError) as caught:
        merge_stores([first, second], tmp_path / "all")
    for part in (f"{folder / 'logs'} is a link", f"{folder / 'notes.txt'} is a link", "has no schema_version"):
        assert part in str(caught.value)
    assert not (tmp_path / "all").exists()


def test_runs_behind_a_link_in_the_target_are_never_replaced(tmp_path: Path) -> None:
    """They were not seen, so other numbers took their place without a conflict."""
    add_run(tmp_path / "mine")
    shutil.move(tmp_path / "mine" / "digits", tmp_path / "large_disk")
    (tmp_path / "mine" / "digits").symlink_to(tmp_path / "large_disk")
    add_run(tmp_path / "theirs", right=(True,) * 20)
    before = read_tree(tmp_path / "large_disk")
    with pytest.raises(UserError, match="digits is a link"):
        merge_stores([tmp_path / "theirs"], tmp_path / "mine")
    assert read_tree(tmp_path / "large_disk") == before


def test_a_target_inside_a_store_is_refused(tmp_path: Path) -> None:
    run = add_run(tmp_path / "a")
    add_run(tmp_path / "b", "vit_pico")
    for out, reason in ((tmp_path / "a" / "all", "would count every run twice"), (run / "all", "the folder of a run")):
        with pytest.raises(UserError, match=reason):
            merge_stores([tmp_path / "a", tmp_path / "b"], out)
        assert not out.exists()


def test_a_record_that_is_nested_too_deeply_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = add_run(tmp_path / "a")
    (run / "record.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"record.json is not a record: it is nested too deeply"):
        merge_stores([tmp_path / "a"], tmp_path / "all")
    main(["table", "--runs", str(tmp_path / "a")])
    assert "nested too deeply" in capsys.readouterr().err


def test_a_file_in_the_place_of_a_run_is_named(tmp_path: Path) -> None:
    run = add_run(tmp_path / "a")
    place = tmp_path / "b" / run.relative_to(tmp_path / "a")
    add_run(tmp_path / "b", "vit_pico")
    place.write_text("mine")
    with pytest.raises(UserError, match="is a file where the folder of a run belongs"):
        merge_stores([tmp_path / "a"], tmp_path / "b")
    assert place.read_text() == "mine"


@pytest.mark.parametrize("is_killed", [True, False])
def test_a_folder_that_gives_way_is_put_back_if_nothing_takes_its_place(
    is_killed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = add_run(tmp_path / "a"), tmp_path / "b"
    started = out / whole.relative_to(tmp_path / "a")
    started.mkdir(parents=True)
    failed = read_record(whole).model_copy(update={"status": "failed", "result": None, "done": 0, "reason": "disk"})
    write_record(started, failed)
    (started / "checkpoints").mkdir()
    (started / "checkpoints" / "last.pth").write_text("hours of work")
    real = Path.rename

    def stop_at_the_second(self: Path, target: Path) -> Path:
        if self.is_relative_to(tmp_path / ".b.merge" / "union"):
            raise OSError(5, "Input/output error")
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", stop_at_the_second)
        if is_killed:  # nothing that would run at the end of the process runs
            patch.setattr(install_union, "_restore_replaced", lambda *_: None)
            patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(UserError, match="stopped"):
            merge_stores([tmp_path / "a"], out)
    if is_killed:
        assert not started.exists()
        with pytest.raises(UserError, match="there is no folder"):  # any merge into it
            merge_stores([tmp_path / "nowhere"], out)
    assert (started / "checkpoints" / "last.pth").read_text() == "hours of work"
    assert merge_stores([tmp_path / "a"], out).conflicts == []
    assert read_record(started).status == "complete"


def test_a_run_that_is_going_on_is_not_replaced(tmp_path: Path) -> None:
    whole = add_run(tmp_path / "a")
    started = tmp_path / "b" / whole.relative_to(tmp_path / "a")
    started.mkdir(parents=True)
    write_record(started, read_record(whole).model_copy(update={"status": "running", "result": None, "done": 0}))
    from results.records.store import lock_folder

    with lock_folder(started), pytest.raises(UserError, match="another process is working on"):
        merge_stores([tmp_path / "a"], tmp_path / "b")
    assert read_record(started).status == "running"


def test_a_kill_leaves_whole_runs_and_the_same_command_goes_on(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "all"
    add_run(out, "vit_small")
    real, calls = install_union._install_unit, []

    def die_at_the_second(*words: object) -> None:
        calls.append(words)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(install_union, "_install_unit", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        merge_stores(pair, out)
    assert scan_runs([out]).errors == []
    monkeypatch.setattr(install_union, "_install_unit", real)
    assert merge_stores(pair, out).num_records == 4
    merge_stores([*pair, out], tmp_path / "fresh")
    assert read_tree(tmp_path / "fresh") == read_tree(out)


def test_the_command_names_conflicts_and_gives_1(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["merge", *map(str, pair), "--out", str(tmp_path / "all")]
    assert main(words) == 0
    assert "3 records, 3 of them new; 1 were there several times" in capsys.readouterr().out
    add_run(tmp_path / "bad", right=(False,) * 20)
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_added"] == 0
    assert main(["merge", str(tmp_path / "bad"), "--out", str(tmp_path / "all")]) == 1
    out = capsys.readouterr().out
    assert "conflict: digits/vit_nano" in out and "1 conflict; nothing was written" in out
    assert main(["merge", str(tmp_path / "nowhere"), "--out", str(tmp_path / "x")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["merge", str(tmp_path / "empty"), "--out", str(tmp_path / "x")]) == 2
    assert "there is no record in" in capsys.readouterr().err
