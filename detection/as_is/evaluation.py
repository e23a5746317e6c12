"""Evaluate a finished detector on the test split of a task."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployment.export_folder import EXPORT_FOLDER
from detection.as_is.finished_detector import FinishedDetector
from detection.as_is.run_source import open_run_detector
from detection.as_is.settings import DetectionSettings, parse_settings
from detection.data.dataset import DetectionTestDataset
from detection.data.ground_truth import Category, DetectionDataset
from detection.data.item_limits import limit_dataset
from detection.deployment.runtime import mark_runtime, measure_detector_cost, put_in_runtime
from detection.evaluation import DetectionMetric
from detection.run import count_detector_cost
from detection.scored_run import describe_scores, make_metric_values
from detection.scoring.detection_files import DETECTIONS_FILE
from detection.scoring.image_scores import ImageScores
from engine.data.item_limits import limit_report
from engine.determinism import make_deterministic
from engine.device import translate_oom_error
from engine.evaluation.contract import AS_IS_VERSION, Evaluation
from engine.evaluation.model_source import ModelSource
from engine.evaluation.network_device import resolve_network_device
from engine.progress_bar import ProgressBar, log_message
from engine.task import RunPlan, TaskOutcome
from foundation.errors import UserError
from results.records.measurements import EfficiencyRecord
from results.records.record import ModelSelection

if TYPE_CHECKING:
    from detection.tasks import DetectionTask


@dataclass(frozen=True)
class DetectionEvaluation(Evaluation):
    """A finished detector, opened on the test split of a task.

    Attributes:
        detector: the model.
        dataset: the test images and their objects.
        root: folder of the data sets.
        tested: what ``run`` tested: the model, in its runtime.
    """

    detector: FinishedDetector
    dataset: DetectionDataset
    root: Path
    tested: list[FinishedDetector] = field(default_factory=list)

    def run(self, out: Path) -> TaskOutcome:
        """Detect in every test image and score the detections as a run does.

        Args:
            out: detections, matches and exported graphs are written here.

        Raises:
            NonFiniteError: an output of the network is not finite.
            DataError: an image cannot be read.
        """
        # a run's test is deterministic, too
        make_deterministic()
        split = self.dataset.splits["test"]
        detector = put_in_runtime(self.detector, out / EXPORT_FOLDER)
        self.tested.append(detector)
        # masks count where both sides have them
        scored = replace(self.dataset, has_masks=self.dataset.has_masks and detector.has_masks)
        metric = DetectionMetric(split, scored.categories, scored.has_masks, out / DETECTIONS_FILE)
        images = DetectionTestDataset(split, detector.size)
        began = time.monotonic()
        with translate_oom_error(), ProgressBar(f"{self.task.name} {self.backbone.name}", "images", len(split)) as bar:
            for item in range(len(images)):
                metric.process(None, [detector.detect(images[item])])
                bar.advance(num_items=1)
        # without mmengine's Runner: there is one process, and a device besides the CPU and CUDA works too
        values = metric.compute_metrics(metric.results)
        seconds = time.monotonic() - began
        cost = count_detector_cost(detector.model, detector.size)
        details: dict[str, Any] = {
            "test_mode": detector.test_mode,
            **describe_scores(scored, metric, out),
            "backbone_alone": {"img_size": detector.size, **cost.backbone},
            "whole_model": {"img_size": detector.size, **cost.whole_model},
            "data_root": str(self.root.resolve()),
            **detector.exports,
        }
        return TaskOutcome(
            metrics=make_metric_values(self.task, values, len(split)),
            item_columns=ImageScores._fields,
            item_rows=metric.image_scores,
            selection=ModelSelection(split="none", metric="box_AP", candidates=1, chosen="the model as it is"),
            load_report=None,
            checkpoint_format=self.backbone.checkpoint.format if self.backbone.checkpoint else None,
            parameters=cost.whole_model["parameters"],
            phase_seconds={"test": seconds},
            details=details,
        )

    def measure_cost(self) -> EfficiencyRecord | None:
        """Count and time the whole model with one image: backbone, pyramid and heads.

        The heads see as many regions as the settings keep, whatever an image holds; choosing boxes is not timed.
        """
        try:
            # the export that was tested is timed
            measured = measure_detector_cost(self.tested[-1] if self.tested else self.detector, self.device)
            return EfficiencyRecord.model_validate(measured)
        # a model may raise anything while it is timed; its score does not depend on that
        except (RuntimeError, ValueError, TypeError, NotImplementedError, UserError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            log_message(f"the cost of {self.backbone.name} was not measured: {reason}")
            return None


def open_detection_evaluation(task: DetectionTask, source: ModelSource, root: Path) -> DetectionEvaluation:
    """Open a finished detector on the test split of a task.

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
    data = task.check_test_data(root)
    limit = settings.max_items if settings.max_items and settings.max_items < data.splits["test"] else None
    dataset = limit_dataset(task.find_dataset(root, test_only=True), limit)
    detector = open_detector(source, settings, device)
    fault = find_class_fault(detector, dataset.categories, dataset.name)
    if fault is not None and settings.classes == "check":
        raise UserError(f"{fault}, add --set classes=ignore")
    record = detector.record
    if fault is not None:
        # the number rests on the user's word that the classes are the same, so the record must say it
        record = record.model_copy(update={"arguments": {**record.arguments, "classes": "other names, ignored"}})
    return DetectionEvaluation(
        task=task,
        backbone=record,
        data=limit_report(data, limit),
        plan=_make_plan(dataset, limit),
        device=device,
        detector=detector,
        dataset=dataset,
        root=root,
    )


def open_detector(source: ModelSource, settings: DetectionSettings, device: str) -> FinishedDetector:
    """Open a finished detector.

    Args:
        source: a run, or a checkpoint in its folder.
        settings: how it is applied.
        device: where it is computed.

    Raises:
        UserError: the model cannot be opened.
    """
    return mark_runtime(open_run_detector(source, settings, device), source)


def _make_plan(dataset: DetectionDataset, limit: int | None) -> RunPlan:
    # what all models of a board share; how this one is applied stands in the arguments of the backbone
    recipe: dict[str, Any] = {"classes": len(dataset.categories)}
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


def find_class_fault(detector: FinishedDetector, categories: Sequence[Category], data_name: str) -> str | None:
    """Return how the names of a detector's classes contradict the data, ``None`` if they do not.

    Args:
        detector: the model.
        categories: the classes of the data.
        data_name: name of the data set, for messages.

    Raises:
        UserError: the number of classes differs.
    """
    if detector.num_classes != len(categories):
        raise UserError(
            f"the model has {detector.num_classes} classes and {data_name} has {len(categories)}; evaluate it on the "
            "data set whose classes it was trained on"
        )
    # not strict: the names of a model may not be known
    pairs = zip(detector.categories, categories, strict=False)
    wrong = [(index, a.name, b.name) for index, (a, b) in enumerate(pairs) if not _is_same_name(a.name, b.name)]
    if not wrong:
        return None
    index, theirs, ours = wrong[0]
    return (
        f"class {index} of the model is {theirs!r} and that of {data_name} is {ours!r} ({len(wrong)} of "
        f"{len(categories)} names differ); if they mean the same in the same order"
    )


def _is_same_name(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()
