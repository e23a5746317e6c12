"""Validate a correlation tracker on photographs that it was not trained on, to choose its settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from engine.data import photographs
from tracking.correlation.losses import compute_overlaps
from tracking.correlation.network import CROP_SIZES, CorrelationNetwork
from tracking.correlation.pairs import ShapedPairSampler
from tracking.correlation.training import JITTER, collate_pairs
from tracking.data.mini_lasot import CATEGORIES, render_sequence
from tracking.inference.tracker import Tracker
from tracking.scoring import LASOT_OFFICIAL, score_sequence
from tracking.scoring.metrics import compute_iou

VAL_PHOTOS = ("chelsea.png", "coins.png", "rocket.jpg")
"""Training photographs that are left out while settings are chosen: an animal, objects, an outdoor scene."""
VAL_SEQUENCES = (11, 12, 13)
"""Numbers of the sequences of each category that are made of them. ``mini_lasot`` has the numbers 1 to 4."""
NUM_VAL_PAIRS, VAL_PAIRS_SEED = 400, 20_001
PAIRS_AT_ONCE = 50


class SyntheticTrack(NamedTuple):
    """How a tracker followed one synthetic sequence.

    Attributes:
        category: the sequence's difficulty.
        auc: success AUC in percent.
        overlaps: IoU of each frame after the first; NaN where the target is absent, shape (frames - 1,).
        confidences: confidence of each frame after the first, shape (frames - 1,).
    """

    category: str
    auc: float
    overlaps: NDArray[np.float64]
    confidences: NDArray[np.float64]


def split_photos(is_held: bool) -> dict[str, tuple[str, ...]]:
    """Return the training photographs for validation, or the others.

    Args:
        is_held: whether those for validation are meant.
    """
    return {name: folder for name, folder in photographs.TRAIN_PHOTOS.items() if (name in VAL_PHOTOS) == is_held}


def compute_pair_overlap(network: CorrelationNetwork) -> float:
    """Return the mean IoU in percent over pairs made of the photographs for validation.

    Args:
        network: the network; it is in evaluation mode afterwards.
    """
    photos = photographs.load_photos(split_photos(is_held=True))
    sampler = ShapedPairSampler(photos, CROP_SIZES, JITTER, num_variants=0)
    network.eval()
    overlaps = []
    for first in range(0, NUM_VAL_PAIRS, PAIRS_AT_ONCE):
        rngs = [np.random.default_rng((VAL_PAIRS_SEED, first + number)) for number in range(PAIRS_AT_ONCE)]
        template, search, boxes, aspect_ratios = collate_pairs([sampler.sample_shaped_pair(rng) for rng in rngs])
        with torch.inference_mode():
            maps = network(network.normalize_images(template), network.normalize_images(search), aspect_ratios)
            overlaps.append(compute_overlaps(maps, boxes))
    return 100 * float(torch.cat(overlaps).mean())


def track_val_sequences(tracker: Tracker) -> Iterator[SyntheticTrack]:
    """Track the sequences made of the photographs for validation.

    Args:
        tracker: the tracker.
    """
    photos = photographs.load_photos(split_photos(is_held=True))
    for category in CATEGORIES:
        for number in VAL_SEQUENCES:
            frames = render_sequence(category, number, photos)
            truth = np.array([frame.box for frame in frames], np.float64)
            absent = np.array([frame.fully_occluded or frame.out_of_view for frame in frames])
            tracker.init(frames[0].image, truth[0])
            boxes, confidences = [truth[0]], []
            for frame in frames[1:]:
                boxes.append(tracker.update(frame.image))
                confidences.append(tracker.confidence)
            # as in result files
            found = np.array(boxes).round(3)
            score = score_sequence(found, truth, absent, LASOT_OFFICIAL, name=f"{category}-{number}")
            overlaps = np.where(absent, np.nan, compute_iou(found, truth))
            yield SyntheticTrack(category, score.metric_values()["AUC"], overlaps[1:], np.array(confidences))
