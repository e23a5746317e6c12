from __future__ import annotations

import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

import litevit_bench
from benchmarks.cli.main import main
from benchmarks.transfer import pack_results as pack_module
from benchmarks.transfer.install_union import merge_stores
from benchmarks.transfer.pack_results import PackContent, pack_results
from benchmarks.transfer.store_contents import StoreContents
from foundation.errors import UserError
from results.records.store import read_record, write_record
from tests.benchmarks.transfer.make_stores import add_run, read_tree


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one whole run, which has everything that a run may have beside its record."""
    folder = add_run(tmp_path / "runs")
    for name in (
        "pictures/a.png",
        "checkpoints/best.pth",
        "checkpoints/sha256/best.json",
        "logs/log.txt",
        "encoder.pth",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "tracked").mkdir()
    (folder / "tracked" / "dog-1.txt").write_text("1,2,3,4")
    (tmp_path / "runs" / "table.md").write_text("derived")
    return tmp_path / "runs"


def test_no_weights_pictures_or_logs_unless_asked(store: Path, tmp_path: Path) -> None:
    done = pack_results(store, tmp_path / "a.tar.gz")
    with tarfile.open(tmp_path / "a.tar.gz") as tar:
        names = tar.getnames()
    assert {Path(name).name for name in names if "ledger" not in name} == {
        "manifest.json",
        "record.json",
        "items.csv",
        "dog-1.txt",
    }
    assert (done.num_records, done.num_files) == (1, len(names) - 1)
    pack_results(store, tmp_path / "b.tar.gz", PackContent(with_pictures=True, with_weights=True))
    with tarfile.open(tmp_path / "b.tar.gz") as tar:
        more = {Path(name).name for name in set(tar.getnames()) - set(names)}
    assert more == {"a.png", "best.pth", "best.json", "encoder.pth"}


def test_a_pack_of_the_union_of_a_pack_is_the_same_pack(store: Path, tmp_path: Path) -> None:
    first = pack_results(store, tmp_path / "a.tar.zst")
    merge_stores([tmp_path / "a.tar.zst"], tmp_path / "elsewhere")
    assert pack_results(tmp_path / "elsewhere", tmp_path / "b.tar.zst").sha256 == first.sha256


def test_what_has_not_ended_is_left_out_and_named(store: Path, tmp_path: Path) -> None:
    record = read_record(next((store / "digits").iterdir()))
    other = add_run(store, "vit_pico")
    shutil.rmtree(other)
    other.mkdir()
    write_record(other, record.model_copy(update={"status": "running", "result": None, "done": 0}))
    done = pack_results(store, tmp_path / "a.tar.zst")
    assert done.num_records == 1
    assert done.left_out == [f"digits/{other.name}: it has not ended"]


def test_a_run_that_ends_meanwhile_is_not_packed_half(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger would name a complete run that was running, and left out, when the records were read."""
    real = pack_module.require_one_store

    def scan_and_let_a_run_end(runs: Path) -> StoreContents:
        found = real(runs)
        add_run(store, "vit_pico")
        return found

    monkeypatch.setattr(pack_module, "require_one_store", scan_and_let_a_run_end)
    with pytest.raises(UserError, match="began or ended while it was packed"):
        pack_results(store, tmp_path / "a.tar.zst")
    assert not list(tmp_path.glob("*.tar*"))


def test_a_name_that_no_archive_may_hold_is_not_called_an_attack(store: Path, tmp_path: Path) -> None:
    (run,) = (store / "digits").iterdir()
    (run / "tracked" / os.fsdecode(b"\xff.txt")).write_text("1,2,3,4")
    with pytest.raises(UserError, match=r"no archive may hold .* rename it") as caught:
        pack_results(store, tmp_path / "a.tar.zst")
    assert "trust" not in str(caught.value)


def test_what_cannot_be_packed_is_named(store: Path, tmp_path: Path) -> None:
    (run,) = (store / "digits").iterdir()
    with pytest.raises(UserError, match="is a part of the store"):
        pack_results(store / "digits", tmp_path / "a.tar.zst")
    add_run(store / "inner")
    with pytest.raises(UserError, match=r"has to hold one store, but holds .* join several with bench merge"):
        pack_results(store, tmp_path / "a.tar.zst")
    shutil.rmtree(store / "inner")
    (run / "items.csv").unlink()
    with pytest.raises(UserError, match=r"nothing was packed: .* lacks items\.csv"):
        pack_results(store, tmp_path / "a.tar.zst")
    assert not (tmp_path / "a.tar.zst").exists()


def test_the_command_and_python(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pack", str(store), "-o", str(tmp_path / "a.tar.zst"), "--json"]) == 0
    stated = json.loads(capsys.readouterr().out)
    done = litevit_bench.pack(store, tmp_path / "b.tar.zst")
    assert done.sha256 == stated["sha256"]
    report = litevit_bench.merge([tmp_path / "b.tar.zst"], tmp_path / "all")
    assert report.num_records == 1 and read_tree(tmp_path / "all").keys() < read_tree(store).keys()
    assert main(["pack", str(store), "-o", str(tmp_path / "a.tar.zst")]) == 2
    assert "exists and is not overwritten" in capsys.readouterr().err
