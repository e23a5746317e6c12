"""Evaluate a finished segmentation model on the test split of a task."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from backbones.cost.flop_counter import compute_complexity
from backbones.cost.measure_cost import measure_efficiency
from deployment.export_folder import EXPORT_FOLDER
from deployment.runtime_latency import measure_runtime_efficiency
from engine.data.item_limits import limit_report
from engine.determinism import make_deterministic
from engine.device import translate_oom_error
from engine.evaluation.contract import AS_IS_VERSION, Evaluation
from engine.evaluation.model_source import ModelSource
from engine.evaluation.network_device import resolve_network_device
from engine.progress_bar import ProgressBar, log_message
from engine.task import RunPlan, TaskOutcome
from foundation.errors import UserError
from foundation.files import atomic_writer, sha256_file
from results.records.measurements import EfficiencyRecord
from results.records.record import ARTIFACT_BYTES, MetricValue, ModelSelection
from segmentation.as_is.finished_model import FinishedSegmentor, drop_training_parts
from segmentation.as_is.run_source import open_run_segmentor
from segmentation.as_is.settings import SegmentationSettings, parse_settings
from segmentation.data.dataset_layout import ImageLabelPair, SegmentationDataset
from segmentation.data.files import read_label_map, require_same_size
from segmentation.deployment.runtime_network import SegmentorNetwork, put_in_runtime
from segmentation.evaluation import ImagePrediction, SegmentationMetric
from segmentation.metrics import ImageScores, compute_segmentation_scores, map_class_iou
from segmentation.run import AREAS_FILE, PREDICTIONS_FOLDER

if TYPE_CHECKING:
    from segmentation.tasks import SegmentationTask

MEASURING_ERRORS = (RuntimeError, ValueError, TypeError, NotImplementedError, AssertionError, UserError)
"""What a model may raise while it is counted or timed; its score does not depend on that."""


@dataclass(frozen=True)
class SegmentationEvaluation(Evaluation):
    """A finished segmentation model, opened on the test split of a task.

    Attributes:
        segmentor: the model.
        dataset: the test images and their label files.
        class_names: name of each class of the data, by class index.
        root: folder of the data sets.
    """

    segmentor: FinishedSegmentor
    dataset: SegmentationDataset
    class_names: tuple[str, ...]
    root: Path

    def run(self, out: Path) -> TaskOutcome:
        """Segment every test image and score it at the size of its label file.

        Args:
            out: label PNGs, the pixel counts of every image and exported graphs are written here.

        Raises:
            NonFiniteError: a logit is not finite.
            DataError: an image cannot be read, or the prediction has another size than its label file.
        """
        # a run's test is deterministic, too
        make_deterministic()
        if isinstance(self.segmentor.network, SegmentorNetwork):
            self.segmentor.network.out = out / EXPORT_FOLDER
        pairs = self.dataset.splits["test"]
        names = [pair.name for pair in pairs]
        metric = SegmentationMetric(names, self.dataset.label_space, out / PREDICTIONS_FOLDER)
        began = time.monotonic()
        with translate_oom_error(), ProgressBar(f"{self.task.name} {self.backbone.name}", "images", len(pairs)) as bar:
            for item, pair in enumerate(pairs):
                metric.process(None, [self._predict(item, pair)])
                bar.advance(num_items=1)
        # without mmengine's Runner: there is one process, and a device besides the CPU and CUDA works too
        values = metric.compute_metrics(metric.results)
        return self._make_outcome(metric, values, time.monotonic() - began, out)

    def _predict(self, item: int, pair: ImageLabelPair) -> ImagePrediction:
        found = self.segmentor.segment_file(pair.image_path)
        truth = read_label_map(pair.label_path, self.dataset.label_space)
        require_same_size(found.labels.numpy(), truth, pair)
        return ImagePrediction(item, found.labels, torch.from_numpy(truth), found.is_finite)

    def _make_outcome(
        self, metric: SegmentationMetric, values: dict[str, float], seconds: float, out: Path
    ) -> TaskOutcome:
        with atomic_writer(out / AREAS_FILE) as file:
            np.save(file, metric.image_areas)
        total = compute_segmentation_scores(metric.image_areas.sum(0))
        tested = drop_training_parts(self.segmentor.model)
        details: dict[str, Any] = {
            "test_mode": self.segmentor.test_mode,
            "classes": self.dataset.label_space.num_classes,
            "classes_present": total.num_present,
            "second_implementation": metric.mmseg_check,
            "iou_by_class": map_class_iou(total, self.class_names),
            "areas": {"file": AREAS_FILE, "sha256": sha256_file(out / AREAS_FILE)},
            "whole_model": self._count_whole_model(tested),
            "data_root": str(self.root.resolve()),
        }
        if isinstance(self.segmentor.network, SegmentorNetwork):
            exports = self.segmentor.network
            # graphs of several sizes have the same weights
            size = max(network.num_bytes for network in exports.networks.values())
            details |= {"exports": exports.describe(), ARTIFACT_BYTES: size}
        return TaskOutcome(
            metrics={
                spec.name: MetricValue(
                    value=values[spec.name],
                    unit=spec.unit,
                    higher_is_better=spec.higher_is_better,
                    n=len(metric.results),
                )
                for spec in self.task.metrics
            },
            item_columns=ImageScores._fields,
            item_rows=metric.image_scores,
            selection=ModelSelection(split="none", metric="mIoU", candidates=1, chosen="the model as it is"),
            load_report=None,
            checkpoint_format=self.backbone.checkpoint.format if self.backbone.checkpoint else None,
            parameters=sum(parameter.numel() for parameter in tested.parameters()),
            phase_seconds={"test": seconds},
            details=details,
        )

    def _count_whole_model(self, tested: nn.Module) -> dict[str, Any] | None:
        """Count the model on one window, or on one image of its input size; ``None`` if it cannot be counted."""
        height, width = self.segmentor.input_size
        try:
            counts = compute_complexity(tested, [torch.zeros(1, 3, height, width)])
        except MEASURING_ERRORS as error:
            log_message(f"the cost of {self.backbone.name} was not counted: {_get_first_line(error)}")
            return None
        return {"img_size": height if height == width else [height, width], **counts.as_dict()}

    def measure_cost(self) -> EfficiencyRecord | None:
        """Count and time the whole model, its head included, on one window (or one image of its input size)."""
        tested = drop_training_parts(self.segmentor.model)
        size, network = (3, *self.segmentor.input_size), self.segmentor.network
        try:
            if isinstance(network, SegmentorNetwork):
                exported = network.get_network(self.segmentor.input_size)
                return EfficiencyRecord.model_validate(measure_runtime_efficiency(tested, exported, size))
            return EfficiencyRecord.model_validate(measure_efficiency(tested, size, self.device, with_timing=True))
        except MEASURING_ERRORS as error:
            log_message(f"the cost of {self.backbone.name} was not measured: {_get_first_line(error)}")
            return None


def _get_first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def open_segmentation_evaluation(task: SegmentationTask, source: ModelSource, root: Path) -> SegmentationEvaluation:
    """Open a finished segmentation model on the test split of a task.

    Args:
        task: the task.
        source: the model, and how it is applied.
        root: folder of the data sets.

    Raises:
        UserError: the model, its settings or the data do not fit.
    """
    source.require_one_place()
    settings = parse_settings(source.overrides)
    device = resolve_network_device(source)
    # the data before the model, because a config is executed and weights may be large
    data = task.check_test_data(root)
    limit = settings.max_items if settings.max_items and settings.max_items < data.splits["test"] else None
    dataset = task.find_dataset(root, test_only=True).limit_items(limit)
    names = tuple(task.get_class_names(dataset))
    segmentor = open_segmentor(source, settings, device)
    fault = find_class_fault(segmentor, names, dataset)
    if fault is not None and settings.classes == "check":
        raise UserError(f"{fault}, add --set classes=ignore")
    record = segmentor.record
    if fault is not None:
        # the number rests on the user's word that the classes are the same, so the record must say it
        record = record.model_copy(update={"arguments": {**record.arguments, "classes": "other names, ignored"}})
    return SegmentationEvaluation(
        task=task,
        backbone=record,
        data=limit_report(data, limit),
        plan=_make_plan(dataset, limit),
        device=device,
        segmentor=segmentor,
        dataset=dataset,
        class_names=names,
        root=root,
    )


def open_segmentor(source: ModelSource, settings: SegmentationSettings, device: str) -> FinishedSegmentor:
    """Open a finished segmentation model.

    Args:
        source: a run, a checkpoint in its folder, or a config of mmsegmentation with its weights.
        settings: how it is applied.
        device: where it is computed.

    Raises:
        UserError: the model cannot be opened.
    """
    if source.config is not None:
        from segmentation.as_is.config_source import open_config_segmentor

        opened = open_config_segmentor(source, settings, device)
    else:
        opened = open_run_segmentor(source, settings, device)
    return opened if source.runtime == "torch" else put_in_runtime(opened, source.runtime, source.precision)


def _make_plan(dataset: SegmentationDataset, limit: int | None) -> RunPlan:
    # what all models of a board share; how this one is applied stands in the arguments of the backbone
    recipe: dict[str, Any] = {"classes": dataset.label_space.num_classes, "scored_size": "label file"}
    if limit is not None:
        recipe["max_items"] = limit
    return RunPlan(
        protocol_version=AS_IS_VERSION,
        config={"recipe": recipe},
        non_identity_settings={},
        backbone_kwargs={},
        num_expected_items=len(dataset.splits["test"]),
        steps=("test once",),
    )


def find_class_fault(segmentor: FinishedSegmentor, names: tuple[str, ...], dataset: SegmentationDataset) -> str | None:
    """Return how the names of a model's classes contradict the data, ``None`` if they do not.

    Args:
        segmentor: the model.
        names: class names of the data, by class index.
        dataset: the data.

    Raises:
        UserError: the number of classes differs.
    """
    count = dataset.label_space.num_classes
    if segmentor.num_classes != count:
        raise UserError(
            f"the model has {segmentor.num_classes} classes and {dataset.name} has {count}; evaluate it on the data "
            "set whose classes it was trained on"
        )
    if segmentor.first_label not in (None, dataset.label_space.first_label):
        return (
            f"the model was trained on label files whose first class has the value {segmentor.first_label} "
            f"(reduce_zero_label), and in those of {dataset.name} it has {dataset.label_space.first_label}; if class 0 "
            "of the model is the first class of the data all the same"
        )
    # not strict: the names of a model may not be known
    pairs = zip(segmentor.class_names, names, strict=False)
    wrong = [(index, *pair) for index, pair in enumerate(pairs) if not _is_same_name(*pair)]
    if not wrong:
        return None
    index, theirs, ours = wrong[0]
    return (
        f"class {index} of the model is {theirs!r} and that of {dataset.name} is {ours!r} ({len(wrong)} of {count} "
        "names differ); if they mean the same in the same order"
    )


def _is_same_name(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()
