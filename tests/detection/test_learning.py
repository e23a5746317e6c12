"""A detector learns: eight images by heart, and more than it knows before the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from backbones.registry import get_card
from detection.data.dataset import DetectionTestDataset, DetectionTrainDataset
from detection.data.ground_truth import DetectionDataset, DetectionSplit
from detection.data.item_limits import take_images
from detection.evaluation import DetectionMetric
from detection.models.detector import Detector, build_detector
from detection.recipe import DetectionRecipe
from detection.tasks import MINI_COCO
from engine.optimizer import build_param_groups
from engine.seeding import seed_all
from tests.detection.make import load_recipe

NUM_STEPS = 400
BATCH = 4


def train_by_heart(recipe: DetectionRecipe, dataset: DetectionDataset, split: DetectionSplit) -> Detector:
    """Train with the parameter groups of the recipe; the rate falls along a cosine."""
    seed_all(0)
    model = build_detector(recipe, get_card("vit_nano"), len(dataset.categories), True, checkpoint="random").train()
    groups = [{k: v for k, v in each.items() if k != "names"} for each in build_param_groups(model, recipe)]
    optimizer = torch.optim.AdamW(groups)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.optimizer.lr, NUM_STEPS, pct_start=0.1)
    items = DetectionTrainDataset(split, recipe)
    for step in range(NUM_STEPS):
        seed_all(step + 1)
        batch = [items[(BATCH * step + place) % len(items)] for place in range(BATCH)]
        losses: dict[str, Any] = model(batch, mode="loss")
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def score(model: Detector, dataset: DetectionDataset, split: DetectionSplit) -> dict[str, float]:
    metric = DetectionMetric(split, dataset.categories, True)
    items = DetectionTestDataset(split, model.recipe.size)
    for index in range(len(items)):
        metric.process({}, model([items[index]], mode="predict"))
    metric.evaluate(len(items))
    return metric.scores


@pytest.mark.soak
def test_eight_images_are_learned_by_heart(tmp_path: Path) -> None:
    """Without augmentation, boxes and masks at IoU 0.5; before the training nothing is found."""
    dataset = MINI_COCO.find_dataset(tmp_path)
    # scenes of few objects of all sizes: from number 5 on none is a special case
    split = take_images(dataset.splits["train"], range(5, 13))
    changes = ("train.flip=0.0", "train.scale=[1.0, 1.0]", "optimizer.lr=2e-3", "test.min_score=0.05", "size=192")
    recipe = load_recipe("mini_coco_vitdet", *changes)
    seed_all(0)
    fresh = build_detector(recipe, get_card("vit_nano"), len(dataset.categories), True, checkpoint="random").eval()
    assert score(fresh, dataset, split)["box_AP50"] < 1
    scores = score(train_by_heart(recipe, dataset, split), dataset, split)
    assert scores["box_AP50"] > 90, scores
    assert scores["mask_AP50"] > 80, scores
