"""Which weights of a file a run starts from is in its record and its id, and the run is made again from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from backbones.create import create_backbone
from benchmarks.resolve_cell import CellRequest
from benchmarks.run_cell import CellResult, run_cell
from benchmarks.verify.repeat_run import reproduce_run
from results.records.verification import verify_record

State = dict[str, torch.Tensor]


def make_state(seed: int) -> State:
    torch.manual_seed(seed)
    return create_backbone("vit_pico", checkpoint="random").model.state_dict()


def run(file: Path, out: Path, weights_key: str | None = None) -> CellResult:
    request = CellRequest("digits", "vit_pico", "knn", tier="smoke", checkpoint=str(file), out=out, device="cpu")
    return run_cell(request if weights_key is None else CellRequest(**{**vars(request), "weights_key": weights_key}))


def check_all(cell: CellResult, out: Path) -> dict[str, str]:
    checks = [*verify_record(cell.folder, cell.record), *reproduce_run(cell.folder, cell.record, out, "auto")]
    return {check.subject: check.state for check in checks}


def start_of(cell: CellResult) -> tuple[str | None, str]:
    assert cell.record.backbone.checkpoint is not None
    return cell.record.backbone.checkpoint.weights_key, cell.record.run_id


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "w.pth"
    torch.save({"model": make_state(1), "model_ema": {"module": make_state(2)}}, path)
    return path


def test_the_average_and_the_plain_weights_are_two_runs(file: Path, tmp_path: Path) -> None:
    average = run(file, tmp_path)
    plain = run(file, tmp_path, "model")
    asked = run(file, tmp_path, "model_ema.module")
    assert start_of(average)[0] == "model_ema.module"
    assert start_of(plain)[0] is None, "the choice of every bench before"
    assert average.record.run_id == asked.record.run_id != plain.record.run_id
    assert average.record.comparability == plain.record.comparability
    for cell in (average, plain):
        checks = check_all(cell, tmp_path)
        assert checks["start weights"] == checks["top1 run again"] == "holds", checks
        assert "fails" not in checks.values()


def test_sharded_weights_are_verified_with_every_shard(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    place = {}
    for number, (name, _value) in enumerate(make_state(1).items()):
        place[name] = f"part{number % 2}.bin"
    for part in ("part0.bin", "part1.bin"):
        torch.save({name: value for name, value in make_state(1).items() if place[name] == part}, folder / part)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": place}))
    cell = run(folder, tmp_path / "runs")
    checkpoint = cell.record.backbone.checkpoint
    assert checkpoint is not None
    assert checkpoint.bytes == sum(each.stat().st_size for each in folder.iterdir())
    checks = check_all(cell, tmp_path)
    assert checks["start weights"] == checks["top1 run again"] == "holds", checks

    whole = (folder / "part1.bin").read_bytes()
    (folder / "part1.bin").write_bytes(whole + b"\0")
    assert {each.subject: each.state for each in verify_record(cell.folder, cell.record)}["start weights"] == "fails"
    (folder / "part1.bin").unlink()
    assert {each.subject: each.state for each in verify_record(cell.folder, cell.record)}[
        "start weights"
    ] == "unchecked"
