"""Every weight file that a run of bench leaves behind loads as a start, with the trunk that was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from backbones.create import create_backbone
from benchmarks.resolve_cell import CellRequest
from benchmarks.run_cell import run_cell
from foundation.errors import CheckpointError
from pretraining.task import PretrainTask
from tests.tracking.lasot_root import write_short_sequences

PRETRAIN = ("epochs=1", "schedule.warmup=0", "val_interval=1", "knn_monitor.interval=0", "loggers=[]")
SEGMENT = ("iterations=1", "schedule.warmup=0", "val_interval=1", "batch_size=2", "loggers=[]")
TRACK = (
    *("epochs=1", "pairs=4", "val_pairs=2", "batch_size=2", "head_channels=16", "schedule.warmup=0", "loggers=[]"),
    *("dataset_weights.photos=0", "dataset_weights.mini_lasot=1", "track_processes=1"),
)
FINETUNE = ("epochs=1", "schedule.warmup=0", "loggers=[]")

# what is run: the cell, the prefix of the trunk in its files, and how the trunk was created
RUNS: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "classification": (
        {"task": "digits", "protocol": "finetune", "overrides": FINETUNE, "data_scale": 0.05},
        "backbone.",
        {"global_pool": "avg"},
    ),
    "segmentation": (
        {"task": "mini_ade", "backbone": "vit_nano", "protocol": "linear", "overrides": SEGMENT},
        "backbone.trunk.",
        {"img_size": 64},
    ),
    "tracking": ({"task": "lasot", "protocol": "fast64", "overrides": TRACK}, "backbone.vit.", {}),
    "mae": ({"task": PretrainTask("mae", "digits"), "overrides": PRETRAIN}, "backbone.", {}),
    "mocov3": ({"task": PretrainTask("mocov3", "digits"), "overrides": PRETRAIN}, "backbone.", {}),
    "mae_distill": ({"overrides": PRETRAIN}, "backbone.", {}),
    "mae_distill_d2": ({"overrides": PRETRAIN}, "backbone.", {}),
}


def run(name: str, tmp_path: Path) -> tuple[Path, str]:
    """Make the run; return its folder and its backbone."""
    cell = {"backbone": "vit_pico", "tier": "smoke", "checkpoint": "random", "device": "cpu", **RUNS[name][0]}
    if name == "tracking":
        cell |= {"data_root": write_short_sequences(tmp_path / "lasot", 1), "allow_subset": True}
    if name.startswith("mae_distill"):
        torch.save(create_backbone("vit_pico").model.state_dict(), tmp_path / "teacher.pth")
        teacher = str(tmp_path / "teacher.pth")
        cell["task"] = PretrainTask(name, "digits", teacher="vit_pico", teacher_checkpoint=teacher)
    return run_cell(CellRequest(out=tmp_path / "runs", **cell)).folder, cell["backbone"]


@pytest.mark.parametrize("name", RUNS)
def test_every_file_of_a_run_loads_as_a_start(name: str, tmp_path: Path) -> None:
    folder, backbone = run(name, tmp_path)
    _, prefix, arguments = RUNS[name]
    files = [*folder.rglob("*.pth")]
    kinds = {file.stem.split("_")[0] for file in files}
    assert len(kinds) >= 2, "a checkpoint to resume, and the weights alone"
    found = {file.suffix for file in folder.rglob("*")}
    assert not found & {".pt", ".bin", ".safetensors", ".onnx", ".pkl"}, "another kind of file to try"
    image = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)
    for file in files:
        state = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
        under = "" if file.stem == "encoder" else prefix
        trained = create_backbone(backbone, checkpoint="random", num_classes=0, **arguments).model.eval()
        trunk = {key.removeprefix(under): value for key, value in state.items() if key.startswith(under)}
        lacking = trained.load_state_dict(trunk, strict=False).missing_keys
        assert lacking == [], "the test itself takes the trunk from the file"
        made = create_backbone(backbone, checkpoint=str(file), num_classes=0, **arguments)
        assert made.load_report is not None and made.load_report.matched_fraction == 1
        with torch.no_grad():
            difference = made.model.eval().forward_features(image) - trained.forward_features(image)
        assert difference.abs().max() < 1e-5, file.name
        if arguments.get("global_pool"):
            # a file with fc_norm in place of norm is no start of a backbone with a class token, and says so
            with pytest.raises(CheckpointError, match="it has fc_norm in place of norm"):
                create_backbone(backbone, checkpoint=str(file))
