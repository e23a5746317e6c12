"""How a segmentation cell is planned and carried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backbones.flop_counter import count
from backbones.weights import RANDOM
from engine.config import load_protocol
from engine.device import world
from engine.oom_message import in_a_sentence
from engine.seeding import mix, seed_all
from engine.task import DataReport, Outcome, Plan, Request, Task
from engine.training import Job, Tested, Trained, train
from engine.training import test as read_test
from foundation.errors import ConfigError
from foundation.files import atomic_writer, sha256_file
from results.records.record import LoadReport, Metric, Selection
from segmentation.data.dataset import TestItems, TrainItems, collate
from segmentation.data.dataset_layout import LabelledSet
from segmentation.evaluation import SegmentationMetric
from segmentation.metrics import Row, by_name, scores
from segmentation.models.segmentor import Segmentor, build_segmentor
from segmentation.recipe import SegmentationRecipe

AREAS_FILE = "areas.npy"
PREDICTIONS = "predictions"


def resolve(file: Path, request: Request, data: DataReport) -> Plan:
    """The plan of a request by its protocol's file.

    Raises:
        ConfigError: settings that do not hold, or batch norm over a single image.
    """
    protocol = load_protocol(file, SegmentationRecipe, request.tier, request.overrides)
    recipe = protocol.recipe
    norm = norm_kind()
    together = recipe.batch_size // recipe.accumulate // (1 if norm == "SyncBN" else world()[1])
    if together < 2:
        raise ConfigError(
            f"batch_size {recipe.batch_size} in {recipe.accumulate} pieces leaves batch norm {together} image to "
            "average over; it needs 2 or more, so lower accumulate or raise batch_size"
        )
    arguments: dict[str, Any] = {"img_size": recipe.crop, "num_classes": 0}
    if recipe.drop_path:
        arguments["drop_path_rate"] = recipe.drop_path
    chosen = ("choose the iteration on val",) if "val" in data.splits else ("take the last weights",)
    return Plan(
        protocol_version=protocol.version,
        # images that share batch-norm statistics: all of the batch on one device, or with SyncBN on several
        config={"recipe": recipe.identity(), "norm_batch": together},
        neutral={**recipe.neutral(), "norm": norm},
        arguments=arguments,
        expected=data.splits["test"],
        steps=("train", *chosen, "test once"),
    )


def norm_kind() -> str:
    """``SyncBN`` where several processes have a GPU each, else ``BN`` (which on one device is the same)."""
    return "SyncBN" if world()[1] > 1 and torch.cuda.is_available() else "BN"


@dataclass(frozen=True)
class Cell:
    """What ``segment`` works on."""

    request: Request
    plan: Plan
    found: LabelledSet
    names: Sequence[str]
    task: Task

    @property
    def recipe(self) -> SegmentationRecipe:
        """The plan's recipe."""
        neutral = {key: value for key, value in self.plan.neutral.items() if key != "norm"}
        return SegmentationRecipe.model_validate({**self.plan.config["recipe"], **neutral})


def segment(cell: Cell, out: Path) -> Outcome:
    """Train on ``train``, choose on ``val`` if there is one, score ``test`` once; in the folder ``out``."""
    request, recipe, found = cell.request, cell.recipe, cell.found
    seed_all(mix(request.seed, 0))  # the heads' (and a random backbone's) initial weights
    with in_a_sentence():
        model = build_segmentor(
            recipe,
            request.card,
            found.space.classes,
            norm=cell.plan.neutral["norm"],
            checkpoint=str(request.start.file) if request.start.file else RANDOM,
            allow_partial=request.allow_partial,
            arguments=cell.plan.arguments,
        )
        counts = count(model, [torch.zeros(1, 3, recipe.crop, recipe.crop)])
    test = TestItems(found.splits["test"], found.space, recipe.test)
    val = TestItems(found.splits["val"], found.space, recipe.test) if "val" in found.splits else None
    job = Job(
        label=f"{cell.task.name} {request.card.name} seed {request.seed}",
        folder=out,
        model=model,
        train=TrainItems(found.splits["train"], found.space, recipe.train, recipe.crop),
        val=val,
        test=test,
        metric=lambda _: _metric(found, "val"),
        select="segmentation/mIoU",
        unit="%",
        higher_is_better=True,
        recipe=recipe,
        seed=request.seed,
        device=request.device,
        collate=collate,
    )
    trained = train(job)
    tested = read_test(replace(job, metric=lambda _: _metric(found, "test", out / PREDICTIONS)), trained.weights)
    return _outcome(cell, model, counts.as_dict(), trained, tested, out)


def _metric(found: LabelledSet, split: str, predictions: Path | None = None) -> SegmentationMetric:
    return SegmentationMetric([pair.name for pair in found.splits[split]], found.space, predictions)


def _outcome(
    cell: Cell, model: Segmentor, counts: dict[str, int], trained: Trained, tested: Tested, out: Path
) -> Outcome:
    metric: SegmentationMetric = tested.metric
    values = {name.rpartition("/")[2]: value for name, value in tested.values.items()}
    n = len(cell.found.splits["test"])
    chosen = trained.chosen
    created = model.backbone.created
    return Outcome(
        metrics={
            spec.name: Metric(value=values[spec.name], unit=spec.unit, higher_is_better=spec.higher_is_better, n=n)
            for spec in cell.task.metrics
        },
        columns=Row._fields,
        items=metric.rows,
        selection=Selection(
            split="val" if chosen else "none",
            metric="mIoU",
            candidates=max(1, trained.validations),
            chosen=f"iteration {chosen.step}" if chosen else f"iteration {cell.recipe.length}, the last",
            value=chosen.value if chosen else None,
        ),
        load_report=LoadReport(**asdict(created.report)) if created.report else None,
        checkpoint_format=created.file.format if created.file else None,
        parameters=counts["parameters"],
        phases={"train_and_validate": trained.seconds, "test": tested.seconds},
        details=_details(cell, model, counts, metric, out) if world()[0] == 0 else {},
    )


def _details(
    cell: Cell, model: Segmentor, counts: dict[str, int], metric: SegmentationMetric, out: Path
) -> dict[str, Any]:
    """What stands in the record beside the metrics; the areas of every image go to a file (int64)."""
    with atomic_writer(out / AREAS_FILE) as file:
        np.save(file, metric.areas)
    recipe, total = cell.recipe, scores(metric.areas.sum(0))
    extra = model.auxiliary_head.parameters() if model.with_auxiliary_head else ()
    training_only = sum(parameter.numel() for parameter in extra)
    mode = f"slide {recipe.crop}/{recipe.test.stride}" if recipe.test.mode == "slide" else "whole"
    return {
        "test_mode": f"{mode}, single scale, no flip, native label size",
        "classes": cell.found.space.classes,
        "classes_present": total.present,
        "second_implementation": metric.check,
        "iou_by_class": by_name(total, cell.names),
        "areas": {"file": AREAS_FILE, "sha256": sha256_file(out / AREAS_FILE)},
        "whole_model": {"img_size": recipe.crop, **counts, "parameters_training_only": training_only},
        "taps": model.backbone.taps,
        "neck": type(model.neck).__name__ if model.with_neck else None,
        "data_root": str(cell.request.data_root.resolve()),
    }
