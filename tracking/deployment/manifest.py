"""What stands beside an exported model: what it is, of which run, its files' hashes, and how far it is from PyTorch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError, model_validator

from engine.recipe import StrictConfig
from foundation.errors import UserError
from results.records.record import format_validation_errors
from tracking.data.crops import CropGeometry
from tracking.data.pair import CropSizes
from tracking.deployment.graph_names import JOINT_GRAPH, SEARCH_GRAPH, TEMPLATE_GRAPH

ExportFormat = Literal["onnx", "openvino"]
Runtime = Literal["torch", "onnxruntime", "openvino"]
Precision = Literal["f32", "bf16", "int8"]

RUNTIME_BY_FORMAT: dict[ExportFormat, Runtime] = {"onnx": "onnxruntime", "openvino": "openvino"}
FORMAT_BY_RUNTIME: dict[Runtime, ExportFormat] = {runtime: format_ for format_, runtime in RUNTIME_BY_FORMAT.items()}
SUFFIXES_BY_FORMAT: dict[ExportFormat, tuple[str, ...]] = {"onnx": (".onnx",), "openvino": (".xml", ".bin")}
MANIFEST_FILENAME = "manifest.json"
_VERSION_1_NAMES = {"own_template": "asymmetric_attention", "elimination": "candidate_elimination"}
_VERSION_1_CALIBRATION_NAMES = {"kept": "float_parts"}


class Parity(StrictConfig):
    """How far the exported network is from PyTorch's, on frames of the embedded sequences.

    Attributes:
        sequences, frames: how many of each; every frame once.
        box_px: largest difference of a coordinate, both trackers going their own way from the first frame.
        same_crop_box_px, same_crop_iou: largest difference, and mean IoU, of boxes by both networks from one crop.
        score, size, offset: largest differences of the maps from one crop.
    """

    sequences: int
    frames: int
    box_px: float
    same_crop_box_px: float
    same_crop_iou: float
    score: float
    size: float
    offset: float


class Calibration(StrictConfig):
    """Where the ranges of int8 come from; ``float_parts``: what stays in f32."""

    source: str
    fingerprint: str
    pairs: int
    seed: int
    method: str
    float_parts: str


class ManifestCropSizes(StrictConfig):
    """``CropSizes``, as text."""

    template_size: int
    search_size: int
    template_factor: float
    search_factor: float
    geometry: CropGeometry

    def to_crop_sizes(self) -> CropSizes:
        """As the tracker takes them."""
        return CropSizes(**self.model_dump())


class ExportOrigin(StrictConfig):
    """Whose weights they are; ``licence`` is what the weights the run started from demand, as far as known."""

    run_id: str | None
    backbone: str
    task: str
    protocol: str
    checkpoint_sha256: str
    licence: str


class ExportManifest(StrictConfig):
    """See the module. ``precision`` is what computes; the runtime takes it or loading fails.

    Version 1 had three fields under other names; it is read on.
    """

    schema_version: Literal[2] = 2
    format: ExportFormat
    runtime: Runtime
    precision: Precision
    origin: ExportOrigin
    sizes: ManifestCropSizes
    grid: int
    asymmetric_attention: bool
    candidate_elimination: bool
    files: dict[str, str]
    versions: dict[str, str]
    calibration: Calibration | None
    parity: Parity
    created: str

    @model_validator(mode="before")
    @classmethod
    def _upgrade_version_1(cls, content: Any) -> Any:
        if not isinstance(content, Mapping) or content.get("schema_version") != 1:
            return content
        upgraded = {_VERSION_1_NAMES.get(key, key): value for key, value in content.items()} | {"schema_version": 2}
        if isinstance(calibration := upgraded.get("calibration"), Mapping):
            upgraded["calibration"] = {
                _VERSION_1_CALIBRATION_NAMES.get(key, key): value for key, value in calibration.items()
            }
        return upgraded

    @model_validator(mode="after")
    def _check_consistency(self) -> ExportManifest:
        graphs = (TEMPLATE_GRAPH, SEARCH_GRAPH) if self.asymmetric_attention else (JOINT_GRAPH,)
        if self.runtime != RUNTIME_BY_FORMAT[self.format]:
            raise ValueError(f"the format {self.format} is not for {self.runtime}")
        if set(self.files) != {f"{graph}{suffix}" for graph in graphs for suffix in SUFFIXES_BY_FORMAT[self.format]}:
            raise ValueError(f"the files are not those of {' and '.join(graphs)} in the format {self.format}")
        return self


def read_export(folder: Path) -> tuple[ExportManifest, dict[str, bytes]]:
    """The manifest of an exported model, and its files' content, which is what the manifest's hashes say.

    Raises:
        UserError: no export, a manifest that does not hold, or a file that is missing or was changed.
    """
    path = folder / MANIFEST_FILENAME
    if not path.is_file():
        raise UserError(f"{folder} holds no exported model (no {MANIFEST_FILENAME}); make one with bench export RUN")
    try:
        manifest = ExportManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UserError(
            f"{path} does not hold as a manifest: {format_validation_errors(error)}; export the run again"
        ) from error
    contents = {}
    for name, expected in manifest.files.items():
        try:
            contents[name] = (folder / name).read_bytes()
        except OSError as error:
            raise UserError(f"{folder / name} cannot be read ({error.strerror}); export the run again") from error
        if hashlib.sha256(contents[name]).hexdigest() != expected:
            raise UserError(f"{folder / name} is not the file that was exported (its SHA-256 differs); export again")
    return manifest, contents
