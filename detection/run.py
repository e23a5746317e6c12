"""Carry out a planned detection run, and collect its outcome."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch

from backbones.cost.flop_counter import compute_complexity
from detection.data.dataset import (
    DetectionTestDataset,
    DetectionTrainDataset,
    ImageReader,
    collate_as_lists,
)
from detection.data.ground_truth import DetectionDataset
from detection.data.read_image import read_rgb_image
from detection.evaluation import DetectionMetric
from detection.models.detector import Detector, build_detector
from detection.recipe import DetectionRecipe
from detection.scored_run import describe_scores, make_metric_values
from detection.scoring.detection_files import DETECTIONS_FILE
from detection.scoring.image_scores import ImageScores
from engine.device import get_dist_info, translate_oom_error
from engine.task import RunPlan, RunRequest, Task, TaskOutcome
from engine.training import EvaluationResult, TrainingJob, TrainingResult, evaluate_test_split, train_model
from results.records.record import ModelSelection


@dataclass(frozen=True)
class DetectionCell:
    """One planned run: everything that ``run_protocol`` needs.

    Attributes:
        request: backbone, start weights, seed and device.
        plan: the resolved configuration.
        dataset: images and objects.
        task: gives the name and the metrics.
        read_image: reads an image; negative controls read something else.
    """

    request: RunRequest
    plan: RunPlan
    dataset: DetectionDataset
    task: Task
    read_image: ImageReader = read_rgb_image

    @property
    def recipe(self) -> DetectionRecipe:
        """The plan's recipe, put together again from its two halves."""
        return DetectionRecipe.model_validate({**self.plan.config["recipe"], **self.plan.non_identity_settings})


class DetectorCost(NamedTuple):
    """What one image costs, as ``compute_complexity`` counts it: of the backbone alone, and of the whole model."""

    backbone: dict[str, int]
    whole_model: dict[str, int]


def run_protocol(cell: DetectionCell, run_folder: Path) -> TaskOutcome:
    """Train on ``train``, choose the iteration on ``val`` if there is one, and score ``test`` once.

    Args:
        cell: the planned run.
        run_folder: checkpoints, detections and match tables are written here.
    """
    request, recipe, found = cell.request, cell.recipe, cell.dataset
    with translate_oom_error():
        model = build_detector(
            recipe,
            request.card,
            len(found.categories),
            found.has_masks,
            created=request.build_backbone(cell.plan.backbone_kwargs),
        )
        # counted before the training, so that a model that cannot be counted fails at once
        cost = count_detector_cost(model, recipe.size)
    read = cell.read_image
    val = DetectionTestDataset(found.splits["val"], recipe.size, read) if "val" in found.splits else None
    job = TrainingJob(
        label=f"{cell.task.name} {request.card.name} seed {request.seed}",
        folder=run_folder,
        model=model,
        train_dataset=DetectionTrainDataset(found.splits["train"], recipe, read),
        val_dataset=val,
        test_dataset=DetectionTestDataset(found.splits["test"], recipe.size, read),
        build_metric=lambda _: _make_metric(found, "val"),
        selection_metric="detection/box_AP",
        metric_unit="%",
        higher_is_better=True,
        recipe=recipe,
        seed=request.seed,
        device=request.device,
        collate_fn=collate_as_lists,
        run_id=request.run_id,
        # micro-batches hold whole groups of images whose losses are normalized together
        norm_group=recipe.norm_group,
    )
    trained = train_model(job)
    # only detections in the test split are written; those of each validation would be thrown away
    tested = evaluate_test_split(
        replace(job, build_metric=lambda _: _make_metric(found, "test", run_folder / DETECTIONS_FILE)),
        trained.weights_path,
    )
    return _make_outcome(cell, model, cost, trained, tested, run_folder)


def count_detector_cost(model: Detector, size: int) -> DetectorCost:
    """Count parameters and operations of the backbone alone and of the whole model, for one image.

    The heads see as many regions as the recipe keeps, whatever an image holds.

    Args:
        model: the detector.
        size: side of the square input, pixels.
    """
    # zeros will do: the counts depend on shapes alone
    images = [torch.zeros(1, 3, size, size)]
    backbone, whole = (compute_complexity(part, images).as_dict() for part in (model.backbone, model))
    return DetectorCost(backbone, whole)


def _make_metric(dataset: DetectionDataset, split: str, result_file: Path | None = None) -> DetectionMetric:
    return DetectionMetric(dataset.splits[split], dataset.categories, dataset.has_masks, result_file)


def _make_outcome(
    cell: DetectionCell,
    model: Detector,
    cost: DetectorCost,
    trained: TrainingResult,
    tested: EvaluationResult,
    run_folder: Path,
) -> TaskOutcome:
    metric: DetectionMetric = tested.metric
    chosen, created = trained.selected_validation, model.backbone.created_backbone
    # only the main process holds the detections of all images, and only it may write files
    is_main = get_dist_info()[0] == 0
    # mmengine puts the metric's default_prefix before each name: "detection/box_AP"
    values = {name.rpartition("/")[2]: value for name, value in tested.metric_values.items()}
    return TaskOutcome(
        metrics=make_metric_values(cell.task, values, len(cell.dataset.splits["test"])),
        item_columns=ImageScores._fields,
        item_rows=metric.image_scores,
        selection=ModelSelection(
            split="val" if chosen else "none",
            metric="box_AP",
            candidates=max(1, trained.num_validations),  # without a val split the last weights are the only candidate
            chosen=f"iteration {chosen.step}" if chosen else f"iteration {cell.recipe.length}, the last",
            value=chosen.value if chosen else None,
        ),
        load_report=created.load_report,
        checkpoint_format=created.weight_file.format if created.weight_file else None,
        parameters=cost.whole_model["parameters"],
        phase_seconds={"train_and_validate": trained.seconds, "test": tested.seconds},
        details={
            "test_mode": describe_test_mode(cell.recipe),
            **describe_scores(cell.dataset, metric, run_folder),
            "backbone_alone": {"img_size": cell.recipe.size, **cost.backbone},
            "whole_model": {"img_size": cell.recipe.size, **cost.whole_model},
            "data_root": str(cell.request.data_root.resolve()),
        }
        if is_main
        else {},
    )


def describe_test_mode(recipe: DetectionRecipe) -> str:
    """Say how an image is tested.

    Args:
        recipe: the settings.
    """
    test = recipe.test
    return (
        f"longer side {recipe.size} px, padded to a square, single scale, no flip; at most {test.per_image} detections "
        f"of an image with a score above {test.min_score:g}, overlaps of a class above {test.nms_iou:g} dropped"
    )
