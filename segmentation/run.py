"""Carry out a planned segmentation run, and collect its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backbones.cost.flop_counter import compute_complexity
from backbones.features import get_size_divisor
from engine.device import get_dist_info, translate_oom_error
from engine.task import RunPlan, RunRequest, Task, TaskOutcome
from engine.training import EvaluationResult, TrainingJob, TrainingResult, evaluate_test_split, train_model
from foundation.files import atomic_writer, sha256_file
from foundation.values.path_text import shorten_path
from results.records.record import MetricValue, ModelSelection
from segmentation.data.dataset import PairReader, SegmentationTestDataset, SegmentationTrainDataset, collate_as_lists
from segmentation.data.dataset_layout import SegmentationDataset
from segmentation.data.files import read_image_pair
from segmentation.evaluation import SegmentationMetric
from segmentation.metrics import ImageScores, compute_segmentation_scores, map_class_iou
from segmentation.models.segmentor import Segmentor, build_segmentor, pad_to_patch
from segmentation.recipe import SegmentationRecipe

AREAS_FILE = "areas.npy"
PREDICTIONS_FOLDER = "predictions"


@dataclass(frozen=True)
class SegmentationCell:
    """One planned run: everything that ``run_protocol`` needs.

    Attributes:
        request: backbone, start weights, seed and device.
        plan: the resolved configuration.
        dataset: the paired files and the label space.
        class_names: name of each class, by class index.
        task: gives the name and the metrics.
        read_pair: reads an image with its labels; negative controls read something else.
    """

    request: RunRequest
    plan: RunPlan
    dataset: SegmentationDataset
    class_names: Sequence[str]
    task: Task
    read_pair: PairReader = read_image_pair

    @property
    def recipe(self) -> SegmentationRecipe:
        """The plan's recipe, put together again from its two halves."""
        # "norm" was added to the plan by resolve_protocol and is not a field of the recipe
        neutral = {key: value for key, value in self.plan.non_identity_settings.items() if key != "norm"}
        return SegmentationRecipe.model_validate({**self.plan.config["recipe"], **neutral})


def run_protocol(cell: SegmentationCell, run_folder: Path) -> TaskOutcome:
    """Train on ``train``, choose the iteration on ``val`` if there is one, and score ``test`` once.

    Args:
        cell: the planned run.
        run_folder: checkpoints, predictions and pixel counts are written here.
    """
    request, recipe, found = cell.request, cell.recipe, cell.dataset
    with translate_oom_error():
        model = build_segmentor(
            recipe,
            request.card,
            found.label_space.num_classes,
            norm_type=cell.plan.non_identity_settings["norm"],
            created=request.build_backbone(cell.plan.backbone_kwargs),
        )
        # MACs of one window through backbone, neck and decode head; the parameters include the auxiliary head
        window = pad_to_patch((recipe.crop, recipe.crop), model.backbone.trunk)
        counts = compute_complexity(model, [torch.zeros(1, 3, *window)])
    space, read = found.label_space, cell.read_pair
    test = SegmentationTestDataset(found.splits["test"], space, recipe.test, read)
    val = SegmentationTestDataset(found.splits["val"], space, recipe.test, read) if "val" in found.splits else None
    job = TrainingJob(
        label=f"{cell.task.name} {request.card.name} seed {request.seed}",
        folder=run_folder,
        model=model,
        train_dataset=SegmentationTrainDataset(found.splits["train"], space, recipe.train, recipe.crop, read),
        val_dataset=val,
        test_dataset=test,
        build_metric=lambda _: _make_metric(found, "val"),
        selection_metric="segmentation/mIoU",
        metric_unit="%",
        higher_is_better=True,
        recipe=recipe,
        seed=request.seed,
        device=request.device,
        collate_fn=collate_as_lists,
        run_id=request.run_id,
    )
    trained = train_model(job)
    # only predictions of the test split are written; those of each validation would be thrown away
    tested = evaluate_test_split(
        replace(job, build_metric=lambda _: _make_metric(found, "test", run_folder / PREDICTIONS_FOLDER)),
        trained.weights_path,
    )
    return _make_outcome(cell, model, counts.as_dict(), trained, tested, run_folder)


def _make_metric(dataset: SegmentationDataset, split: str, prediction_folder: Path | None = None) -> SegmentationMetric:
    return SegmentationMetric([pair.name for pair in dataset.splits[split]], dataset.label_space, prediction_folder)


def _make_outcome(
    cell: SegmentationCell,
    model: Segmentor,
    counts: dict[str, int],
    trained: TrainingResult,
    tested: EvaluationResult,
    run_folder: Path,
) -> TaskOutcome:
    metric: SegmentationMetric = tested.metric
    # mmengine puts the metric's default_prefix before each name: "segmentation/mIoU"
    values = {name.rpartition("/")[2]: value for name, value in tested.metric_values.items()}
    n = len(cell.dataset.splits["test"])
    chosen = trained.selected_validation
    created = model.backbone.created_backbone
    return TaskOutcome(
        metrics={
            spec.name: MetricValue(value=values[spec.name], unit=spec.unit, higher_is_better=spec.higher_is_better, n=n)
            for spec in cell.task.metrics
        },
        item_columns=ImageScores._fields,
        item_rows=metric.image_scores,
        selection=ModelSelection(
            split="val" if chosen else "none",
            metric="mIoU",
            candidates=max(1, trained.num_validations),  # without a val split the last weights are the only candidate
            chosen=f"iteration {chosen.step}" if chosen else f"iteration {cell.recipe.length}, the last",
            value=chosen.value if chosen else None,
        ),
        load_report=created.load_report,
        checkpoint_format=created.weight_file.format if created.weight_file else None,
        parameters=counts["parameters"],
        phase_seconds={"train_and_validate": trained.seconds, "test": tested.seconds},
        # only the main process holds the rows of all images, and only it may write the file of areas
        details=_make_details(cell, model, counts, metric, run_folder) if get_dist_info()[0] == 0 else {},
    )


def _get_input_size(model: Segmentor, crop: int) -> int | list[int]:
    """Return what a crop is padded to: its side, or height and width, pixels."""
    height, width = pad_to_patch((crop, crop), model.backbone.trunk)
    return height if height == width else [height, width]


def describe_test_mode(model: Segmentor, recipe: SegmentationRecipe) -> str:
    """Say how an image is tested, and what is padded if the patch does not divide the crop.

    Args:
        model: the model.
        recipe: its settings.
    """
    rows, columns = pad_to_patch((recipe.crop, recipe.crop), model.backbone.trunk)
    is_padded = (rows, columns) != (recipe.crop, recipe.crop)
    if recipe.test.mode == "slide":
        mode = f"slide {recipe.crop}/{recipe.test.stride}"
        padding = f", windows padded to {rows} x {columns} px" if is_padded else ""
    else:
        height, width = get_size_divisor(model.backbone.trunk)
        mode, padding = "whole", f", images padded to multiples of {height} x {width} px" if is_padded else ""
    return f"{mode}{padding}, single scale, no flip, native label size"


def _make_details(
    cell: SegmentationCell, model: Segmentor, counts: dict[str, int], metric: SegmentationMetric, run_folder: Path
) -> dict[str, Any]:
    """Collect what the record holds besides the metrics, and write the pixel counts of every image to a file.

    The file is a numpy array of int64, (images, 3, classes).
    """
    with atomic_writer(run_folder / AREAS_FILE) as file:
        np.save(file, metric.image_areas)
    recipe, total = cell.recipe, compute_segmentation_scores(metric.image_areas.sum(0))
    # the auxiliary head adds a loss during training and is not part of the model that is tested
    extra = model.auxiliary_head.parameters() if model.with_auxiliary_head else ()
    training_only = sum(parameter.numel() for parameter in extra)
    return {
        "test_mode": describe_test_mode(model, recipe),
        "classes": cell.dataset.label_space.num_classes,
        "classes_present": total.num_present,
        "second_implementation": metric.mmseg_check,
        "iou_by_class": map_class_iou(total, cell.class_names),
        "areas": {"file": AREAS_FILE, "sha256": sha256_file(run_folder / AREAS_FILE)},
        "whole_model": {
            "img_size": _get_input_size(model, recipe.crop),
            **counts,
            "parameters_training_only": training_only,
        },
        "out_indices": model.backbone.out_indices,
        "neck": type(model.neck).__name__ if model.with_neck else None,
        "data_root": shorten_path(cell.request.data_root.absolute()),
    }
