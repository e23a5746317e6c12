"""Evaluate a finished classifier on the test split of a task, with the same counting as a fine-tuning run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backbones.cost.measure_cost import measure_efficiency
from classification.as_is.batches import ProbabilityBatch, compute_batches
from classification.as_is.finished_classifier import FinishedClassifier
from classification.as_is.match_classes import ClassColumns
from classification.as_is.network import FlipAverage, make_network
from classification.as_is.predictions import PREDICTIONS_FILE, ClassPrediction, rank_classes, write_predictions
from classification.as_is.real_labels import RealLabels
from classification.data.subset_sampling import LabeledDataset
from classification.metrics import ScoredItem, compute_accuracies, to_record_metrics
from classification.model import score_items
from deployment.export_folder import EXPORT_FOLDER
from deployment.image_models import RuntimeNetwork
from deployment.runtime_latency import measure_runtime_efficiency
from engine.determinism import make_deterministic
from engine.evaluation.contract import Evaluation
from engine.evaluation.model_source import ModelSource
from engine.task import TaskOutcome
from results.records.measurements import EfficiencyRecord
from results.records.record import ARTIFACT_BYTES, ModelSelection

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
        exports: what ``run`` exported for another runtime, which is then timed.
    """

    source: ModelSource
    classifier: FinishedClassifier
    dataset: LabeledDataset
    columns: ClassColumns
    class_names: Sequence[str]
    image_names: Callable[[int], str]
    real_labels: RealLabels | None = None
    exports: list[RuntimeNetwork] = field(default_factory=list, repr=False, compare=False)

    def run(self, out: Path) -> TaskOutcome:
        """Classify every test image; write ``predictions.csv`` and exported graphs into the folder ``out``."""
        make_deterministic()  # as a run is tested, so that its weights give its very numbers
        network = make_network(self.classifier, self.source, self.device, out / EXPORT_FOLDER)
        if isinstance(network, RuntimeNetwork):
            self.exports.append(network)
        rows: list[ScoredItem] = []
        predictions: list[ClassPrediction] = []
        began = time.monotonic()
        for batch in compute_batches(
            network,
            self.dataset,
            device=self.device,
            label=f"{self.task.name} {self.backbone.name} as it is",
            columns=self.columns,
            flips=self.classifier.settings.tta_flip,
            **self.plan.non_identity_settings,
        ):
            rows += self._score_batch(batch)
            predictions += self._list_predictions(batch)
        seconds = time.monotonic() - began
        # the gate: raises unless every expected image was scored exactly once
        values = compute_accuracies(rows, self.plan.num_expected_items)
        # a mean over classes needs one class for each image
        specs = [spec for spec in self.task.metrics if self.real_labels is None or spec.name in ("top1", "top5")]
        # items.csv has numbers only, so the names of files and classes go into a file of their own
        write_predictions(out / PREDICTIONS_FILE, predictions)
        return TaskOutcome(
            metrics=to_record_metrics(specs, values, len(rows)),
            item_columns=ScoredItem._fields,
            item_rows=rows,
            # there was nothing to choose: the model came as it is
            selection=ModelSelection(split="none", metric="top1", candidates=1, chosen="as it is", value=None),
            load_report=self.classifier.report,
            checkpoint_format=self.classifier.file.format,
            parameters=sum(parameter.numel() for parameter in self.classifier.model.parameters()),
            phase_seconds={"test": seconds},
            details=self._describe_export(),
        )

    def measure_cost(self) -> EfficiencyRecord | None:
        """Count and time the whole classifier with one image; with ``tta_flip``, both of its passes."""
        model = self.classifier.model
        if self.classifier.settings.tta_flip:
            model = FlipAverage(model)
        size = (3, *self.classifier.preprocessing.img_size)
        if self.exports:
            measured = measure_runtime_efficiency(
                model, self.exports[-1], size, with_flip=self.classifier.settings.tta_flip
            )
            return EfficiencyRecord.model_validate(measured)
        # the model itself moves to the CPU and back: operations are counted there
        measured = measure_efficiency(model.cpu(), size, self.device, with_timing=True)
        return EfficiencyRecord.model_validate(measured)

    def _describe_export(self) -> dict[str, Any]:
        """Return what the record keeps of the export that was scored; nothing for PyTorch."""
        if not self.exports:
            return {}
        return {"export": self.exports[-1].describe(), ARTIFACT_BYTES: self.exports[-1].num_bytes}

    def _score_batch(self, batch: ProbabilityBatch) -> list[ScoredItem]:
        if self.real_labels is not None:
            return self.real_labels.score_items(batch.probabilities, batch.items)
        return score_items(batch.probabilities, batch.labels, batch.items)

    def _list_predictions(self, batch: ProbabilityBatch) -> Iterator[ClassPrediction]:
        for item, prediction in zip(batch.items.tolist(), rank_classes(batch.probabilities), strict=True):
            yield prediction.name_image(self.image_names(item), self.class_names)


def choose_loader(classifier: FinishedClassifier, num_images: int) -> dict[str, int]:
    """Return the settings that cannot change the number beyond its last bits: batch size and loader processes.

    The network of a run is tested in batches of the size that the run was tested with, which keeps the last bits too.

    Args:
        classifier: the opened classifier.
        num_images: number of images.
    """
    settings, run = classifier.settings, classifier.run
    own = run.batch_size if run is not None else DEFAULT_BATCH_SIZE
    # macOS does not say which cores a process may use
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = 0 if num_images < _FEW_IMAGES else min(cores, _MAX_WORKERS)
    return {
        "batch_size": own if settings.batch_size is None else settings.batch_size,
        "workers": workers if settings.workers is None else settings.workers,
    }
