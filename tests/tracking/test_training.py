"""Training: eight pairs learnt by heart, kill and resume, unreadable frames, what the engine was given for it."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from backbones.create import create_backbone
from benchmarks.cli.main import main
from engine.lr_schedule import count_steps_per_epoch
from engine.optimizer import build_param_groups
from engine.recipe import OptimizerConfig
from foundation.errors import UserError
from tests.conftest import Bench
from tests.tracking.make import MEAN, STD, make_tracker_model
from tracking.data.mini_lasot import ensure_mini_lasot
from tracking.data.pair import CropSizes, SearchJitter
from tracking.data.pair_dataset import PairDataset, WeightedPairSampler
from tracking.data.readers.lasot import read_train_videos
from tracking.data.video_pairs import PairAugmentation, VideoPairSampler
from tracking.evaluate_run import evaluate_run
from tracking.models.candidate_elimination import CandidateElimination
from tracking.models.tracker_model import TrackerModel
from tracking.protocols import CandidateEliminationHook, load_protocol_recipe

TINY = (
    *("run", "mini_lasot", "--backbone", "vit_pico", "--protocol", "fast64", "--tier", "smoke"),
    *("--set", "epochs=3", "pairs=48", "val_pairs=8", "batch_size=16", "head_channels=16"),
    *("dataset_weights.mini_lasot=1", "use_ce=true", "ce.blocks=[1]", "ce.begin=1", "ce.end=2"),
)


@pytest.mark.soak
def test_eight_pairs_are_learnt_by_heart() -> None:
    """The whole chain from files to boxes: IoU above 0.9 on what was trained on, with OSTrack's own losses."""
    maker = VideoPairSampler(
        read_train_videos(ensure_mini_lasot()),
        CropSizes(32, 64, 2.0, 4.0),
        SearchJitter(2.0, 0.2),
        48,
        PairAugmentation(),
    )
    items = PairDataset([WeightedPairSampler(maker, 1.0)], 8, seed=5)
    batch = torch.utils.data.default_collate([items[number] for number in range(8)])
    torch.manual_seed(0)
    trunk = create_backbone("vit_nano", checkpoint="random", num_classes=0).model
    model = TrackerModel(trunk, 32, 64, MEAN, STD, head_channels=64).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(250):
        losses = model(**batch, mode="loss")
        optimizer.zero_grad()
        sum(value for name, value in losses.items() if "loss" in name).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        overlaps = [outcome.iou for outcome in model.eval()(**batch, mode="predict")]
    assert sum(overlaps) / 8 > 0.9, overlaps


def record_of(out: Path) -> dict[str, Any]:
    (path,) = out.rglob("record.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_a_run_and_what_is_made_of_it(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = tmp_path / "whole"
    done = bench(*TINY, "--out", str(whole))
    assert done.returncode == 0, done.stderr
    (run,) = whole.glob("mini_lasot/*")
    assert f"use it: bench track VIDEO --init x,y,w,h --run {run}" in done.stdout
    first = record_of(whole)
    (path,) = whole.rglob("last_00000003.pth")
    weights = torch.load(path, weights_only=True)["state_dict"]
    selection = first["result"]["selection"]
    assert (selection["split"], selection["chosen"]) == ("none", "the last weights, after 3 epochs")
    (items,) = whole.rglob("items.csv")
    rows = list(csv.DictReader(items.open()))
    mean = sum(float(row["AUC"]) for row in rows) / len(rows)
    assert first["result"]["metrics"]["AUC"]["value"] == pytest.approx(mean) and len(rows) == 12
    assert not list(whole.rglob("best_*.pth"))
    for file in whole.rglob("*_00000003.pth"):
        start = create_backbone("vit_pico", checkpoint=str(file), num_classes=0).model.state_dict()
        assert all(torch.equal(value, weights[f"backbone.vit.{name}"]) for name, value in start.items()), file
    (run,) = (path.parent for path in whole.rglob("record.json"))
    (score,) = evaluate_run(run, ensure_mini_lasot() / "turn" / "turn-4", tmp_path / "mine")
    assert score.boxes == rows[-1]["boxes"], "a finished run's tracker gives the same boxes elsewhere"
    assert main(["verify", str(run), "--rerun-eval", "--device", "cpu", "--json"]) == 0
    states = {check["subject"]: check["state"] for check in json.loads(capsys.readouterr().out)[0]["checks"]}
    assert states["AUC"] == states["AUC evaluated again"] == states["tracked boxes"] == "holds"
    (run / "record.json").write_text((run / "record.json").read_text().replace('"tracking"', '"classification"'))
    with pytest.raises(UserError, match="is not a finished run of a tracking task"):
        evaluate_run(run, ensure_mini_lasot() / "turn" / "turn-4", tmp_path / "mine")


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A user's folder whose training frames are half unreadable."""
    root = tmp_path / "mine"
    for split, source in (("train", "drift-1"), ("test", "drift-3")):
        shutil.copytree(ensure_mini_lasot() / "drift" / source, root / split / "ball")
    for number in range(2, 49, 2):
        (root / "train" / "ball" / "img" / f"{number:08d}.jpg").write_bytes(b"not an image")
    return root


def test_unreadable_training_frames_stop_the_run_or_are_counted(
    damaged: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = (
        "run",
        "trackfolder",
        *TINY[2:],
        "dataset_weights.mini_lasot=0",
        "dataset_weights.photos=0",
        "dataset_weights.trackfolder=1",
    )
    words = (*words, "epochs=1", "schedule.warmup=0", "ce.begin=0", "ce.end=1")
    words = (*words, "--data-root", str(damaged), "--out", str(tmp_path / "out"))
    assert main(words) == 2
    said = capfd.readouterr().err
    assert "cannot be decoded" in said and "fetch it again" in said and ".jpg" in said
    assert "Traceback" not in said
    shutil.rmtree(tmp_path / "out")
    assert main([*words, "--set", "skip_unreadable=true"]) == 0
    counted = record_of(tmp_path / "out")["result"]["metrics"]["bad_frames"]
    assert counted["value"] > 10 and counted["unit"] == "frames"


def test_the_backbone_learns_more_slowly_and_everything_decays() -> None:
    class Recipe:
        optimizer = OptimizerConfig(name="AdamW", lr=4e-4, weight_decay=1e-4, backbone_scale=0.1, decay_all=True)

    model = make_tracker_model("vit_pico")
    groups = build_param_groups(model, Recipe())  # type: ignore[arg-type]
    rates = {name: group["lr"] for group in groups for name in group["names"]}
    assert rates["backbone.vit.blocks.0.attn.qkv.weight"] == rates["backbone.search_positions"] == pytest.approx(4e-5)
    assert rates["head.score.0.weight"] == pytest.approx(4e-4)
    assert {group["weight_decay"] for group in groups} == {1e-4}
    assert set(rates) == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert "backbone.vit.cls_token" not in rates


@pytest.mark.parametrize("protocol", ["ostrack256_ce", "ostrack384"])
def test_the_elimination_follows_the_epoch(protocol: str) -> None:
    """OSTrack counts from 1: 1 until epoch 20, then 0.7 + 0.15 (1 + cos(pi (epoch - 20) / 80)), 0.7 from 100 on."""
    recipe = load_protocol_recipe(protocol)
    model = make_tracker_model(candidate_elimination=CandidateElimination())
    hook = CandidateEliminationHook(model, recipe.ce, recipe.by_epoch)
    expected = {
        20: 1.0,
        21: 0.7 + 0.15 * (1 + math.cos(math.pi / 80)),
        40: 0.9560660,
        60: 0.85,
        80: 0.7439340,
        100: 0.7,
    }
    for epoch, ratio in expected.items():
        # mmengine counts from 0
        hook.before_train_iter(SimpleNamespace(epoch=epoch - 1, iter=3), 0)
        assert model.train_keep_ratio == pytest.approx(ratio, abs=1e-7), epoch


@pytest.mark.parametrize("protocol", ["ostrack256", "ostrack256_ce", "ostrack384"])
def test_an_epoch_has_as_many_steps_as_on_the_papers_gpus(protocol: str) -> None:
    """Each of 4 GPUs has 15,000 of 60,000 pairs, in batches of 32 without the incomplete one: 468 steps."""
    recipe = load_protocol_recipe(protocol)
    assert count_steps_per_epoch(recipe, recipe.pairs) == 60_000 // 4 // 32 == 468
    assert recipe.pair_augmentation().on_frames and recipe.identity_settings()["augment_frames"]
    assert "augment_frames" not in load_protocol_recipe("fast128").identity_settings(), "ids from before stay"
