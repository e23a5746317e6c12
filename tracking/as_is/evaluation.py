"""Evaluate a finished tracker on the test sequences of a task: track, write result files, score, and time it."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from engine.data.item_limits import limit_report
from engine.evaluation.contract import Evaluation
from engine.evaluation.model_source import ModelSource
from engine.evaluation.network_device import resolve_network_device
from engine.task import RunPlan, TaskOutcome
from foundation.errors import UserError
from results.records.measurements import EfficiencyRecord
from results.records.record import ARTIFACT_BYTES, BackboneRecord, ModelSelection
from tracking.as_is.field_results import write_field_results
from tracking.as_is.finished_tracker import FinishedTracker, open_tracker
from tracking.as_is.measure_tracker import measure_tracker
from tracking.as_is.runtime_tracker import make_tracker_factory
from tracking.as_is.scoring import score_videos
from tracking.as_is.settings import EvaluationSettings, read_settings
from tracking.data.readers.sequence import Video, limit_videos
from tracking.deployment.load import ExportedTrackerFactory, require_tracker_runtime
from tracking.inference.test_set import track_test_set
from tracking.inference.tracker_factory import TrackerFactory
from tracking.scoring.rules import LASOT_OFFICIAL

if TYPE_CHECKING:
    from tracking.tasks import TrackingTask

RESULTS_FOLDER, FIELD_RESULTS_FOLDER = "tracked", "results_ostrack"
STEPS = ("track the test sequences", "score them")


@dataclass(frozen=True)
class TrackingEvaluation(Evaluation):
    """A finished tracker on the test sequences of a task.

    Attributes:
        task: the task, which has the rules.
        tracker: the tracker.
        videos: the sequences that are tracked.
        source: names runtime and precision.
        settings: the user's settings.
        used_factories: the factory that the run used, once it has.
    """

    task: TrackingTask
    tracker: FinishedTracker
    videos: Sequence[Video]
    source: ModelSource
    settings: EvaluationSettings
    used_factories: list[TrackerFactory] = field(default_factory=list, compare=False)

    def run(self, out: Path) -> TaskOutcome:
        """Track and score every sequence; continues from what is already there.

        Args:
            out: folder of the evaluation.

        Raises:
            DataError: a frame cannot be read.
            BenchError: a process failed, or the exported network does not compute what PyTorch computes.
            UserError: the ground truth of the set is on a server.
        """
        if self.task.needs_server:
            raise UserError(
                f"the ground truth of {self.task.name} is on a server, so there is no number here; "
                "write_submission tracks it and writes the archive for the server"
            )
        folder, began = out / RESULTS_FOLDER, time.monotonic()
        speed = self.track(out)
        write_field_results(self.task.name, self.videos, folder, out / FIELD_RESULTS_FOLDER)
        tracked = time.monotonic()
        scored = score_videos(self.task, self.videos, folder)
        return TaskOutcome(
            metrics=scored.metrics,
            item_columns=scored.columns,
            item_rows=scored.rows,
            selection=ModelSelection(
                split="none", metric=self.task.metrics[0].name, candidates=1, chosen="the finished tracker"
            ),
            load_report=self.tracker.report,
            checkpoint_format=self.tracker.checkpoint_format,
            parameters=self.tracker.parameters,
            phase_seconds={"track": tracked - began, "score": time.monotonic() - tracked},
            details={"speed": speed, **self._describe_export()},
        )

    def _describe_export(self) -> dict[str, object]:
        """Return what a record keeps of the export that tracked; nothing for PyTorch."""
        factory = self.used_factories[0]
        if not isinstance(factory, ExportedTrackerFactory):
            return {}
        manifest = factory.manifest
        return {
            "export": manifest.model_dump(mode="json", include={"files", "parity", "calibration"}),
            ARTIFACT_BYTES: sum((factory.folder / name).stat().st_size for name in manifest.files),
        }

    def track(self, out: Path) -> dict[str, object]:
        """Track every sequence into the folder of the evaluation, and return how and how fast.

        Args:
            out: folder of the evaluation.

        Raises:
            BenchError: see ``run``.
        """
        factory = make_tracker_factory(self.tracker, self.source.runtime, self.source.precision, self.task.name, out)
        # what is timed afterwards is what tracked
        self.used_factories[:] = [factory]
        label = f"{self.task.name} {self.backbone.name}"
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
            return track_test_set(factory, self.videos, out / RESULTS_FOLDER, label, self.settings.tracking_options())

    def measure_cost(self) -> EfficiencyRecord | None:
        """Measure the cost of one frame: the whole network, in its runtime and precision."""
        # before the run there may be no export to time
        if not self.used_factories:
            return None
        model, sizes = self.tracker.factory.load_model(), self.tracker.recipe.crop_sizes()
        return measure_tracker(model, sizes, self.used_factories[0], self.device)


def open_tracking_evaluation(task: TrackingTask, source: ModelSource, root: Path) -> TrackingEvaluation:
    """Open a finished tracker on the test sequences of a task.

    Args:
        task: the task.
        source: the finished model, and how it is applied.
        root: the data root.

    Raises:
        UserError: the source is no finished tracker, or a setting or the runtime does not fit.
        DataError: the sequences are missing or damaged.
    """
    # what costs nothing is checked first: the weights and the sequences take longer to read
    source.require_one_place()
    settings = read_settings(source.overrides)
    require_tracker_runtime(source.runtime, source.precision)
    device = resolve_network_device(source)
    tracker = open_tracker(source, settings, device)
    data, whole = task.check_data(root), task.read_test_videos(root)
    limits = _find_effective_limits(settings, whole)
    videos = limit_videos(whole, limits)
    return TrackingEvaluation(
        task=task,
        backbone=_add_runtime(tracker, source),
        data=limit_report(data, limits.get("max_items")),
        plan=RunPlan(
            protocol_version=1,
            # what all trackers of a board share; what belongs to one of them is in the backbone's arguments
            config={"recipe": {"rules": _name_rules(task), **limits}},
            non_identity_settings={
                "track_processes": settings.track_processes,
                "track_batch": settings.track_batch,
            },
            backbone_kwargs={},  # nothing is created from them: the factory of the tracker does it
            num_expected_items=len(videos),
            steps=STEPS,
            notes=tracker.notes,
        ),
        device=device,
        tracker=tracker,
        videos=videos,
        source=source,
        settings=settings,
    )


def _name_rules(task: TrackingTask) -> str:
    """Return by which rules the boxes are scored."""
    # LaSOT's rules would be a wrong sentence in the dry run of a set that nobody scores here
    if task.needs_server:
        return "those of its server"
    return (task.get_rules() or LASOT_OFFICIAL).name


def _find_effective_limits(settings: EvaluationSettings, videos: Sequence[Video]) -> dict[str, int]:
    """Return the limits that leave something out; the others change nothing, so they must not change an id."""
    limits = settings.limits()
    # a limit of twelve sequences of twelve is the complete set
    if len(videos) <= limits.get("max_items", len(videos)):
        limits.pop("max_items", None)
    longest = max(len(video.frames) for video in videos)
    if longest <= limits.get("max_frames", longest):
        limits.pop("max_frames", None)
    return limits


def _add_runtime(tracker: FinishedTracker, source: ModelSource) -> BackboneRecord:
    """Return the description of a tracker with its runtime and precision, if they are not torch in f32."""
    if source.runtime == "torch":
        return tracker.backbone
    # a neutral default is left out, so that ids do not depend on settings that came later
    arguments = {**tracker.backbone.arguments, "runtime": source.runtime, "precision": source.precision}
    return tracker.backbone.model_copy(update={"arguments": arguments})
