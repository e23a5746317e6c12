"""What stands beside an exported tracker: its crops, its network's form, and how far its boxes are from PyTorch's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deployment.export_folder import read_export
from deployment.manifest import ExportManifest
from engine.recipe import StrictConfig
from tracking.data.crops import CropGeometry
from tracking.data.pair import CropSizes
from tracking.deployment.graph_names import JOINT_GRAPH, SEARCH_GRAPH, TEMPLATE_GRAPH

_VERSION_1_FIELDS = {"own_template": "asymmetric_attention", "elimination": "use_ce"}


class TrackerParity(StrictConfig):
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


class TrackerManifest(ExportManifest):
    """The manifest of an exported tracker.

    Attributes:
        sizes: of the crops.
        grid: cells of a side of the maps.
        asymmetric_attention: the template is computed once, in a graph of its own.
        use_ce: search tokens are dropped by candidate elimination.
        parity: how far the export is from PyTorch's network.
    """

    sizes: ManifestCropSizes
    grid: int
    asymmetric_attention: bool
    use_ce: bool
    parity: TrackerParity

    def list_graph_names(self) -> tuple[str, ...]:
        """One graph of template and search region, or two where the template is computed once."""
        return (TEMPLATE_GRAPH, SEARCH_GRAPH) if self.asymmetric_attention else (JOINT_GRAPH,)

    @classmethod
    def upgrade_version_1(cls, content: dict[str, Any]) -> dict[str, Any]:
        """Also the tracker's own fields under the names of today."""
        renamed = {_VERSION_1_FIELDS.get(key, key): value for key, value in content.items()}
        return super().upgrade_version_1(renamed)


def read_tracker_export(folder: Path) -> tuple[TrackerManifest, dict[str, bytes]]:
    """The manifest and the files of an exported tracker; errors as ``deployment.export_folder.read_export``."""
    return read_export(folder, TrackerManifest)
