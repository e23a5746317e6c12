"""Training pairs from videos: which two frames are taken, how they are cropped and augmented."""

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
    flip_frame,
    flip_horizontal,
    jitter_box,
    to_frame_grayscale,
    to_grayscale,
)
from tracking.data.readers.sequence import Video

MIN_VISIBLE_FRAMES, MIN_FRAMES = 5, 20
"""A video needs at least 5 visible frames and 20 frames altogether (as in OSTrack's sampler)."""

MAX_PAIR_TRIES = 100


class PairAugmentation(NamedTuple):
    """Augmentation of video pairs.

    Attributes:
        grayscale: probability that both crops are converted to gray.
        flip: probability that both crops are mirrored.
        frame_flip: probability that a crop is mirrored, for each crop independently.
        brightness: the factor of the brightness is drawn from [1 - brightness, 1 + brightness] for each crop.
        on_frames: whether ``grayscale`` and ``flip`` change the whole frames before the crops are cut, as in OSTrack.
    """

    grayscale: float = 0.05
    flip: float = 0.5
    frame_flip: float = 0.5
    brightness: float = 0.2
    on_frames: bool = False


def is_usable_video(video: Video) -> bool:
    """Return whether pairs can be drawn from a video. A still image is used for both crops.

    Args:
        video: the video.
    """
    if len(video.frames) == 1:
        return bool(video.visible[0])
    return len(video.frames) >= MIN_FRAMES and int(video.visible.sum()) >= MIN_VISIBLE_FRAMES


def sample_frame_pair(rng: np.random.Generator, visible: BoolArray, max_gap: int) -> tuple[int, int]:
    """Draw a template frame and a later search frame, like OSTrack's "causal" sampling.

    The template is any visible frame except the last one. The search frame is any visible frame among the next
    ``max_gap`` - 1 frames. If there is none, the range grows by 5 frames until there is one. A still image is both.

    Args:
        rng: random generator.
        visible: whether the target is visible, for each frame, shape (frames,).
        max_gap: exclusive upper limit of the distance of the two frames, in frames.

    Returns:
        Indices of the template and the search frame.
    """
    if len(visible) == 1:
        return 0, 0
    seen = np.flatnonzero(visible)
    template = int(seen[rng.integers(len(seen) - 1)])
    later = seen[seen > template]
    # it ends, because the template is not the last visible frame
    while not (near := later[later < template + max_gap]).size:
        max_gap += 5
    return template, int(near[rng.integers(near.size)])


class VideoPairSampler:
    """Draws training pairs from the frames of videos.

    Args:
        videos: videos of one data set; those that are too short or hardly visible are left out.
        sizes: sizes of the crops.
        jitter: random displacement of the search region; the template is cut exactly around the target.
        max_gap: exclusive upper limit of the distance of the two frames, in frames.
        augmentation: augmentation of both crops.
        skip_unreadable: skip and count frames that cannot be read, instead of raising.

    Attributes:
        skipped: number of unreadable frames that were skipped for the newest pair.

    Raises:
        DataError: no video can be used.
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
        self.skipped = 0
        # a list holds videos; still images come as a lazy sequence of millions, which their reader has filtered already
        several = isinstance(videos, list)
        self.usable_indices = (
            [number for number, video in enumerate(videos) if is_usable_video(video)] if several else range(len(videos))
        )
        if not self.usable_indices:
            raise DataError(
                f"none of {len(videos)} training sequences has {MIN_FRAMES} frames, {MIN_VISIBLE_FRAMES} of them "
                "visible; add longer ones"
            )

    def sample_pair(self, rng: np.random.Generator) -> TrainingPair:
        """Draw one pair.

        Args:
            rng: random generator.

        Raises:
            DataError: a frame cannot be read and ``skip_unreadable`` is off, or too many draws gave no pair.
        """
        self.skipped = 0
        # draws can fail by chance (the jittered region shows no image); a limit, because unreadable data would fail
        # forever
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
        """Cut both crops, or return ``None`` if a region shows nothing of the image."""
        sizes = self.sizes
        # a still image, whose template and search frame are the same, is decoded once
        frames = [video.read_frame(number) for number in dict.fromkeys((template_frame, search_frame))]
        first, truth = video.boxes[template_frame], video.boxes[search_frame]
        if self.augmentation.on_frames:
            frames, (first, truth) = self._augment_frames(rng, [frames[0], frames[-1]], [first, truth])
        around = jitter_box(rng, truth, self.jitter)
        here = make_crop_window(first, sizes.template_factor)
        there = make_crop_window(around, sizes.search_factor)
        if not has_image_overlap(frames[0], here) or not has_image_overlap(frames[-1], there):
            return None
        template = crop_window(frames[0], here, sizes.template_size, sizes.geometry)
        search = crop_window(frames[-1], there, sizes.search_size, sizes.geometry)
        # the box of the target itself, in the crop that was cut around the jittered box
        return TrainingPair(
            template, search, image_to_crop_box(truth, around, there, sizes.search_size, sizes.geometry)
        )

    def _augment_frames(
        self, rng: np.random.Generator, frames: list[ImageArray], boxes: list[FloatArray]
    ) -> tuple[list[ImageArray], list[FloatArray]]:
        """Convert both frames to gray and mirror them with their boxes at random."""
        if rng.random() < self.augmentation.grayscale:
            frames = [to_frame_grayscale(frame) for frame in frames]
        if rng.random() < self.augmentation.flip:
            mirrored = [flip_frame(*each, self.sizes.geometry) for each in zip(frames, boxes, strict=True)]
            frames, boxes = [frame for frame, _ in mirrored], [box for _, box in mirrored]
        return frames, boxes

    def _augment_pair(self, rng: np.random.Generator, pair: TrainingPair) -> TrainingPair:
        """Convert both crops to gray and mirror them at random, then augment each on its own."""
        setting = self.augmentation
        template, search, box = pair
        together = False
        # else the frames were changed together already
        if not setting.on_frames:
            if rng.random() < setting.grayscale:
                template, search = to_grayscale(template), to_grayscale(search)
            together = rng.random() < setting.flip
        # the template has no box to predict, so a placeholder is passed
        template, _ = self._augment_frame(rng, template, np.zeros(4), together)
        return TrainingPair(template, *self._augment_frame(rng, search, box, together))

    def _augment_frame(
        self, rng: np.random.Generator, image: ImageArray, box: FloatArray, flip_pair: bool
    ) -> tuple[ImageArray, FloatArray]:
        """Change the brightness of one crop and mirror it at random.

        Args:
            rng: random generator.
            image: the crop, shape (side, side, 3).
            box: the target's box as fractions of the side, shape (4,).
            flip_pair: whether both crops of the pair are mirrored.
        """
        setting = self.augmentation
        if setting.brightness:
            image = adjust_brightness(image, rng.uniform(max(0.0, 1 - setting.brightness), 1 + setting.brightness))
        # mirrored by exactly one of the two draws: mirroring twice is no change
        if flip_pair != (rng.random() < setting.frame_flip):
            return flip_horizontal(image, box)
        return image, box
