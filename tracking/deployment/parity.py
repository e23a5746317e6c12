"""How far an exported tracker is from PyTorch's: boxes and maps on real crops, cut by the tracker itself."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from deployment.formats import Precision
from deployment.parity import OutputTolerance, PrecisionTolerances, compare_outputs, require_output_parity
from foundation.errors import BenchError
from tracking.data.boxes import FloatArray
from tracking.data.mini_lasot import ensure_mini_lasot
from tracking.data.pair import CropSizes
from tracking.data.readers.lasot import read_test_videos
from tracking.data.readers.sequence import Video
from tracking.deployment.manifest import TrackerParity
from tracking.inference.backend import TrackerNetwork
from tracking.inference.tracker import Tracker
from tracking.scoring.metrics import compute_iou

PARITY_FRAMES = 9
TRACKER_TOLERANCES: PrecisionTolerances = {
    "f32": {
        "boxes": OutputTolerance(0.05, " px"),
        "scores": OutputTolerance(1e-4),
        "sizes": OutputTolerance(1e-4),
        "offsets": OutputTolerance(1e-3, " cells"),
    }
}
"""What f32 may differ by. A single product in bf16 is beyond the tolerances of the maps."""
MIN_MEAN_IOU = 0.5
"""bf16 and int8 differ as they do, and that is reported; below this mean IoU it is another tracker."""


def load_parity_videos() -> list[Video]:
    """One embedded sequence of each difficulty; none of their photographs is trained or calibrated on."""
    return read_test_videos(ensure_mini_lasot())[::2]


def measure_parity(
    reference: TrackerNetwork,
    candidate: TrackerNetwork,
    sizes: CropSizes,
    videos: Sequence[Video],
    max_frames: int = PARITY_FRAMES,
) -> TrackerParity:
    """Track with both, and show both the reference's crops.

    Args:
        reference, candidate: of the same weights.
        sizes: of the crops.
        videos: what is tracked, each from its first frame.
        max_frames: of each sequence.
    """
    # free: boxes of the candidate going its own way; same: boxes of both from the reference's crops
    reference_boxes: list[FloatArray] = []
    free_boxes: list[FloatArray] = []
    same_crop_boxes: list[FloatArray] = []
    map_differences: list[dict[str, float]] = []
    for video in videos:
        trackers = [Tracker(network, sizes) for network in (reference, candidate)]
        for tracker in trackers:
            tracker.init(video.read_frame(0), video.boxes[0])
        for number in range(1, min(max_frames, len(video.frames))):
            frame = video.read_frame(number)
            free_boxes.append(trackers[1].update(frame))
            crop = trackers[0].crop_search_region(frame)
            twin = copy.copy(trackers[0])  # decodes the candidate's maps from the state that the reference is in
            theirs = candidate.predict_maps([trackers[1].encoded_template], [crop])[0]
            ours = reference.predict_maps([trackers[0].encoded_template], [crop])[0]
            reference_boxes.append(trackers[0].decode_box(ours))
            same_crop_boxes.append(twin.decode_box(theirs))
            map_differences.append(compare_outputs(ours._asdict(), theirs._asdict()))
    ours_, same, free = np.array(reference_boxes), np.array(same_crop_boxes), np.array(free_boxes)
    return TrackerParity(
        sequences=len(videos),
        frames=len(reference_boxes) + len(videos),
        box_px=_max_box_difference(ours_, free),
        same_crop_box_px=_max_box_difference(ours_, same),
        same_crop_iou=float(compute_iou(ours_, same).mean()),
        score=max(each["score"] for each in map_differences),
        size=max(each["size"] for each in map_differences),
        offset=max(each["offset"] for each in map_differences),
    )


def require_parity(parity: TrackerParity, precision: Precision, export_name: str) -> None:
    """Pass a network that is PyTorch's, as far as its precision goes.

    Raises:
        BenchError: it is not.
    """
    differences = {
        "boxes": parity.box_px,
        "scores": parity.score,
        "sizes": parity.size,
        "offsets": parity.offset,
        "overlaps with PyTorch's boxes": 1 - parity.same_crop_iou,
    }
    require_output_parity(differences, TRACKER_TOLERANCES, precision, export_name)
    if parity.same_crop_iou < MIN_MEAN_IOU:
        raise BenchError(
            f"{export_name} has lost the tracker: on the same crops its boxes have a mean IoU of "
            f"{parity.same_crop_iou:.2f} with PyTorch's, below {MIN_MEAN_IOU}; nothing was written, take another "
            "--precision"
        )


def _max_box_difference(one: FloatArray, other: FloatArray) -> float:
    return float(np.abs(one - other).max())
