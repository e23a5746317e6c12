"""How far an exported network is from PyTorch's: boxes and maps on real crops, cut by the tracker itself."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from foundation.errors import BenchError
from tracking.data.boxes import FloatArray
from tracking.data.mini_lasot import ensure_mini_lasot
from tracking.data.pair import CropSizes
from tracking.data.readers.lasot import read_test_videos
from tracking.data.readers.sequence import Video
from tracking.deployment.manifest import Parity, Precision
from tracking.inference.backend import NumpyHeadMaps, TrackerNetwork
from tracking.inference.tracker import Tracker
from tracking.scoring.metrics import compute_iou

PARITY_FRAMES = 9
MAX_BOX_DIFF_PX, MAX_MAP_DIFF, MAX_OFFSET_DIFF = 0.05, 1e-4, 1e-3
"""What f32 may differ: boxes in pixels, score and size, offsets. One bf16 product is beyond the last two."""
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
) -> Parity:
    """Track with both, and show both the reference's crops.

    Args:
        reference, candidate: of the same weights.
        sizes: of the crops.
        videos: what is tracked, each from its first frame.
        max_frames: of each sequence.
    """
    own, one, other, maps = [], [], [], []
    for video in videos:
        trackers = [Tracker(network, sizes) for network in (reference, candidate)]
        for tracker in trackers:
            tracker.init(video.read_frame(0), video.boxes[0])
        for number in range(1, min(max_frames, len(video.frames))):
            frame = video.read_frame(number)
            own.append(trackers[1].update(frame))
            crop = trackers[0].crop_search_region(frame)
            twin = copy.copy(trackers[0])
            theirs = candidate.predict_maps([trackers[1].encoded_template], [crop])[0]
            ours = reference.predict_maps([trackers[0].encoded_template], [crop])[0]
            one.append(trackers[0].decode_box(ours))
            other.append(twin.decode_box(theirs))
            maps.append(_max_map_differences(ours, theirs))
    ours_, theirs_ = np.array(one), np.array(other)
    score, size, offset = (float(value) for value in np.max(maps, 0))
    return Parity(
        sequences=len(videos),
        frames=len(one) + len(videos),
        box_px=_max_box_difference(ours_, np.array(own)),
        same_crop_box_px=_max_box_difference(ours_, theirs_),
        same_crop_iou=float(compute_iou(ours_, theirs_).mean()),
        score=score,
        size=size,
        offset=offset,
    )


def require_parity(parity: Parity, precision: Precision, export_name: str) -> None:
    """Pass a network that is PyTorch's, as far as its precision goes.

    Raises:
        BenchError: it is not.
    """
    values = (parity.box_px, parity.same_crop_iou, parity.score, parity.size, parity.offset)
    if not np.isfinite(values).all():
        raise BenchError(f"{export_name} gives numbers that are not finite; nothing was written")
    exact = (
        parity.box_px <= MAX_BOX_DIFF_PX
        and max(parity.score, parity.size) <= MAX_MAP_DIFF
        and parity.offset <= MAX_OFFSET_DIFF
    )
    if precision == "f32" and not exact:
        raise BenchError(
            f"{export_name} is not PyTorch's network: boxes differ by up to {parity.box_px:.3g} px ({MAX_BOX_DIFF_PX} "
            f"allowed), score {parity.score:.1e}, size {parity.size:.1e} ({MAX_MAP_DIFF} allowed), offset "
            f"{parity.offset:.1e} ({MAX_OFFSET_DIFF} allowed); nothing was written"
        )
    if parity.same_crop_iou < MIN_MEAN_IOU:
        raise BenchError(
            f"{export_name} has lost the tracker: on the same crops its boxes have a mean IoU of "
            f"{parity.same_crop_iou:.2f} with PyTorch's, below {MIN_MEAN_IOU}; nothing was written, take another "
            "--precision"
        )


def _max_map_differences(one: NumpyHeadMaps, other: NumpyHeadMaps) -> list[float]:
    return [float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True)]


def _max_box_difference(one: FloatArray, other: FloatArray) -> float:
    return float(np.abs(one - other).max())
