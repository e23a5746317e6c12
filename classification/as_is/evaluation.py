"""Evaluate a finished classifier on the test split of a task, with the same counting as a fine-tuning run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from backbones.cost.measure_cost import measure_efficiency
from classification.as_is.finished_classifier import FinishedClassifier
from classification.as_is.match_classes import ClassColumns
from classification.as_is.network import FlipAverage, Network, average_flipped, make_network
from classification.as_is.predictions import PREDICTIONS_FILE, ImagePrediction, rank_classes, write_predictions
from classification.as_is.real_labels import RealLabels
from classification.data.subset_sampling import LabeledDataset
from classification.metrics import ScoredItem, compute_accuracies, to_record_metrics
from classification.model import compute_probabilities, score_items
from engine.device import translate_oom_error
from engine.evaluation.contract import Evaluation
from engine.evaluation.model_source import ModelSource
from engine.progress_bar import ProgressBar
from engine.task import TaskOutcome
from engine.training import make_deterministic
from results.records.measurements import EfficiencyRecord
from results.records.record import ModelSelection

DEFAULT_BATCH_SIZE = 64
_MAX_WORKERS = 8
_FEW_IMAGES = 1000
"""Below this number, starting loader processes takes longer than decoding."""


@dataclass(frozen=True)
class ClassifierEvaluation(Evaluation):
    """A finished classifier on the test images of a task.

    Attributes:
        source: the model as the user named it.
        classifier: the opened model.
        dataset: the scored images; an item is a dict of ``images``, ``labels`` and ``item``.
        columns: which outputs belong to which class.
        class_names: name of each class that may be predicted, in the order of ``columns``.
        image_names: name of each scored image within the data set.
        real_labels: labels that replace those of the data; ``None`` without.
    """

    source: ModelSource
    classifier: FinishedClassifier
    dataset: LabeledDataset
    columns: ClassColumns
    class_names: Sequence[str]
    image_names: Callable[[int], str]
    real_labels: RealLabels | None = None

    def run(self, out: Path) -> TaskOutcome:
        """Classify every test image; write ``predictions.csv`` into the folder ``out``."""
        make_deterministic()  # as a run is tested, so that its weights give its very numbers
        network = make_network(self.classifier, self.source, self.device)
        rows: list[ScoredItem] = []
        predictions: list[ImagePrediction] = []
        began = time.monotonic()
        with translate_oom_error():
            for probabilities, labels, items in self._compute_batches(network):
                rows += self._score_batch(probabilities, labels, items)
                predictions += self._list_predictions(probabilities, items)
        seconds = time.monotonic() - began
        values = compute_accuracies(rows, self.plan.num_expected_items)
        # a mean over classes needs one class for each image
        specs = [spec for spec in self.task.metrics if self.real_labels is None or spec.name in ("top1", "top5")]
        write_predictions(out / PREDICTIONS_FILE, predictions)
        return TaskOutcome(
            metrics=to_record_metrics(specs, values, len(rows)),
            item_columns=ScoredItem._fields,
            item_rows=rows,
            selection=ModelSelection(split="none", metric="top1", candidates=1, chosen="as it is", value=None),
            load_report=self.classifier.report,
            checkpoint_format=self.classifier.file.format,
            parameters=sum(parameter.numel() for parameter in self.classifier.model.parameters()),
            phase_seconds={"test": seconds},
        )

    def measure_cost(self) -> EfficiencyRecord | None:
        """Count and time the whole classifier with one image; with ``tta_flip``, both of its passes."""
        model = self.classifier.model
        if self.classifier.settings.tta_flip:
            model = FlipAverage(model)
        size = (3, *self.classifier.preprocessing.img_size)
        # the model itself moves to the CPU and back: operations are counted there
        measured = measure_efficiency(model.cpu(), size, self.device, with_timing=True)
        return EfficiencyRecord.model_validate(measured)

    def _compute_batches(
        self, network: Network
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]]:
        """Yield probabilities (batch, classes), labels and item indices (batch,) of all images in their order."""
        columns = None if self.columns.is_whole_head else torch.tensor(self.columns.columns)
        flips = self.classifier.settings.tta_flip
        label = f"{self.task.name} {self.backbone.name} as it is"
        with ProgressBar(label, "images", len(self.dataset)) as bar:
            for batch in self._make_loader():
                images = batch["images"].to(self.device)
                logits = (average_flipped(network, images) if flips else network(images)).cpu()
                if columns is not None:
                    logits = logits[:, columns]
                yield compute_probabilities(logits, batch["item"]), batch["labels"].numpy(), batch["item"].numpy()
                bar.advance(num_items=len(images))

    def _make_loader(self) -> DataLoader[Any]:
        settings = self.plan.non_identity_settings
        return DataLoader(
            self.dataset,  # type: ignore[arg-type]  # a map-style dataset by its methods
            batch_size=settings["batch_size"],
            num_workers=settings["workers"],
            pin_memory=self.device == "cuda",
        )

    def _score_batch(
        self, probabilities: NDArray[np.float32], labels: NDArray[np.int64], items: NDArray[np.int64]
    ) -> list[ScoredItem]:
        if self.real_labels is not None:
            return self.real_labels.score_items(probabilities, items)
        return score_items(probabilities, labels, items)

    def _list_predictions(
        self, probabilities: NDArray[np.float32], items: NDArray[np.int64]
    ) -> Iterator[ImagePrediction]:
        for item, row, top in zip(items.tolist(), probabilities, rank_classes(probabilities).tolist(), strict=True):
            name = self.class_names[top[0]]
            yield ImagePrediction(self.image_names(item), name, top[0], float(row[top[0]]), tuple(top))


def choose_loader(classifier: FinishedClassifier, num_images: int) -> dict[str, int]:
    """Return the settings that cannot change the number beyond its last bits: batch size and loader processes.

    The network of a run is tested in batches of the size that the run was tested with, which keeps the last bits too.

    Args:
        classifier: the opened classifier.
        num_images: number of images.
    """
    settings, run = classifier.settings, classifier.run
    own = run.batch_size if run is not None else DEFAULT_BATCH_SIZE
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = 0 if num_images < _FEW_IMAGES else min(cores, _MAX_WORKERS)
    return {
        "batch_size": own if settings.batch_size is None else settings.batch_size,
        "workers": workers if settings.workers is None else settings.workers,
    }
