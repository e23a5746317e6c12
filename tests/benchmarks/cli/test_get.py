from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from backbones.create import create_backbone
from backbones.registry import get_card
from benchmarks.cli.main import main
from foundation.errors import CheckpointError
from foundation.files import sha256_file


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A MAE-Tiny file where a user would put it."""
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))
    model = create_backbone("mae_tiny", checkpoint="random", num_classes=0).model
    path = tmp_path / "mae_tiny.pth"
    torch.save({"model": model.state_dict()}, path)
    return path


def test_a_file_in_its_place_is_found_and_loads(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", "weights", "mae_tiny", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == str(weights)
    assert found["sha256"] == sha256_file(weights)
    created = create_backbone("mae_tiny", num_classes=0)
    assert created.initial_weights.init == "card"
    assert created.load_report is not None
    assert created.load_report.matched_fraction == 1.0


def test_another_file_under_the_name_is_refused_where_the_card_knows_its_hash(weights: Path) -> None:
    card = get_card("mae_tiny")
    assert card.weights is not None
    known = dataclasses.replace(card, weights=dataclasses.replace(card.weights, sha256="0" * 64))
    with pytest.raises(CheckpointError, match="is not the file that the card of mae_tiny means"):
        create_backbone(known, num_classes=0)


def test_missing_weights_never_become_random_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"put mae_tiny_400e\.pth\.tar into|are fetched by hand"):
        create_backbone("mae_tiny", num_classes=0)
