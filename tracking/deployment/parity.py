"""Measure how far an exported tracker is from PyTorch's: boxes and maps on real crops, cut by the tracker itself."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from deployment.parity import OutputTolerance, PrecisionTolerances, compare_outputs, require_output_parity
from engine.evaluation.model_source import Precision
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
# only f32: see PrecisionTolerances for the other precisions
TRACKER_TOLERANCES: PrecisionTolerances = {
    "f32": {
        "boxes": OutputTolerance(0.05, " px"),
        "scores": OutputTolerance(1e-4),
        "sizes": OutputTolerance(1e-4),
        "offsets": OutputTolerance(1e-3, " cells"),
    }
}
"""The largest differences that f32 may have. Rounding a single product to bf16 exceeds the tolerances of the maps."""
_OUTPUTS = ("score", "size", "offset")
MIN_MEAN_IOU = 0.5
"""The differences of bf16 and int8 are only reported, but below this mean IoU the export is a different tracker."""


def load_parity_videos() -> list[Video]:
    """Load one embedded test sequence of each category."""
    # there are two per category; their photographs are used neither for training nor for calibration
    return read_test_videos(ensure_mini_lasot())[::2]


def measure_parity(
    reference: TrackerNetwork,
    candidate: TrackerNetwork,
    sizes: CropSizes,
    videos: Sequence[Video],
    max_frames: int = PARITY_FRAMES,
) -> TrackerParity:
    """Track with both networks, and also give both the crops of the reference.

    Args:
        reference: the network in PyTorch.
        candidate: the exported network with the same weights.
        sizes: sizes of the crops.
        videos: the sequences to track.
        max_frames: largest number of frames per sequence.
    """
    # free: the candidate's own tracking, where small differences can add up; same crop: one step from the same state
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
            # decodes the candidate's maps with the state of the reference, which decode_box changes
            twin = copy.copy(trackers[0])
            theirs = candidate.predict_maps([trackers[1].encoded_template], [crop])[0]
            ours = reference.predict_maps([trackers[0].encoded_template], [crop])[0]
            reference_boxes.append(trackers[0].decode_box(ours))
            same_crop_boxes.append(twin.decode_box(theirs))
            best = [maps.choose_cell(trackers[0].hann_window) for maps in (ours, theirs)]
            map_differences.append(
                compare_outputs(*({name: getattr(each, name) for name in _OUTPUTS} for each in best))
            )
    ours_, same, free = np.array(reference_boxes), np.array(same_crop_boxes), np.array(free_boxes)
    return TrackerParity(
        # the first frame of each sequence is encoded as the template and has no maps to compare
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
    """Check that an exported network is PyTorch's, as far as its precision allows.

    Args:
        parity: the measured differences.
        precision: precision of the export.
        export_name: what is exported, for the message.

    Raises:
        BenchError: it is not.
    """
    differences = {
        "boxes": parity.box_px,
        "scores": parity.score,
        "sizes": parity.size,
        "offsets": parity.offset,
        # has no tolerance: it is listed only so that NaN is noticed
        "overlaps with PyTorch's boxes": 1 - parity.same_crop_iou,
    }
    require_output_parity(differences, TRACKER_TOLERANCES, precision, export_name)
    if parity.same_crop_iou < MIN_MEAN_IOU:
        raise BenchError(
            f"{export_name} no longer tracks: on the same crops its boxes have a mean IoU of "
            f"{parity.same_crop_iou:.2f} with PyTorch's, below {MIN_MEAN_IOU}; nothing was written, choose another "
            "--precision"
        )


def _max_box_difference(one: FloatArray, other: FloatArray) -> float:
    return float(np.abs(one - other).max())
