"""Pre-training through the way of a run: curve, resume, processes, export, use in a task."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from backbones.create import create_backbone
from benchmarks.cli.main import main
from benchmarks.resolve_cell import CellRequest
from benchmarks.run_cell import CellResult, run_cell
from foundation.errors import BenchError, UserError
from pretraining.loss_curve_hook import LossCurveHook
from pretraining.task import PretrainTask
from results.leaderboard.table import build_table
from results.records.record import Record
from results.records.store import read_record, scan_runs
from results.records.verification import verify_record
from tests.engine.processes.start import kill_processes

SET = ("epochs=4", "schedule.warmup=1", "val_interval=1", "knn_monitor.interval=2", "loggers=[]")


def run(out: Path, *changes: str, method: str = "mae", data: str = "digits", **settings: Any) -> CellResult:
    """One run in this process."""
    words = ("teacher", "teacher_checkpoint", "skip_bad", "knn_data")
    of_task = {name: settings.pop(name) for name in words if name in settings}
    backbone = settings.pop("backbone", "vit_pico")
    task = PretrainTask(method, data, **of_task)
    return run_cell(
        CellRequest(task, backbone, checkpoint="random", overrides=(*SET, *changes), out=out, device="cpu", **settings)
    )


def curve(folder: Path) -> list[dict[str, str]]:
    with (folder / "items.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> CellResult:
    return run(tmp_path_factory.mktemp("undisturbed"))


def test_record_and_curve(undisturbed: CellResult) -> None:
    folder, record, _ = undisturbed
    assert folder.parent.name == "pretrain"
    assert (record.status, record.done, record.expected) == ("complete", 4, 4)
    assert record.backbone.init == "random"
    rows = curve(folder)
    assert list(rows[0]) == ["step", "lr", "loss", "loss_masked", "knn"]
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    falls = [float(row["loss"]) for row in rows]
    assert falls == sorted(falls, reverse=True)
    assert [row["knn"] != "" for row in rows] == [False, True, False, True]
    assert record.result is not None
    assert record.result.metrics["loss"].value == falls[-1]
    assert record.result.metrics["knn"].value == float(rows[-1]["knn"]) > 20, "chance is 10"
    assert record.data.splits == {"train": 1169}, "the training split alone"


def test_a_record_is_verified_against_the_end_of_its_curve(undisturbed: CellResult) -> None:
    folder, record, _ = undisturbed
    checks = {check.subject: check.state for check in verify_record(folder, record)}
    assert (checks["loss"], checks["knn"]) == ("holds", "holds")
    assert "fails" not in checks.values()
    edited = record.model_dump()
    edited["result"]["metrics"]["loss"]["value"] += 1e-9
    (failed,) = [each for each in verify_record(folder, Record.model_validate(edited)) if each.state == "fails"]
    assert failed.subject == "loss"
    assert "the curve in items.csv ends with" in failed.message


def test_a_run_is_shown_and_on_no_board(undisturbed: CellResult, capsys: pytest.CaptureFixture[str]) -> None:
    found = scan_runs([undisturbed.folder])
    assert len(found.records) == 1
    table = build_table(found)
    assert not table.boards
    assert not table.unranked
    assert main(["show", "run", str(undisturbed.folder), "--json"]) == 0
    pictures = json.loads(capsys.readouterr().out)["pictures"]
    assert [Path(path).name for path in pictures] == ["reconstruction.png", "curve.png"]
    assert all(Path(path).read_bytes()[:4] == b"\x89PNG" for path in pictures)


def test_encoder_loads_whole_and_trains(undisturbed: CellResult, tmp_path: Path) -> None:
    """By the run's folder, in a task of another room."""
    report = create_backbone("vit_pico", checkpoint=str(undisturbed.folder)).load_report
    assert report is not None
    assert report.matched_fraction == 1.0
    assert not report.missing + report.unexpected + report.resized
    assert report.notes == ["head count 2 agrees with the checkpoint's own argument num_heads=2"]
    cell = run_cell(
        CellRequest("digits", "vit_pico", "knn", checkpoint=str(undisturbed.folder), out=tmp_path, device="cpu")
    )
    checkpoint = cell.record.backbone.checkpoint
    assert checkpoint is not None
    assert checkpoint.load_report is not None
    assert checkpoint.load_report.matched_fraction == 1.0
    assert checkpoint.uri == str(undisturbed.folder / "encoder.pth")


def test_one_process_two_and_one_again_have_the_curve_of_one(
    undisturbed: CellResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same batches, crops and masks: the losses agree to 1e-5 (measured: 2e-7), in one run with one record.

    Of the two the second one is killed, and the record of the first says so.
    """
    with monkeypatch.context() as patch:
        patch.setattr(LossCurveHook, "before_train_epoch", interrupt_second_epoch, raising=False)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path)
    words = ["pretrain", "mae", "--backbone", "vit_pico", "--data", "digits", "--device", "cpu", "--set", *SET]
    said, _ = kill_processes(tmp_path, "step_00000003.pth", words, first_victim=1)
    (file,) = tmp_path.glob("*/*/record.json")
    broken_off = json.loads(file.read_text())
    assert broken_off["status"] == "failed"
    assert broken_off["reason"].startswith("another process of this run is gone") and broken_off["reason"] in said
    cell = run(tmp_path)
    record = cell.record
    assert record.run_id == undisturbed.record.run_id
    assert [environment.processes for environment in (*record.earlier_attempts, record.environment)] == [1, 2, 1]
    for row, alone in zip(curve(cell.folder), curve(undisturbed.folder), strict=True):
        assert float(row["loss"]) == pytest.approx(float(alone["loss"]), rel=1e-5)


def interrupt_second_epoch(hook: LossCurveHook, runner: Any) -> None:
    if runner.epoch == 1:
        raise KeyboardInterrupt


def test_pieces_and_workers_leave_the_curve(undisturbed: CellResult, tmp_path: Path) -> None:
    """A batch in two pieces has the masks of the whole one (1e-4); they are no part of the identity."""
    cell = run(tmp_path, "accumulate=2", "workers=1")
    assert cell.record.run_id == undisturbed.record.run_id
    for row, whole in zip(curve(cell.folder), curve(undisturbed.folder), strict=True):
        assert float(row["loss"]) == pytest.approx(float(whole["loss"]), rel=1e-4)


def test_average_and_bf16(undisturbed: CellResult, tmp_path: Path) -> None:
    """The running average is what is exported."""
    cell = run(tmp_path, "ema=0.9", "precision=bf16", "epochs=2")
    assert cell.record.environment.precision == "bf16"
    (last,) = (cell.folder / "checkpoints").glob("last_00000002.pth")
    state = torch.load(last, weights_only=True)["state_dict"]
    exported = torch.load(cell.folder / "encoder.pth", weights_only=True)["state_dict"]
    assert torch.equal(exported["norm.weight"], state["ema_model.norm.weight"])
    assert not torch.equal(exported["norm.weight"], state["backbone.norm.weight"])
    report = create_backbone("vit_pico", checkpoint=str(last)).load_report
    assert report is not None
    assert report.matched_fraction == 1.0, "the last checkpoint of a run loads too"


def test_iterations_instead_of_epochs(tmp_path: Path) -> None:
    cell = run(tmp_path, "epochs=none", "iterations=25", "val_interval=10", "knn_monitor.interval=0")
    assert [row["step"] for row in curve(cell.folder)] == ["10", "20", "25"]


def test_a_teacher_of_ones_own(undisturbed: CellResult, tmp_path: Path) -> None:
    """A run is a teacher; its hash is part of the student's identity."""
    cell = run(
        tmp_path, "epochs=2", method="mae_distill", teacher="vit_pico", teacher_checkpoint=str(undisturbed.folder)
    )
    assert list(curve(cell.folder)[0]) == ["step", "lr", "loss", "loss_masked", "loss_attention", "knn"]
    assert undisturbed.record.result is not None
    digest = undisturbed.record.result.details["encoder"]["sha256"]
    assert cell.record.config["teacher"]["sha256"] == digest


def test_two_crops(tmp_path: Path) -> None:
    cell = run(tmp_path, "epochs=2", "hidden_dim=32", "out_dim=16", method="mocov3")
    assert list(curve(cell.folder)[0]) == ["step", "lr", "loss", "loss_contrast", "knn"]
    assert {path.name for path in (cell.folder / "pictures").iterdir()} == {"curve.png", "pictures.json"}


def test_add_backbone(undisturbed: CellResult, tmp_path: Path) -> None:
    """A card of its own, that later processes find; its name is taken then."""
    from tests.conftest import run_bench

    env = {"BENCH_CARDS": str(tmp_path / "cards"), "BENCH_WEIGHTS": str(tmp_path / "weights")}
    words = ("add", "backbone", "my_mae", "--from", str(undisturbed.folder))
    done = run_bench(*words, "--json", **env)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.rglob("my_mae*")} == {"my_mae.json", "my_mae.pth"}
    done = run_bench("get", "weights", "my_mae", **env)
    assert done.returncode == 0, done.stderr
    assert "mae on digits, full, seed 0" in done.stdout
    done = run_bench(*words, **env)
    assert done.returncode == 2
    assert "my_mae was added before" in done.stderr


def test_what_cannot_be_added(undisturbed: CellResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.add_backbone import add_backbone

    monkeypatch.setenv("BENCH_CARDS", str(tmp_path / "cards"))
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path / "weights"))
    with pytest.raises(UserError, match="is not a valid name for a backbone"):
        add_backbone("My-MAE", undisturbed.folder)
    with pytest.raises(UserError, match="vit_nano is a backbone of bench already"):
        add_backbone("vit_nano", undisturbed.folder)
    with pytest.raises(BenchError, match="cannot read"):
        add_backbone("mine", tmp_path)
    assert not (tmp_path / "cards").exists()
    assert not (tmp_path / "weights").exists()


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(
        BenchError, match=r"not a finite number at step 2 \(the last finite one was .*\); lower optimizer\.lr"
    ):
        run(tmp_path, "optimizer.lr=1e30", "schedule.warmup=0")
    (folder,) = (tmp_path / "pretrain").iterdir()
    assert read_record(folder).status == "failed"
    assert not (folder / "encoder.pth").exists()
