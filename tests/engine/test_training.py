"""The engine through the real command: kill and resume, several processes, mixed precision."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BENCH, ROOT, Bench
from tests.engine.processes.start import kill_processes
from tests.limits import HANG_SECONDS

SHORT = ("run", "digits", "--backbone", "vit_pico", "--set", "epochs=6", "schedule.warmup=1")


def only_record(out: Path) -> dict[str, Any]:
    (path,) = out.rglob("record.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


@pytest.fixture(scope="module")
def undisturbed(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    done = bench(*SHORT, "--out", str(out))
    assert done.returncode == 0, done.stderr
    return out


def kill_when(out: Path, pattern: str, sig: signal.Signals, words: tuple[str, ...] = SHORT) -> None:
    """Start the run and end it with a signal as soon as a file of that pattern is there."""
    child = subprocess.Popen(
        [BENCH, *words, "--out", str(out)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + HANG_SECONDS
    while not list(out.rglob(pattern)):
        assert child.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(sig)
    child.wait(HANG_SECONDS)


def test_ctrl_c_leaves_a_reason_and_the_same_command_goes_on(bench: Bench, undisturbed: Path, tmp_path: Path) -> None:
    kill_when(tmp_path, "step_00000001.pth", signal.SIGINT)
    record = only_record(tmp_path)
    assert record["status"] == "failed"
    assert "interrupted by the user" in record["reason"]
    assert bench(*SHORT, "--out", str(tmp_path)).returncode == 0
    assert only_record(tmp_path)["result"] == only_record(undisturbed)["result"]


def test_fresh_gives_the_same_number_and_keeps_the_old_record(bench: Bench, undisturbed: Path) -> None:
    first = only_record(undisturbed)
    done = bench(*SHORT, "--out", str(undisturbed), "--fresh")
    assert done.returncode == 0, done.stderr
    records = [json.loads(path.read_text()) for path in sorted(undisturbed.rglob("record.json"))]
    assert len(records) == 2
    assert records[0]["result"] == records[1]["result"] == first["result"]
    (records_folder,) = undisturbed.glob("digits/*.2")
    (records_folder / "record.json").rename(records_folder / "kept.json")  # for the other tests of this module


def test_workers_do_not_change_the_number(bench: Bench, undisturbed: Path, tmp_path: Path) -> None:
    done = bench(*SHORT, "workers=2", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert only_record(tmp_path)["result"] == only_record(undisturbed)["result"]
    assert only_record(tmp_path)["run_id"] == only_record(undisturbed)["run_id"]


@pytest.mark.soak
def test_two_processes_one_and_two_again_give_the_number_of_one(undisturbed: Path, tmp_path: Path) -> None:
    """Killed after two epochs, and again after four: one run, one record, and every image is scored exactly once.

    AdamW over 114 steps: confidences differ by 1e-6, as sums are rounded in another order; 1e-4 are held.
    """
    kill_processes(tmp_path, "step_00000002.pth", SHORT)
    kill_when(tmp_path, "step_00000004.pth", signal.SIGKILL)
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--no-python", BENCH]
    done = subprocess.run(
        [*words, *SHORT, "--out", str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("top1") == 1, "only the first process talks"
    assert "Warning" not in done.stderr, "of libraries, from each process"
    record, single = only_record(tmp_path), only_record(undisturbed)
    assert record["run_id"] == single["run_id"]
    assert record["cost"]["attempts"] == 3
    runs = [*record["earlier_attempts"], record["environment"]]
    assert [environment["processes"] for environment in runs] == [2, 1, 2]
    assert record["done"] == record["expected"] == 359
    rows, rows_alone = read_items(tmp_path), read_items(undisturbed)
    assert [int(row["item"]) for row in rows] == list(range(359))
    assert [float(row["confidence"]) for row in rows] == pytest.approx(
        [float(row["confidence"]) for row in rows_alone], abs=1e-4
    )


ITERATIONS = (
    "run",
    "digits",
    "--backbone",
    "vit_pico",
    "--set",
    "epochs=none",
    "iterations=90",
    "val_interval=30",
    "schedule.warmup=10",
)


@pytest.mark.soak
def test_kill_9_and_resume_of_a_run_counted_in_iterations(bench: Bench, tmp_path: Path) -> None:
    """The stream of items goes on in the middle of a pass (90 steps of 64 are 4.9 passes over 1,169 images)."""
    assert bench(*ITERATIONS, "--out", str(tmp_path / "whole")).returncode == 0
    kill_when(tmp_path / "cut", "step_00000030.pth", signal.SIGKILL, ITERATIONS)
    done = bench(*ITERATIONS, "workers=1", "--out", str(tmp_path / "cut"))
    assert done.returncode == 0, done.stderr
    assert only_record(tmp_path / "cut")["result"] == only_record(tmp_path / "whole")["result"]
    assert only_record(tmp_path / "whole")["result"]["selection"]["candidates"] == 3


def read_items(out: Path) -> list[dict[str, str]]:
    items = sorted(out.rglob("items.csv"))[0]  # of the first attempt
    with items.open() as file:
        return list(csv.DictReader(file))


def confidences(out: Path) -> list[float]:
    return [float(row["confidence"]) for row in read_items(out)]


def test_a_batch_in_four_pieces_is_the_same_step(bench: Bench, tmp_path: Path) -> None:
    """Rounding apart; it is noted in the record and leaves the run's identity alone."""
    for name, count in (("whole", 1), ("pieces", 4)):
        words = (*ITERATIONS, "iterations=20", "val_interval=20", f"accumulate={count}")
        done = bench(*words, "--out", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
    whole, cut = (only_record(tmp_path / name) for name in ("whole", "pieces"))
    assert whole["run_id"] == cut["run_id"]
    assert (whole["non_identity_settings"]["accumulate"], cut["non_identity_settings"]["accumulate"]) == (1, 4)
    assert confidences(tmp_path / "pieces") == pytest.approx(confidences(tmp_path / "whole"), abs=2e-3)
    assert confidences(tmp_path / "pieces") != confidences(tmp_path / "whole"), "it did something"


def test_bf16_runs_and_is_recorded(bench: Bench, tmp_path: Path) -> None:
    done = bench(*SHORT[:4], "--tier", "smoke", "--set", "precision=bf16", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert only_record(tmp_path)["environment"]["precision"] == "bf16"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("precision=fp16", "precision fp16 needs a GPU"),
        ("loggers=[wandb]", "loggers: wandb is not installed here; pip install wandb"),
        ("trackers=[wandb]", "--set trackers is called loggers now; write --set loggers=[wandb]"),
        ("loggers=['wandb']", "loggers: wandb is not installed here; pip install wandb"),
    ],
)
def test_what_cannot_work_here_is_one_sentence(bench: Bench, tmp_path: Path, setting: str, message: str) -> None:
    done = bench(*SHORT[:4], "--tier", "smoke", "--set", setting, "--out", str(tmp_path))
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir()), "nothing was written"


def test_curves_are_in_tensorboard(undisturbed: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (events,) = [p for p in undisturbed.rglob("events.out.tfevents*") if ".2/" not in str(p)]
    log = EventAccumulator(str(events))
    log.Reload()
    assert {"loss", "lr", "accuracy/top1"} <= set(log.Tags()["scalars"])


FAKE_MLFLOW = """
import json, os

def _note(*words):
    with open(os.environ["FAKE_MLFLOW_LOG"], "a") as file:
        file.write(json.dumps(words) + "\\n")

def set_experiment(name): _note("experiment", name)
def start_run(run_name): _note("start", run_name)
def log_metric(name, value, step): _note("metrics", {name: value}, step)
def log_metrics(values, step): _note("metrics", values, step)
def end_run(): _note("end")
"""


def test_curves_go_to_mlflow_and_each_run_is_ended(bench: Bench, undisturbed: Path, tmp_path: Path) -> None:
    """With a module that notes what it is told in MLflow's place; the real one is not among our requirements."""
    (tmp_path / "mlflow.py").write_text(FAKE_MLFLOW)
    log, out = tmp_path / "told", tmp_path / "runs"
    done = bench(
        *SHORT, "loggers=[mlflow]", "--out", str(out),
        PYTHONPATH=os.pathsep.join((str(ROOT), str(tmp_path))), FAKE_MLFLOW_LOG=str(log),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in log.read_text().splitlines()]
    (folder,) = (out / "digits").iterdir()
    assert told[:2] == [["experiment", "bench"], ["start", folder.name]]
    assert told[-1] == ["end"]
    curves = [words for words in told if words[0] == "metrics"]
    assert {"loss", "lr"} <= {name for words in curves for name in words[1]}
    assert len([words for words in curves if "accuracy/top1" in words[1]]) == 6
    assert only_record(out)["result"] == only_record(undisturbed)["result"]
