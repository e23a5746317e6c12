"""What a complete detector costs, and its backbone apart."""

from __future__ import annotations

import json

import pytest

from backbones.cost.profile import TimingConfig
from benchmarks.cli.main import main
from detection import profile
from detection.profile import load_profiled_recipe, profile_detector
from foundation.errors import UserError

SMALL = ("size=64", "model.channels=8", "model.box_channels=8", "model.proposals.per_image=[9,9]", "test.per_image=4")
ONCE = TimingConfig(warmup=1, min_passes=2, max_passes=2, warmup_seconds=0)


def test_backbone_and_whole_model_apart() -> None:
    recipe = load_profiled_recipe("vitdet_short", SMALL)
    few = profile_detector("vit_nano", recipe, repeats=ONCE)
    more = load_profiled_recipe("vitdet_short", (*SMALL[:3], "model.proposals.per_image=[9,18]", "test.per_image=4"))
    twice = profile_detector("vit_nano", more, repeats=ONCE)
    alone, whole = few["counts"]["backbone"], few["counts"]["whole_model"]
    assert 0 < alone["parameters"] < whole["parameters"]
    assert 0 < alone["macs"] < whole["macs"]
    # nine more regions in the box head: four 3x3 convolutions of 8 channels on 7 x 7 cells, a hidden layer of 8, and
    # the classes (81) and boxes (4 x 80)
    region = 4 * 8 * 8 * 9 * 49 + 8 * 49 * 8 + 8 * (81 + 320)
    assert twice["counts"]["whole_model"]["macs"] - whole["macs"] == 9 * region
    assert twice["counts"]["backbone"] == alone
    assert all(len(few[part]["raw"]) >= 2 for part in ("backbone", "network", "end_to_end"))
    assert few["img_size"] == 64


def test_the_table_and_wrong_options(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "TimingConfig", lambda: ONCE)
    words = ["profile", "vit_nano", "--task", "detection", "--protocol", "frozen", "--device", "cpu"]
    assert main([*words, "--set", *SMALL]) == 0
    head, row = capsys.readouterr().out.splitlines()[:2]
    assert "backbone: params M" in head
    assert row.split()[:3] == ["vit_nano", "frozen", "64"]
    assert main([*words, "--json", "--set", *SMALL]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["protocol"] == "frozen"
    assert main([*words, "--batch", "4"]) == 2
    assert "--batch has no meaning for --task detection" in capsys.readouterr().err
    with pytest.raises(UserError, match="detection has no protocol 'fast'; choose vitdet, vitdet_short, frozen"):
        load_profiled_recipe("fast")
