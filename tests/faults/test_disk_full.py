"""Disks that are full, out of inodes or read-only: one sentence, an honest record, and the same number afterwards."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.faults.small_disk import Said, SmallDisk, bench, list_leftovers, needs_mounts, run_on_small_disks

pytestmark = needs_mounts

FINETUNE = ("run", "digits", "--backbone", "vit_nano", "--tier", "smoke", "--device", "cpu")
KNN = (*FINETUNE, "--protocol", "knn")
PRETRAIN = ("pretrain", "mae", "--backbone", "vit_nano", "--data", "digits", "--tier", "smoke", "--device", "cpu")
ROOM = 64 << 20


def read_outcome(out: Path) -> list[Any]:
    """Id, metrics and hash of the items of every run of a store."""
    records = [json.loads(path.read_text()) for path in sorted(out.rglob("record.json"))]
    return [(each["run_id"], each["result"]["metrics"], each["result"]["items"]["sha256"]) for each in records]


def read_status(out: Path) -> list[tuple[str, str | None]]:
    """Status and reason of every run of a store."""
    records = [json.loads(path.read_text()) for path in out.rglob("record.json")]
    return [(each["status"], each["reason"]) for each in records]


def check_sentence(said: Said, folder: Path, fault: str) -> None:
    """Check that a command was refused in one sentence of ours with a path and the reason."""
    assert said.code in (1, 2), said
    assert "unexpected" not in said.err and "Errno" not in said.err and "Traceback" not in said.err, said.err
    assert str(folder) in said.sentence, said.err
    assert any(word in said.sentence for word in fault.split("|")), said.err


def break_and_go_on(folder: Path, words: tuple[str, ...], disks: list[tuple[int, int, str]]) -> None:
    """Run a command on disks that are too small, make them larger, and compare with an undisturbed run.

    Args:
        folder: an empty folder.
        words: the command, without ``--out``.
        disks: bytes and inodes of each disk, and the status that the record must have.
    """
    os.environ["BENCH_CACHE"] = str(folder / "cache")
    assert bench(*words, "--out", str(folder / "undisturbed")).code == 0
    expected = read_outcome(folder / "undisturbed")
    for number, (num_bytes, num_files, status) in enumerate(disks):
        disk = SmallDisk(folder / f"disk{number}", num_bytes, num_files)
        out = disk.folder / "runs"
        said = bench(*words, "--out", str(out))
        check_sentence(said, disk.folder, "disk is full|no more files|no room|only")
        ((found, reason),) = read_status(out)
        assert found == status, (num_bytes, num_files, found, said.err)
        assert status == "running" or f"bench: {reason}" == said.sentence, reason
        assert list_leftovers(disk.folder) == []
        disk.resize(ROOM)
        assert bench(*words, "--out", str(out)).code == 0
        assert read_outcome(out) == expected, "the number is that of an undisturbed run"


def _break_knn(folder: str) -> None:
    # the items, with and without room for the failed record; inodes: the items
    break_and_go_on(Path(folder), KNN, [(8192, 100, "running"), (12288, 100, "failed"), (ROOM, 9, "running")])


def _break_knn_everywhere(folder: str) -> None:
    # the ledger, the complete record; inodes: the ledger
    break_and_go_on(Path(folder), KNN, [(4096, 100, "running"), (20480, 100, "running"), (ROOM, 6, "running")])


def _break_training(folder: str) -> None:
    from engine import training

    training.require_checkpoint_space = lambda *_: None  # type: ignore[assignment] # so that the writes themselves fail
    # the first weights, and the weights after the first checkpoint
    break_and_go_on(Path(folder), FINETUNE, [(500 << 10, 100, "failed"), (4 << 20, 100, "failed")])


def _break_training_everywhere(folder: str) -> None:
    from engine import training

    training.require_checkpoint_space = lambda *_: None  # type: ignore[assignment]
    # the log, the first checkpoint
    break_and_go_on(Path(folder), FINETUNE, [(8192, 100, "running"), (2 << 20, 100, "failed")])


def _break_pretraining(folder: str) -> None:
    # the room for checkpoints and the number of files are known before the first step; the encoder comes last
    disks = [(4 << 20, 100, "failed"), (ROOM, 18, "failed"), (int(7.5 * 2**20), 100, "failed")]
    break_and_go_on(Path(folder), PRETRAIN, disks)


@pytest.mark.parametrize(
    "function",
    [
        _break_knn,
        _break_training,
        *(
            pytest.param(each, marks=pytest.mark.soak)
            for each in (_break_knn_everywhere, _break_training_everywhere, _break_pretraining)
        ),
    ],
)
def test_a_run_on_a_full_disk_fails_in_a_sentence_and_goes_on(function: Any, tmp_path: Path) -> None:
    run_on_small_disks(function, str(tmp_path))


def _lack_cache(folder: str) -> None:
    home = Path(folder)
    os.environ["BENCH_CACHE"] = str(home / "cache")
    assert bench(*KNN, "--out", str(home / "undisturbed")).code == 0
    expected = read_outcome(home / "undisturbed")
    for number, (num_bytes, num_files) in enumerate([(4096, 100), (8192, 100), (450 << 10, 100), (ROOM, 5), (0, 0)]):
        disk = SmallDisk(home / f"cache{number}", num_bytes or ROOM, num_files or 100)
        disk.set_read_only(not num_bytes)
        os.environ["BENCH_CACHE"] = str(disk.folder / "cache")
        said = bench(*KNN, "--out", str(home / f"out{number}"))
        assert said.code == 0, said.err
        assert said.err.count("kept in memory") == 1, "said once for both splits"
        assert str(disk.folder) in said.err and list_leftovers(disk.folder) == []
        assert read_outcome(home / f"out{number}") == expected
    # data that must be unpacked have no other place; nothing of a half data set is taken for one later
    for number, task in enumerate(["mini_ade", "mini_lasot"]):
        disk = SmallDisk(home / f"data{number}", 100 << 10)
        os.environ["BENCH_CACHE"] = str(disk.folder / "cache")
        check_sentence(bench("check", "data", task, "--sheet", str(home / "sheet.png")), disk.folder, "disk is full")
        assert list(disk.folder.rglob("*.jpg")) == []
        disk.set_read_only()
        check_sentence(bench("check", "data", task), disk.folder, "read-only")


def test_a_cache_that_cannot_be_written_is_not_needed_for_features(tmp_path: Path) -> None:
    run_on_small_disks(_lack_cache, str(tmp_path))


def _write_results(folder: str) -> None:
    home = Path(folder)
    os.environ["BENCH_CACHE"] = str(home / "cache")
    runs = str(home / "runs")
    for words in (FINETUNE, KNN):
        assert bench(*words, "--out", runs).code == 0
    knn, finetune = (str(next((home / "runs").glob(f"digits/*{name}*"))) for name in ("knn", "finetune"))
    image = home / "image.png"
    shutil.copyfile(next(Path(knn).rglob("*.png")), image)
    commands = {
        "csv": ("items", knn, "--out", "{}/i.csv"),
        "parquet": ("items", knn, "--out", "{}/i.parquet", "--format", "parquet"),
        "page": ("table", "--runs", runs, "--html", "{}/page"),
        "file": ("table", "--runs", runs, "--html", "{}/page", "--single-file"),
        "pack": ("pack", runs, "-o", "{}/p.tar.gz", "--with-weights", "--with-pictures"),
        "merge": ("merge", runs, "--out", "{}/m"),
        "sheet": ("check", "data", "digits", "--sheet", "{}/s.png"),
        "export": ("export", finetune, "--format", "onnx", "--out", "{}/x"),
        "table": ("table", "--runs", runs, "--format", "csv", "--out", "{}/t.csv"),
        "predict": ("predict", str(image), "--run", finetune, "--out", "{}/p", "--device", "cpu"),
    }
    for name, words in commands.items():
        disk = SmallDisk(home / name, ROOM, 100)
        filled = [word.format(disk.folder) for word in words]
        disk.leave_free(0)
        check_sentence(bench(*filled), disk.folder, "disk is full|only 0 bytes")
        disk.empty()
        disk.set_read_only()
        check_sentence(bench(*filled), disk.folder, "read-only")
        disk.set_read_only(False)
        kept = [path for path in disk.folder.rglob("*") if path.is_file() and path.stat().st_size]
        assert kept == [], f"{name} left {kept}"
        assert bench(*filled).code == 0, name
    archive = home / "pack" / "p.tar.gz"
    disk = SmallDisk(home / "unpack", 8192, 100)
    check_sentence(bench("merge", str(archive), "--out", str(disk.folder / "m")), disk.folder, "need|disk is full")


def test_every_other_verb_names_what_it_cannot_write(tmp_path: Path) -> None:
    run_on_small_disks(_write_results, str(tmp_path))


def _lack_shared_memory(folder: str) -> None:
    os.environ["BENCH_CACHE"] = str(Path(folder, "cache"))
    words = ("run", "mini_ade", "--backbone", "vit_nano", "--tier", "smoke", "--device", "cpu", "--set", "workers=2")
    SmallDisk(Path("/dev/shm"), 100 << 10)
    said = bench(*words, "--out", str(Path(folder, "runs")))
    check_sentence(said, Path("/dev/shm"), "ran out of shared memory")
    assert "--set workers=0" in said.sentence
    assert [status for status, _ in read_status(Path(folder, "runs"))] == ["failed"]


def test_workers_without_shared_memory_end_in_a_sentence(tmp_path: Path) -> None:
    """Torch would wait for ever for the batch that a worker could not hand over."""
    run_on_small_disks(_lack_shared_memory, str(tmp_path))
