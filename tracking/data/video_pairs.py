"""Training pairs from videos: which two frames, how they are cropped and changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from foundation.errors import DataError
from tracking.data.boxes import BoolArray, FloatArray
from tracking.data.crops import ImageArray, crop_window, has_image_overlap, image_to_crop_box, make_crop_window
from tracking.data.pair import (
    CropSizes,
    SearchJitter,
    TrainingPair,
    adjust_brightness,
    flip_horizontal,
    jitter_box,
    to_grayscale,
)
from tracking.data.readers.sequence import Video

MIN_VISIBLE_FRAMES, MIN_FRAMES = 5, 20
"""A video needs more than 4 visible frames and 20 frames altogether (OSTrack's sampler)."""

MAX_PAIR_TRIES = 100


class PairAugmentation(NamedTuple):
    """Chances of grey and of mirroring (both frames alike), of mirroring each frame, and the reach of brightness."""

    grayscale: float = 0.05
    flip: float = 0.5
    frame_flip: float = 0.5
    brightness: float = 0.2


def is_usable_video(video: Video) -> bool:
    """Whether pairs can be drawn from a video; a still is used twice."""
    if len(video.frames) == 1:
        return bool(video.visible[0])
    return len(video.frames) >= MIN_FRAMES and int(video.visible.sum()) >= MIN_VISIBLE_FRAMES


def sample_frame_pair(rng: np.random.Generator, visible: BoolArray, max_gap: int) -> tuple[int, int]:
    """Template and search frame, as OSTrack's "causal" sampling has them.

    The template is any visible frame but the last; the search frame any visible one of the ``max_gap`` - 1 after it,
    and the window grows by 5 until there is one. A still is both.
    """
    if len(visible) == 1:
        return 0, 0
    seen = np.flatnonzero(visible)
    template = int(seen[rng.integers(len(seen) - 1)])
    later = seen[seen > template]
    while not (near := later[later < template + max_gap]).size:
        max_gap += 5
    return template, int(near[rng.integers(near.size)])


class VideoPairSampler:
    """Makes pairs of the frames of videos.

    Args:
        videos: of one data set; those that are too short or hidden are passed over.
        sizes: of the crops.
        jitter: of the search region about the target; the template has none.
        max_gap: furthest distance of the two frames.
        augmentation: see there.
        skip_unreadable: pass over frames that cannot be read (and count them) instead of stopping.

    Raises:
        DataError: no video is usable.
    """

    def __init__(
        self,
        videos: Sequence[Video],
        sizes: CropSizes,
        jitter: SearchJitter,
        max_gap: int,
        augmentation: PairAugmentation,
        skip_unreadable: bool = False,
    ) -> None:
        self.videos = videos
        self.sizes, self.jitter, self.max_gap = sizes, jitter, max_gap
        self.augmentation, self.skip_unreadable = augmentation, skip_unreadable
        self.skipped = 0  # of the newest pair
        # stills are millions and filtered by their reader
        several = isinstance(videos, list)
        self.usable_indices = (
            [number for number, video in enumerate(videos) if is_usable_video(video)] if several else range(len(videos))
        )
        if not self.usable_indices:
            raise DataError(
                f"none of {len(videos)} training sequences has {MIN_FRAMES} frames and "
                f"{MIN_VISIBLE_FRAMES} visible ones"
            )

    def sample_pair(self, rng: np.random.Generator) -> TrainingPair:
        """One pair.

        Raises:
            DataError: a frame cannot be read (the sentence names it), or none can.
        """
        self.skipped = 0
        for _ in range(MAX_PAIR_TRIES):
            video = self.videos[self.usable_indices[int(rng.integers(len(self.usable_indices)))]]
            first, second = sample_frame_pair(rng, video.visible, self.max_gap)
            try:
                pair = self._crop_pair(rng, video, first, second)
            except DataError:
                if not self.skip_unreadable:
                    raise
                self.skipped += 1
                continue
            if pair is not None:
                return self._augment_pair(rng, pair)
        raise DataError(
            f"{MAX_PAIR_TRIES} draws in a row gave no training pair; check the data (bench check data ... --all)"
        )

    def _crop_pair(
        self, rng: np.random.Generator, video: Video, template_frame: int, search_frame: int
    ) -> TrainingPair | None:
        """The two crops, or ``None`` where the jitter left the image."""
        sizes = self.sizes
        frames = [video.read_frame(number) for number in dict.fromkeys((template_frame, search_frame))]
        truth = video.boxes[search_frame]
        around = jitter_box(rng, truth, self.jitter)
        here = make_crop_window(video.boxes[template_frame], sizes.template_factor)
        there = make_crop_window(around, sizes.search_factor)
        if not has_image_overlap(frames[0], here) or not has_image_overlap(frames[-1], there):
            return None
        template = crop_window(frames[0], here, sizes.template_size, sizes.geometry)
        search = crop_window(frames[-1], there, sizes.search_size, sizes.geometry)
        return TrainingPair(
            template, search, image_to_crop_box(truth, around, there, sizes.search_size, sizes.geometry)
        )

    def _augment_pair(self, rng: np.random.Generator, pair: TrainingPair) -> TrainingPair:
        setting = self.augmentation
        template, search, box = pair
        if rng.random() < setting.grayscale:
            template, search = to_grayscale(template), to_grayscale(search)
        together = rng.random() < setting.flip
        template, _ = self._augment_frame(rng, template, np.zeros(4), together)
        return TrainingPair(template, *self._augment_frame(rng, search, box, together))

    def _augment_frame(
        self, rng: np.random.Generator, image: ImageArray, box: FloatArray, flip_pair: bool
    ) -> tuple[ImageArray, FloatArray]:
        """Brightness and mirroring of one frame."""
        setting = self.augmentation
        if setting.brightness:
            image = adjust_brightness(image, rng.uniform(max(0.0, 1 - setting.brightness), 1 + setting.brightness))
        if flip_pair != (rng.random() < setting.frame_flip):
            return flip_horizontal(image, box)
        return image, box
