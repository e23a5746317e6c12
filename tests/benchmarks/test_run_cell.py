"""Start weights through the real command: what was loaded stands in the record, what does not fit never starts."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

import backbones.build_model
from backbones.create import create_backbone
from benchmarks.matrix.cell_command import make_cell_command
from benchmarks.resolve_cell import CellRequest
from benchmarks.run_cell import run_cell
from foundation import files
from tests.conftest import Bench

QUICK = ("--tier", "smoke", "--set", "max_items=40", "batch_size=40", "--json")


@pytest.mark.shared_data
def test_real_weights_resized_to_a_small_input_are_reported(deit_file: Path, bench: Bench, tmp_path: Path) -> None:
    done = bench(
        "run", "digits", "--backbone", "deit_tiny", "--checkpoint", str(deit_file), "--out", str(tmp_path), *QUICK
    )
    assert done.returncode == 0, done.stderr
    checkpoint = json.loads(done.stdout)[0]["record"]["backbone"]["checkpoint"]
    report = checkpoint["load_report"]
    assert report["matched_fraction"] == 1.0
    assert not report["missing"]
    assert not report["unexpected"]
    assert any("pos_embed" in name and "1x197x192" in name for name in report["resized"])
    assert any(name.startswith("head.weight") for name in report["dropped"])
    assert any("head count 3" in note for note in report["notes"])
    assert "safetensors" in checkpoint["format"]


@pytest.mark.shared_data
def test_real_weights_in_a_trunk_of_other_heads_never_start(deit_file: Path, bench: Bench, tmp_path: Path) -> None:
    words = ("run", "digits", "--backbone", "vit_tiny", "--checkpoint", str(deit_file), "--out", str(tmp_path), *QUICK)
    done = bench(*words)
    assert done.returncode == 2
    assert "3 attention heads" in done.stderr
    assert "12" in done.stderr
    assert not list(tmp_path.rglob("record.json"))
    forced = bench(*words, "--allow-partial")
    assert forced.returncode == 0, forced.stderr
    backbone = json.loads(forced.stdout)[0]["record"]["backbone"]
    assert backbone["allow_partial"] is True
    assert any("accepted with --allow-partial" in note for note in backbone["checkpoint"]["load_report"]["notes"])


def test_an_input_of_another_order_of_size_is_said(bench: Bench, tmp_path: Path) -> None:
    words = ("run", "digits", "--checkpoint", "random", "--protocol", "knn", "--tier", "smoke", "--out", str(tmp_path))
    done = bench(*words, "--backbone", "timm/test_vit")
    assert done.returncode == 0, done.stderr
    assert "test_vit was made for 160 px and protocol knn uses 32 px" in done.stderr
    assert "was made for" not in bench(*words, "--backbone", "vit_pico").stderr


def test_no_run_is_made_in_the_folder_of_a_run(bench: Bench, tmp_path: Path) -> None:
    """No list or board would have it, because what is in a run's folder belongs to that run."""
    words = ("run", "digits", "--backbone", "vit_nano", "--tier", "smoke", "--protocol", "knn", "--out")
    for number, (place, out) in enumerate([("runs", "runs"), ("runs/digits", "runs"), ("runs", "runs/a/b")]):
        (tmp_path / str(number) / place).mkdir(parents=True)
        (tmp_path / str(number) / place / "record.json").write_text("{}")
        done = bench(*words, str(tmp_path / str(number) / out))
        assert done.returncode == 2 and "which is the folder of a run" in done.stderr, done.stderr
        assert len(list((tmp_path / str(number)).rglob("*"))) == len(Path(place).parts) + 1, "nothing was written"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The architectures that timm was asked to make, and the weight files that were hashed, in order."""
    found: list[str] = []
    create, hash_file = backbones.build_model.timm.create_model, files.sha256_file

    def count_model(architecture: str, *words: Any, **arguments: Any) -> Any:
        found.append(architecture)
        return create(architecture, *words, **arguments)

    def count_file(path: Path) -> str:
        if path.suffix == ".safetensors":
            found.append(path.name)
        return hash_file(path)

    monkeypatch.setattr(backbones.build_model.timm, "create_model", count_model)
    monkeypatch.setattr(files, "sha256_file", count_file)
    return found


@pytest.mark.parametrize("protocol", ["linear", "knn", "finetune"])
def test_a_backbone_is_made_once_and_its_file_hashed_once(protocol: str, calls: list[str], tmp_path: Path) -> None:
    weights = tmp_path / "start.safetensors"
    save_file(create_backbone("vit_pico", num_classes=0).model.state_dict(), weights)
    os.utime(weights, (1e9, 1e9))
    calls.clear()
    request = CellRequest("digits", "vit_pico", protocol, str(weights), tier="smoke", out=tmp_path, device="cpu")
    files_settle_at_once = pytest.MonkeyPatch()
    files_settle_at_once.setattr(files, "SETTLED_SECONDS", 0.0)
    try:
        record = run_cell(request).record
    finally:
        files_settle_at_once.undo()
    assert sorted(calls) == ["start.safetensors", "vit_pico_patch8_32"]
    assert record.backbone.checkpoint is not None and record.backbone.checkpoint.load_report is not None
    assert record.backbone.checkpoint.load_report.matched_fraction == 1.0
    assert record.cost is not None and record.cost.efficiency is not None


def test_a_search_makes_one_for_each_training(calls: list[str], tmp_path: Path) -> None:
    overrides = ("search.lr=[1e-4,2e-3]", "train_on=train+val")
    request = CellRequest("digits", "vit_pico", "finetune", None, tier="smoke", out=tmp_path, device="cpu")
    run_cell(request)
    assert len(calls) == 1
    searched = CellRequest(
        "digits", "vit_pico", "finetune", None, tier="smoke", overrides=overrides, out=tmp_path, device="cpu"
    )
    run_cell(searched)
    assert len(calls) == 1 + 3


def test_a_run_without_a_timing_is_the_same_run(tmp_path: Path) -> None:
    """Its operations are counted, only the times are missing; a record of the one answers the other."""
    request = CellRequest("digits", "vit_pico", "knn", tier="short", out=tmp_path, is_timed=False)
    done = run_cell(request).record
    assert done.cost is not None and done.cost.efficiency is not None
    assert (
        done.cost.efficiency.macs and done.cost.efficiency.latency is None and done.cost.efficiency.throughput is None
    )
    again = run_cell(replace(request, is_timed=True))
    assert again.from_record
    assert again.record.run_id == done.run_id
    assert make_cell_command(request)[-1] == "--no-timing"
