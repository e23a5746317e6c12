"""Small exported trackers for tests."""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path
from typing import Any

import torch

from deployment.export_folder import hash_files
from deployment.formats import RUNTIME_BY_FORMAT, ExportFormat
from deployment.manifest import MANIFEST_FILENAME, ExportOrigin
from deployment.onnx_export import ExportGraph, export_onnx
from engine.evaluation.model_source import Precision
from tests.tracking.make import make_tracker_model
from tracking.data.pair import CropSizes
from tracking.deployment.export import build_export_files
from tracking.deployment.graph_network import ExportedNetwork, build_exported_network
from tracking.models.candidate_elimination import CandidateElimination
from tracking.models.tracker_model import TrackerModel

SIZES = CropSizes(32, 64, 2.0, 4.0, "exact")
ORIGIN = ExportOrigin(
    run_id=None, backbone="vit_pico", task="mini_lasot", protocol="fast64", checkpoint_sha256="0" * 64, licence="none"
)
SOME_ELIMINATION = CandidateElimination(blocks=[1], keep_ratio=0.6)
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {"backbone": "vit_pico"},
    "asymmetric attention": {"backbone": "vit_pico", "asymmetric_attention": True},
    "elimination": {"backbone": "vit_pico", "candidate_elimination": SOME_ELIMINATION},
    "asymmetric attention and elimination": {
        "backbone": "vit_pico",
        "asymmetric_attention": True,
        "candidate_elimination": SOME_ELIMINATION,
    },
    "relative positions": {
        "backbone": "vit_tiny_rpe",
        "asymmetric_attention": True,
        "candidate_elimination": SOME_ELIMINATION,
    },
    "rotary positions": {"backbone": "timm/vit_tiny_patch16_dinov3_qkvb", "candidate_elimination": SOME_ELIMINATION},
    "rotary positions and asymmetric attention": {
        "backbone": "timm/vit_tiny_patch16_dinov3_qkvb",
        "asymmetric_attention": True,
        "candidate_elimination": SOME_ELIMINATION,
    },
}


@functools.cache
def make_variant(variant: str) -> TrackerModel:
    return make_tracker_model(template=32, search=64, head_channels=16, **VARIANTS[variant])


@functools.cache
def export_variant(variant: str, format_: ExportFormat, precision: Precision = "f32") -> dict[str, bytes]:
    return build_export_files(make_variant(variant), SIZES, format_, precision)


def export_onnx_variant(variant: str) -> dict[str, bytes]:
    return {name.removesuffix(".onnx"): content for name, content in export_variant(variant, "onnx").items()}


def load_variant_network(
    variant: str, format_: ExportFormat, precision: Precision = "f32", threads: int = 1
) -> ExportedNetwork:
    files, grid = export_variant(variant, format_, precision), make_variant(variant).backbone.search_grid
    return build_exported_network(files, RUNTIME_BY_FORMAT[format_], precision, threads, grid)


class MapsModule(torch.nn.Module):
    """The one graph of exports before there was a best cell: both crops to all maps."""

    def __init__(self, model: TrackerModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, template: torch.Tensor, search: torch.Tensor) -> tuple[torch.Tensor, ...]:
        crops = (self.model.normalize_images(each.permute(0, 3, 1, 2)) for each in (template, search))
        return tuple(self.model(*crops))


def write_earlier_export(folder: Path, exported: Path) -> Path:
    """Write the plain variant as earlier versions did, with the manifest of today's export without its new field."""
    crops = {
        name: torch.zeros(1, side, side, 3, dtype=torch.uint8) for name, side in (("template", 32), ("search", 64))
    }
    module = MapsModule(copy.deepcopy(make_variant("plain")))
    files = {"tracker.onnx": export_onnx(ExportGraph(module, crops, ("score", "size", "offset")))}
    manifest = json.loads((exported / MANIFEST_FILENAME).read_text()) | {"files": hash_files(files)}
    del manifest["outputs"]
    folder.mkdir()
    (folder / "tracker.onnx").write_bytes(files["tracker.onnx"])
    (folder / MANIFEST_FILENAME).write_text(json.dumps(manifest))
    return folder
