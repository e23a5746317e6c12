"""Training pairs from videos: which two frames, how they are cropped and changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from foundation.errors import DataError
from tracking.data.boxes import Floats
from tracking.data.crops import Image, cut, shows_image, to_crop, window
from tracking.data.pair import CropSizes, Jitter, Pair, brighter, flipped, grey, jittered
from tracking.data.readers.sequence import Flags, Video

LEAST_VISIBLE, LEAST_FRAMES = 5, 20
"""A video needs more than 4 visible frames and 20 frames altogether (OSTrack's sampler)."""

TRIES = 100


class Augmentation(NamedTuple):
    """Chances of grey and of mirroring (both frames alike), of mirroring each frame, and the reach of brightness."""

    grey: float = 0.05
    flip: float = 0.5
    frame_flip: float = 0.5
    brightness: float = 0.2


def usable(video: Video) -> bool:
    """Whether pairs can be drawn from a video; a still is used twice."""
    if len(video.frames) == 1:
        return bool(video.visible[0])
    return len(video.frames) >= LEAST_FRAMES and int(video.visible.sum()) >= LEAST_VISIBLE


def draw_frames(rng: np.random.Generator, visible: Flags, gap: int) -> tuple[int, int]:
    """Template and search frame, as OSTrack's "causal" sampling has them.

    The template is any visible frame but the last; the search frame any visible one of the ``gap`` - 1 after it, and
    the window grows by 5 until there is one. A still is both.
    """
    if len(visible) == 1:
        return 0, 0
    seen = np.flatnonzero(visible)
    template = int(seen[rng.integers(len(seen) - 1)])
    later = seen[seen > template]
    while not (near := later[later < template + gap]).size:
        gap += 5
    return template, int(near[rng.integers(near.size)])


class VideoPairs:
    """Makes pairs of the frames of videos.

    Args:
        videos: of one data set; those that are too short or hidden are passed over.
        sizes: of the crops.
        jitter: of the search region about the target; the template has none.
        gap: furthest distance of the two frames.
        augmentation: see there.
        skip_bad: pass over frames that cannot be read (and count them) instead of stopping.

    Raises:
        DataError: no video is usable.
    """

    def __init__(
        self,
        videos: Sequence[Video],
        sizes: CropSizes,
        jitter: Jitter,
        gap: int,
        augmentation: Augmentation,
        skip_bad: bool = False,
    ) -> None:
        self.videos = videos
        self.sizes, self.jitter, self.gap = sizes, jitter, gap
        self.augmentation, self.skip_bad = augmentation, skip_bad
        self.skipped = 0  # of the newest pair
        # stills are millions and filtered by their reader
        several = isinstance(videos, list)
        self.usable = (
            [number for number, video in enumerate(videos) if usable(video)] if several else range(len(videos))
        )
        if not self.usable:
            raise DataError(
                f"none of {len(videos)} training sequences has {LEAST_FRAMES} frames and {LEAST_VISIBLE} visible ones"
            )

    def make(self, rng: np.random.Generator) -> Pair:
        """One pair.

        Raises:
            DataError: a frame cannot be read (the sentence names it), or none can.
        """
        self.skipped = 0
        for _ in range(TRIES):
            video = self.videos[self.usable[int(rng.integers(len(self.usable)))]]
            first, second = draw_frames(rng, video.visible, self.gap)
            try:
                pair = self._crop(rng, video, first, second)
            except DataError:
                if not self.skip_bad:
                    raise
                self.skipped += 1
                continue
            if pair is not None:
                return self._change(rng, pair)
        raise DataError(f"{TRIES} draws in a row gave no training pair; check the data (bench check data ... --all)")

    def _crop(self, rng: np.random.Generator, video: Video, first: int, second: int) -> Pair | None:
        """The two crops, or ``None`` where the jitter left the image."""
        sizes = self.sizes
        frames = [video.read(number) for number in dict.fromkeys((first, second))]
        truth = video.boxes[second]
        around = jittered(rng, truth, self.jitter)
        here = window(video.boxes[first], sizes.template_factor)
        there = window(around, sizes.search_factor)
        if not shows_image(frames[0], here) or not shows_image(frames[-1], there):
            return None
        template = cut(frames[0], here, sizes.template_size, sizes.geometry)
        search = cut(frames[-1], there, sizes.search_size, sizes.geometry)
        return Pair(template, search, to_crop(truth, around, there, sizes.search_size, sizes.geometry))

    def _change(self, rng: np.random.Generator, pair: Pair) -> Pair:
        setting = self.augmentation
        template, search, box = pair
        if rng.random() < setting.grey:
            template, search = grey(template), grey(search)
        together = rng.random() < setting.flip
        template, _ = self._one(rng, template, np.zeros(4), together)
        return Pair(template, *self._one(rng, search, box, together))

    def _one(self, rng: np.random.Generator, image: Image, box: Floats, mirrored: bool) -> tuple[Image, Floats]:
        """Brightness and mirroring of one frame."""
        setting = self.augmentation
        if setting.brightness:
            image = brighter(image, rng.uniform(max(0.0, 1 - setting.brightness), 1 + setting.brightness))
        if mirrored != (rng.random() < setting.frame_flip):
            return flipped(image, box)
        return image, box
