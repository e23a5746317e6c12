"""Start weights through the real command: what was loaded stands in the record, what does not fit never starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Bench

QUICK = ("--tier", "smoke", "--set", "batch_size=512", "--json")


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
