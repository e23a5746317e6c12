"""How far an exported network is from PyTorch's: boxes and maps on real crops, cut by the tracker itself."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from foundation.errors import BenchError
from tracking.data.boxes import Floats
from tracking.data.mini_lasot import mini_lasot
from tracking.data.pair import CropSizes
from tracking.data.readers.lasot import test_videos
from tracking.data.readers.sequence import Video
from tracking.deployment.manifest import Parity, Precision
from tracking.inference.backend import Maps, Network
from tracking.inference.tracker import Tracker
from tracking.scoring.metrics import iou

FRAMES = 9
BOX_PX, SHARE, CELLS = 0.05, 1e-4, 1e-3
"""What f32 may differ: boxes in pixels, score and size, offsets. One bf16 product is beyond the last two."""
LEAST_IOU = 0.5
"""bf16 and int8 differ as they do, and that is reported; below this mean IoU it is another tracker."""


def parity_videos() -> list[Video]:
    """One embedded sequence of each difficulty; none of their photographs is trained or calibrated on."""
    return test_videos(mini_lasot())[::2]


def compare(
    reference: Network, candidate: Network, sizes: CropSizes, videos: Sequence[Video], frames: int = FRAMES
) -> Parity:
    """Track with both, and show both the reference's crops.

    Args:
        reference, candidate: of the same weights.
        sizes: of the crops.
        videos: what is tracked, each from its first frame.
        frames: of each sequence.
    """
    own, one, other, maps = [], [], [], []
    for video in videos:
        trackers = [Tracker(network, sizes) for network in (reference, candidate)]
        for tracker in trackers:
            tracker.init(video.read(0), video.boxes[0])
        for number in range(1, min(frames, len(video.frames))):
            frame = video.read(number)
            own.append(trackers[1].update(frame))
            crop = trackers[0].search(frame)
            twin = copy.copy(trackers[0])
            theirs = candidate.look([trackers[1].memory], [crop])[0]
            ours = reference.look([trackers[0].memory], [crop])[0]
            one.append(trackers[0].settle(ours))
            other.append(twin.settle(theirs))
            maps.append(_distance(ours, theirs))
    ours_, theirs_ = np.array(one), np.array(other)
    score, size, offset = (float(value) for value in np.max(maps, 0))
    return Parity(
        sequences=len(videos),
        frames=len(one) + len(videos),
        box_px=_furthest(ours_, np.array(own)),
        same_crop_box_px=_furthest(ours_, theirs_),
        same_crop_iou=float(iou(ours_, theirs_).mean()),
        score=score,
        size=size,
        offset=offset,
    )


def require_parity(parity: Parity, precision: Precision, what: str) -> None:
    """Pass a network that is PyTorch's, as far as its precision goes.

    Raises:
        BenchError: it is not.
    """
    values = (parity.box_px, parity.same_crop_iou, parity.score, parity.size, parity.offset)
    if not np.isfinite(values).all():
        raise BenchError(f"{what} gives numbers that are not finite; nothing was written")
    exact = parity.box_px <= BOX_PX and max(parity.score, parity.size) <= SHARE and parity.offset <= CELLS
    if precision == "f32" and not exact:
        raise BenchError(
            f"{what} is not PyTorch's network: boxes differ by up to {parity.box_px:.3g} px ({BOX_PX} allowed), score "
            f"{parity.score:.1e}, size {parity.size:.1e} ({SHARE} allowed), offset {parity.offset:.1e} ({CELLS} "
            "allowed); nothing was written"
        )
    if parity.same_crop_iou < LEAST_IOU:
        raise BenchError(
            f"{what} has lost the tracker: on the same crops its boxes have a mean IoU of {parity.same_crop_iou:.2f} "
            f"with PyTorch's, below {LEAST_IOU}; nothing was written, take another --precision"
        )


def _distance(one: Maps, other: Maps) -> list[float]:
    return [float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True)]


def _furthest(one: Floats, other: Floats) -> float:
    return float(np.abs(one - other).max())
