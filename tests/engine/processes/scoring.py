"""Test items that several processes score. Each of them calls ``find_all``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from classification.digits_task import DIGITS
from classification.probes.feature_cache import use_feature_folder
from engine.data.digits import DigitsDataset
from engine.device import get_dist_info
from engine.training import evaluate_test_split, train_model
from foundation.errors import DataError
from foundation.files import sha256_file
from segmentation.data.labels import LabelSpace
from segmentation.evaluation import ImagePrediction, SegmentationMetric
from tests.classification.probes.frozen_features import make_request
from tests.tracking.slow import SlowTrackerFactory, truncate_video
from tests.wrong_numbers.small_training import FewImages, make_job
from tracking.data.readers import lasot
from tracking.inference import test_set

NUM_ITEMS = 7
"""Neither two nor three processes divide it."""


class PlainImages(FewImages):
    """Random images without an augmentation."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(index))
        return {"images": image, "labels": index % 2, "item": index}


def score_images(out: Path, items: int) -> list[tuple[Any, ...]]:
    """Classify test images with weights of one epoch; the rows of the first process are those of all."""
    job = make_job(out / f"score{items}", val_dataset=None, recipe_epochs=1, recipe_batch_size=12)
    job = replace(job, test_dataset=PlainImages(items))
    return [tuple(row) for row in evaluate_test_split(job, train_model(job).weights_path).metric.rows]


def score_segmentations() -> dict[str, Any]:
    """Score made-up label maps, of which this process has every n-th."""
    rank, processes = get_dist_info()
    labels = LabelSpace(4, 0, ())
    metric = SegmentationMetric([f"image{item}" for item in range(NUM_ITEMS)], labels)
    for item in range(rank, NUM_ITEMS, processes):
        draw = torch.Generator().manual_seed(item)
        truth, noise = (torch.randint(0, 4, (9, 8), generator=draw, dtype=torch.uint8) for _ in range(2))
        found = torch.where(torch.rand(9, 8, generator=draw) < 0.5, truth, noise)
        metric.process(None, [ImagePrediction(item, found, truth)])
    return {"values": metric.evaluate(NUM_ITEMS), "rows": [tuple(row) for row in metric.image_scores]}


def track_sequences(out: Path) -> list[str]:
    """Track five sequences with a tracker that never moves; return the names of those that this process tracked."""
    videos = [truncate_video(video, 4) for video in lasot.read_test_videos(out / "lasot")]
    names: list[str] = []

    def note_names(tracker: Any, left: Any, *args: Any) -> None:
        names.extend(video.name for video in left)
        track(tracker, left, *args)

    track = test_set.track_sequences
    with mock.patch.object(test_set, "track_sequences", note_names):
        test_set.track_test_set(SlowTrackerFactory(out, 0.0), videos, out / "tracked", "test")
    return names


def score_frozen(out: Path, broken_item: int = -1) -> dict[str, Any]:
    """k-NN on features of digits that the processes share; an item may be broken."""
    fetch = DigitsDataset.__getitem__

    def refuse_item(dataset: DigitsDataset, index: int) -> dict[str, Any]:
        if len(dataset) == 359 and index == broken_item:  # of the test split
            raise DataError(f"test image {index} is broken")
        return fetch(dataset, index)

    asked = make_request("knn", checkpoint="random", overrides=("batch_size=100",))
    folder = out / "features" / str(broken_item)
    with use_feature_folder(folder), mock.patch.object(DigitsDataset, "__getitem__", refuse_item):
        try:
            rows = DIGITS.run(asked, DIGITS.plan(asked, DIGITS.check_data(out)), out).item_rows
        except DataError as error:
            return {"error": str(error)}
    return {"rows": [tuple(row) for row in rows], "files": {sha256_file(path) for path in folder.glob("*.npy")}}


def find_all(out: Path) -> dict[str, Any]:
    """Everything that this process scores."""
    return {
        "images": {items: score_images(out, items) for items in (1, NUM_ITEMS)},
        "segmentations": score_segmentations(),
        "tracked": track_sequences(out),
        "frozen": score_frozen(out),
        # of batches of 100 the second one, which is the second process's
        "broken": score_frozen(out, broken_item=150),
    }
