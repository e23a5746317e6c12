"""The manifest of an exported tracker: its crops, the form of its network, and how far its boxes are from PyTorch's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from deployment.export_folder import read_export
from deployment.manifest import ExportManifest
from engine.recipe import StrictConfig
from tracking.data.crops import CropGeometry
from tracking.data.pair import CropSizes
from tracking.deployment.graph_names import JOINT_GRAPH, SEARCH_GRAPH, TEMPLATE_GRAPH

# name in version 1: name today
_VERSION_1_FIELDS = {"own_template": "asymmetric_attention", "elimination": "use_ce"}


class TrackerParity(StrictConfig):
    """How far the exported network is from PyTorch's, on frames of the embedded sequences.

    Attributes:
        sequences, frames: number of sequences and frames.
        box_px: largest difference of a coordinate in pixels, with both trackers following their own boxes.
        same_crop_box_px: largest difference of a coordinate in pixels, with the same crop for both networks.
        same_crop_iou: mean IoU of the boxes, with the same crop for both networks.
        score: largest difference of a score of any cell, with the same crop for both networks.
        size, offset: the same of size and offset, at the best cell of either (in exports of the maps, at any cell).
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
    """The fields of ``CropSizes``, as they are stored in the manifest."""

    # a model and not the named tuple, so that a manifest with a missing or unknown field is refused
    template_size: int
    search_size: int
    template_factor: float
    search_factor: float
    geometry: CropGeometry

    def to_crop_sizes(self) -> CropSizes:
        """Return the sizes in the form that the tracker takes."""
        return CropSizes(**self.model_dump())


class TrackerManifest(ExportManifest):
    """The manifest of an exported tracker.

    Attributes:
        sizes: sizes of the crops.
        grid: number of cells per side of the maps.
        outputs: what the graphs give: scores and the ``best cell`` with its size and offset; or all ``maps``, as in
            exports that were made before there was a choice.
        asymmetric_attention: whether the template attends only to itself, and is encoded once.
        use_ce: whether search tokens are dropped by candidate elimination.
        parity: how far the export is from PyTorch's network.
    """

    sizes: ManifestCropSizes
    grid: int
    outputs: Literal["maps", "best cell"] = "maps"
    asymmetric_attention: bool
    use_ce: bool
    parity: TrackerParity

    def list_graph_names(self) -> tuple[str, ...]:
        """Return one graph for each crop, or in older exports one for both unless the template is encoded once."""
        if self.asymmetric_attention or self.outputs == "best cell":
            return TEMPLATE_GRAPH, SEARCH_GRAPH
        return (JOINT_GRAPH,)

    @classmethod
    def upgrade_version_1(cls, content: dict[str, Any]) -> dict[str, Any]:
        """Return the content of a version 1 manifest with the present names, the tracker's own fields included.

        Args:
            content: the content of the manifest, as plain data.
        """
        renamed = {_VERSION_1_FIELDS.get(key, key): value for key, value in content.items()}
        # the base class renames the common fields and sets the version
        return super().upgrade_version_1(renamed)


def read_tracker_export(folder: Path) -> tuple[TrackerManifest, dict[str, bytes]]:
    """Read the manifest and the files of an exported tracker.

    Args:
        folder: folder of the export.

    Raises:
        UserError: see ``deployment.export_folder.read_export``.
    """
    return read_export(folder, TrackerManifest)
