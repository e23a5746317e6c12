"""What changes between a stop and the same command: another id, or both attempts in the record; never a silent mix."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from PIL import Image, ImageOps

import engine.run_environment
from backbones.create import create_backbone
from backbones.registry import get_card
from benchmarks.cell_record import count_attempts, list_environment_changes
from benchmarks.cli.main import main
from results.records.record import Record
from results.records.store import scan_runs, write_record
from tests.faults.stopped_commands import Moment, read_outcomes, run_stopped
from tests.results.make import make_record
from tests.wild_data.test_images import write_classes

OTHERWISE = "this run goes on from an attempt that was made otherwise"


class Setup(NamedTuple):
    """A command and the files that it reads."""

    words: list[str]
    data: Path
    weights: Path
    runs: Path


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setup]:
    """A fine-tuning on images and weights of its own, stopped after its first epoch."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    data, weights, runs = tmp_path / "data", tmp_path / "weights.pth", tmp_path / "runs"
    write_classes(data, ("train/cat", "train/dog", "test/cat", "test/dog"), each=4)
    save_weights(weights, 0)
    words = ["run", "imagefolder", "--data-root", str(data), "--backbone", "vit_pico", "--checkpoint", str(weights)]
    words += ["--tier", "smoke", "--device", "cpu", "--out", str(runs), "--set", "epochs=2", "val_interval=1"]
    words += ["schedule.warmup=0", "loggers=[]", "batch_size=4", "img_size=32"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert run_stopped(words, Moment("*/step_00000001.pth"), signal.SIGTERM) == 143
    yield Setup(words, data, weights, runs)
    torch.set_num_threads(threads)


def save_weights(path: Path, seed: int) -> None:
    torch.manual_seed(seed)
    torch.save(create_backbone(get_card("vit_pico"), checkpoint="random", num_classes=0).model.state_dict(), path)


def add_image(setup: Setup) -> list[str]:
    write_classes(setup.data, ("train/cat",), each=5)
    return setup.words


def replace_image(setup: Setup) -> list[str]:
    """With the old time, as ``rsync --times`` does."""
    image = setup.data / "train/cat/cat_0.png"
    before = image.stat()
    with Image.open(image) as old:
        ImageOps.invert(old.convert("RGB")).save(image)
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    return setup.words


def replace_weights(setup: Setup) -> list[str]:
    save_weights(setup.weights, 1)
    return setup.words


def change_setting(setup: Setup) -> list[str]:
    return [*setup.words, "optimizer.lr=0.01"]


@pytest.mark.parametrize("change", [add_image, replace_image, replace_weights, change_setting])
def test_other_content_is_another_run(change: Any, setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    words = change(setup)
    assert main(words) == 0, capsys.readouterr().err
    assert OTHERWISE not in capsys.readouterr().err
    records = [record for _, record in scan_runs([setup.runs]).records]
    assert sorted(record.status for record in records) == ["complete", "failed"]
    assert len({record.run_id for record in records}) == 2
    (whole,) = (record for record in records if record.status == "complete")
    assert not whole.earlier_attempts, "it does not go on from the checkpoint of the other"
    assert whole.cost is not None
    assert whole.cost.attempts == 1


def test_the_same_content_goes_on_wherever_it_is(setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that was moved, a file that was touched, other workers: the id is of the content."""
    moved = setup.data.rename(setup.data.with_name("moved"))
    setup.weights.touch()
    words = [str(moved) if word == str(setup.data) else word for word in setup.words]
    assert main([*words, "workers=1"]) == 0, capsys.readouterr().err
    assert OTHERWISE not in capsys.readouterr().err
    ((_, record),) = scan_runs([setup.runs]).records
    assert record.status == "complete"
    assert len(record.earlier_attempts) == 1
    shutil.rmtree(setup.runs)
    assert main(words) == 0
    assert len(read_outcomes(setup.runs)) == 1


def test_what_may_move_the_last_digits_is_said_and_in_the_record(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(2)
    collect = engine.run_environment.collect_package_versions
    monkeypatch.setattr(engine.run_environment, "collect_package_versions", lambda: collect() | {"torch": "9.9"})
    monkeypatch.setattr(engine.run_environment, "describe_decoder", lambda _: "another decoder 1.0", raising=False)
    capsys.readouterr()
    assert main([*setup.words, "accumulate=2"]) == 0
    (line,) = (line for line in capsys.readouterr().err.splitlines() if OTHERWISE in line)
    for change in ("accumulate 1 -> 2", "threads 1 -> 2", "-> 9.9", "the record lists both"):
        assert change in line
    ((_, record),) = scan_runs([setup.runs]).records
    (before,) = record.earlier_attempts
    assert (before.threads, record.environment.threads) == (1, 2)
    assert before.packages["torch"] != record.environment.packages["torch"] == "9.9"
    assert "accumulate=2" in record.environment.command
    assert "accumulate=2" not in before.command


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("device", "cuda"),
        ("threads", 63),
        ("processes", 2),
        ("python", "3.99"),
        ("platform", "Plan 9"),
        ("git_commit", "f" * 40),
        ("image_decoder", "another decoder 1.0"),
    ],
)
def test_every_part_of_the_environment_that_counts_is_compared(
    field: str, value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made: Record = make_record(1.0)
    stopped = made.model_copy(update={"status": "failed", "reason": "stopped by SIGTERM", "result": None, "done": 0})
    write_record(tmp_path, stopped)
    now = made.environment.model_copy(update={field: value})
    attempt, earlier = count_attempts(tmp_path, now)
    assert (attempt, earlier) == ((made.cost.attempts if made.cost else 1) + 1, [made.environment])
    assert f"{field} {getattr(made.environment, field)} -> {value}" in capsys.readouterr().err
    assert list_environment_changes(made.environment, made.environment) == []
