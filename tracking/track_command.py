"""Carry out ``bench track``: from a request to a folder of results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from deployment.formats import FORMAT_BY_RUNTIME, ExportRuntime
from deployment.manifest import ExportOrigin, make_export_origin
from engine.device import describe_device, resolve_device
from engine.evaluation.model_source import ModelSource, Precision
from engine.evaluation.network_device import resolve_network_device
from engine.progress_bar import log_message
from engine.run_environment import collect_package_versions, utc_now
from foundation.errors import BenchError, UserError
from foundation.files import ensure_writable_dir, sha256_file
from foundation.plural import format_count
from foundation.storage.leftovers import open_scratch_folder
from results.records.store import claim_attempt_folder, read_record
from tracking.as_is.runtime_tracker import make_file_origin
from tracking.correlation.shipped import load_shipped_tracker, read_tracker_card
from tracking.data.pair import CropSizes
from tracking.deployment.export import export_model
from tracking.deployment.load import find_exported_tracker, require_tracker_runtime
from tracking.evaluate_run import load_tracker
from tracking.inference.backend import TorchNetwork
from tracking.inference.run_files import load_recipe, load_torch_factory
from tracking.inference.tracker import Tracker
from tracking.models.tracker_model import TrackerModel
from tracking.ostrack_checkpoint import load_ostrack_model
from tracking.ostrack_settings import describe_tracker, find_matching_protocol
from tracking.video.fastest_runtime import choose_runtime, has_usable_export
from tracking.video.first_boxes import resolve_starts
from tracking.video.frame_source import open_frame_source, to_opencv_path
from tracking.video.lost_target import LOST_THRESHOLD
from tracking.video.request import TrackVideoRequest
from tracking.video.track_summary import (
    is_partial_result,
    list_described_targets,
    list_result_files,
    make_track_summary,
    write_track_summary,
)
from tracking.video.track_video import track_targets

LARGER_TRACKER = (
    "a larger one (AUC about 65) takes one command and 45 minutes on one core: bench run mini_lasot --backbone "
    "deit_tiny (docs/guides/track-your-video.md)"
)

# next to the runs of tasks
DEFAULT_RESULTS_DIR = Path("runs") / "track"


@dataclass(frozen=True)
class TrackReport:
    """The result of ``bench track``.

    Attributes:
        folder: folder with the results.
        data: content of ``track.json``.
        interrupted: whether Ctrl-C ended tracking before the source did.
    """

    folder: Path
    data: dict[str, Any]
    interrupted: bool

    @property
    def text(self) -> str:
        """The report for the terminal."""
        data = self.data
        speed, targets = data["speed"], list_described_targets(data)
        followed = f", {format_count(len(targets), 'target')}" if len(targets) > 1 else ""
        partial = ", PARTIAL" if data["status"] == "partial" else ""
        lines = [f"{format_count(data['frames'], 'frame')} tracked{followed}{partial}"]
        if data["stopped"]:
            lines.append(data["stopped"])
        # a single frame gives no speed and no confidence
        if speed["network_frames_per_second"]:
            lines.append(
                f"{speed['end_to_end_frames_per_second']:.1f} frames/s end to end, "
                f"{speed['network_frames_per_second']:.1f} in the network alone ({data['runtime']}, "
                f"{data['precision']}, {data['device']}, {format_count(data['threads'], 'thread')})"
            )
            lines += [_describe_confidence(each, len(targets)) for each in targets]
        return "\n".join([*lines, *data["notes"], f"{self.folder}: {', '.join(list_result_files(data))}"])


class LoadedTracker(NamedTuple):
    """The tracker of a request.

    Attributes:
        tracker: the tracker.
        device: ``cpu``, ``cuda`` or ``mps``.
        facts: what the summary says about its weights.
    """

    tracker: Tracker
    device: str
    facts: dict[str, Any]


def run_track_command(request: TrackVideoRequest) -> TrackReport:
    """Follow the targets and write the results.

    Args:
        request: source, first boxes, tracker and options.

    Raises:
        UserError: settings contradict each other, or the source, a box or the weights cannot be used.
        DataError: a frame cannot be read; the results before it are kept and marked as partial.
        BenchError: the annotated video cannot be written.
    """
    is_named = request.run_dir is not None or request.checkpoint is not None
    default = LOST_THRESHOLD if is_named else read_tracker_card().lost_threshold
    thresholds = resolve_lost_thresholds(request.lost_thresholds, len(request.init_boxes) or 1, default)
    # the source and the box are checked before the weights, whose loading takes longer
    source = open_frame_source(request.source, request.start_frame, request.max_frames)
    choose = resolve_starts(request.init_boxes, thresholds, source)
    # before the user draws boxes, who would have drawn them for nothing if the weights do not load
    tracker, device, weights = load_requested_tracker(request, source.expected_frames)
    folder = choose_result_folder(request.out_dir, source.name)
    started = utc_now()
    try:
        found = track_targets(tracker, source, choose, folder, write_video=request.write_video)
    except BaseException:
        if not any(folder.iterdir()):
            folder.rmdir()  # an empty folder would only take the name of the next result
        raise
    more = {
        **weights,
        "runtime": tracker.network.runtime,
        "precision": tracker.network.precision,
        "device": describe_device(device),
        "threads": torch.get_num_threads(),
        "started": started,
        "finished": utc_now(),
        "packages": collect_package_versions(),
        "command": list(request.command_line),
    }
    data = make_track_summary(found, source, more)
    # before a failure is raised, so that the results so far are described
    write_track_summary(folder, data)
    if found.failure is not None:
        log_message(
            f"{format_count(found.num_frames, 'frame')} tracked before that are kept in {folder}, marked partial"
        )
        raise found.failure
    return TrackReport(folder, data, is_partial_result(found, source))


def resolve_lost_thresholds(
    requested: Sequence[float], num_targets: int, default: float = LOST_THRESHOLD
) -> list[float]:
    """Return the threshold of each target.

    Args:
        requested: none for the default, one for all targets, or one for each.
        num_targets: number of targets.
        default: that of the tracker.

    Raises:
        UserError: there are fewer or more, or one is not from 0 to below 1.
    """
    for threshold in requested:
        if not 0 <= threshold < 1:
            raise UserError(
                f"--lost-threshold {threshold:g} cannot be compared with a confidence; give a number from 0 (never "
                "lost) to below 1"
            )
    # the default is not written into the request, so that the request says what the user asked for
    if len(requested) <= 1:
        return [requested[0] if requested else default] * num_targets
    if len(requested) != num_targets:
        raise UserError(
            f"--lost-threshold is given {len(requested)} times for {format_count(num_targets, 'target')}; give it once "
            "for all of them, or once for each --init"
        )
    return list(requested)


def load_requested_tracker(request: TrackVideoRequest, num_frames: int | None) -> LoadedTracker:
    """Load the tracker of a request.

    Args:
        request: the request. Without a runtime it gets the fastest that is installed (``choose_runtime``), in f32,
            unless its run was itself tracked with another runtime than torch.
        num_frames: number of frames to track; ``None`` if unknown.

    Raises:
        UserError: both ``--run`` and ``--checkpoint`` are given, or the weights cannot be used.
        BenchError: the exported network of a checkpoint does not compute what PyTorch computes.
    """
    if request.run_dir is not None and request.checkpoint is not None:
        raise UserError(
            "give one trained tracker: --run FOLDER of a finished bench run, or --checkpoint FILE of OSTrack's code "
            "with --backbone NAME"
        )
    if request.run_dir is None and request.checkpoint is None:
        return _load_first_tracker(request)
    # a record names backbone and protocol; a checkpoint does not
    if request.run_dir is not None:
        if request.backbone or request.protocol:
            raise UserError("--run knows its backbone and protocol; leave --backbone and --protocol out")
        return _load_run_tracker(request, request.run_dir, num_frames)
    if not request.backbone:
        raise UserError("--checkpoint needs --backbone NAME, the plain ViT that was trained (OSTrack's is vit_base)")
    return _load_checkpoint_tracker(request, request.backbone, num_frames)


def _load_first_tracker(request: TrackVideoRequest) -> LoadedTracker:
    """Load the shipped tracker, and say what it is and how to get a larger one."""
    asked = {
        "--backbone": request.backbone,
        "--protocol": request.protocol,
        "--runtime": request.runtime,
        "--precision": request.precision,
    }
    if given := [name for name, value in asked.items() if value]:
        raise UserError(
            f"{' and '.join(given)} belong{'s' if len(given) == 1 else ''} to a tracker that you name; give --run "
            "FOLDER of a finished bench run, or --checkpoint FILE of OSTrack's code with --backbone NAME"
        )
    device, card = resolve_device(request.device), read_tracker_card()
    tracker = load_shipped_tracker(device)
    log_message(f"tracking with {card.name}, {card.summary}; {LARGER_TRACKER}")
    weights = {"shipped": card.name, "sha256": card.sha256}
    return LoadedTracker(tracker, device, {"weights": weights, "backbone": card.name, "protocol": None})


def _load_run_tracker(request: TrackVideoRequest, run_dir: Path, num_frames: int | None) -> LoadedTracker:
    """Load the tracker of a run."""
    record, recipe = read_record(run_dir), load_recipe(run_dir)
    facts: dict[str, Any] = {
        "weights": {"run": str(run_dir), "run_id": record.run_id},
        "backbone": record.backbone.name,
        "protocol": record.protocol,
    }
    if request.runtime or request.precision or recipe.runtime != "torch":
        # a run with an exported network computes on the CPU, and the summary must not name a GPU
        device = resolve_network_device(ModelSource(device=request.device, runtime=request.runtime or recipe.runtime))
        tracker = load_tracker(run_dir, device, runtime=request.runtime, precision=request.precision)
        return LoadedTracker(tracker, device, facts)
    device = resolve_device(request.device)
    runtime = choose_runtime(device, num_frames, run_dir)
    if runtime == "torch":
        return LoadedTracker(load_tracker(run_dir, device, runtime="torch"), device, facts)
    if has_usable_export(run_dir, runtime):
        try:
            return LoadedTracker(load_tracker(run_dir, device, runtime=runtime, precision="f32"), device, facts)
        except (BenchError, RuntimeError) as error:  # such as more threads than the runtime takes on this machine
            log_message(f"tracking with torch: {error}")
            return LoadedTracker(load_tracker(run_dir, device, runtime="torch"), device, facts)
    factory = load_torch_factory(run_dir)
    origin = make_export_origin(record, factory.weights_file)
    return _track_fastest(factory.load_model(), recipe.crop_sizes(), origin, runtime, facts)


def _load_checkpoint_tracker(request: TrackVideoRequest, backbone: str, num_frames: int | None) -> LoadedTracker:
    """Load the tracker of a checkpoint of OSTrack's code; for another runtime than torch it is exported first."""
    assert request.checkpoint is not None  # for the type checker
    is_chosen = request.runtime is None and request.precision is None
    runtime, precision = request.runtime or "torch", request.precision or "f32"
    # before the weights are loaded, which takes longer
    require_tracker_runtime(runtime, precision)
    device = resolve_network_device(ModelSource(device=request.device, runtime=runtime))
    model, recipe, report = load_ostrack_model(request.checkpoint, backbone, request.protocol)
    log_message(
        f"{request.checkpoint}: {report.matched} tensors loaded, {len(report.dropped)} not used; "
        + "; ".join(report.notes)
    )
    sha256 = sha256_file(request.checkpoint)
    facts: dict[str, Any] = {
        "weights": {
            "checkpoint": str(request.checkpoint),
            # a checkpoint has no id, so its content identifies it
            "sha256": sha256,
            "matched": report.matched,
            "dropped": report.dropped,
            "notes": report.notes,
        },
        "backbone": backbone,
        # the protocol whose crops and elimination these are; there may be none
        "protocol": request.protocol or find_matching_protocol(recipe),
        "tracker": describe_tracker(recipe),
    }
    sizes, origin = recipe.crop_sizes(), make_file_origin(backbone, "track", request.checkpoint, sha256)
    if is_chosen and (chosen := choose_runtime(device, num_frames)) != "torch":
        return _track_fastest(model, sizes, origin, chosen, facts)
    if runtime == "torch":
        return LoadedTracker(Tracker(TorchNetwork(model.to(device)), sizes, backbone), device, facts)
    return _export_and_load(model, sizes, origin, runtime, precision, facts)


def _track_fastest(
    model: TrackerModel, sizes: CropSizes, origin: ExportOrigin, runtime: ExportRuntime, facts: dict[str, Any]
) -> LoadedTracker:
    """Load a tracker in the runtime that was chosen for it; in PyTorch, if it has no form there."""
    try:
        return _export_and_load(model, sizes, origin, runtime, "f32", facts)
    # nobody asked for the export, so nobody is stopped by it; torch's exporter raises a RuntimeError
    except (BenchError, RuntimeError) as error:
        log_message(f"tracking with torch: {error}")
        return LoadedTracker(Tracker(TorchNetwork(model), sizes, origin.backbone), "cpu", facts)


def _export_and_load(
    model: TrackerModel,
    sizes: CropSizes,
    origin: ExportOrigin,
    runtime: ExportRuntime,
    precision: Precision,
    facts: dict[str, Any],
) -> LoadedTracker:
    """Export a tracker, and load it; the export is not kept."""
    # a graph in memory is all that tracking needs, and the file of a large ViT would stand beside every video
    with open_scratch_folder("track") as folder:
        made = export_model(model, sizes, origin, FORMAT_BY_RUNTIME[runtime], precision, folder)
        tracker = find_exported_tracker(made.folder, runtime, precision)()
    # as in the record of an evaluation: how far its boxes are from PyTorch's stands beside them
    export = made.manifest.model_dump(mode="json", include={"files", "parity", "calibration"})
    return LoadedTracker(tracker, "cpu", {**facts, "export": export})


def choose_result_folder(requested: Path | None, source_name: str) -> Path:
    """Return a folder for the results: the requested one if it is empty, else ``runs/track/<name>``, ``.2``, ``.3`` ...

    Args:
        requested: the requested folder, or ``None``.
        source_name: name of the source.

    Raises:
        UserError: the requested folder has files in it or cannot be written.
    """
    if requested is None:
        # a result is never overwritten
        folder = claim_attempt_folder(DEFAULT_RESULTS_DIR, source_name)
    else:
        folder = requested
        to_opencv_path(folder)  # refuses a name that OpenCV cannot write a video to
        if folder.is_dir() and any(folder.iterdir()):
            raise UserError(f"{folder} has files in it already; name another folder with --out, or remove it")
    ensure_writable_dir(folder)
    return folder


def _describe_confidence(target: dict[str, Any], num_targets: int) -> str:
    """Return the confidence of a target in words, with its spans of low confidence, at most eight of them."""
    confidence = target["confidence"]
    spans = confidence["low_spans"]
    if spans:
        # a long video can have hundreds; all are in track.json
        shown = ", ".join(f"{span['first']}-{span['last']}" for span in spans[:8])
        more = f" and {len(spans) - 8} more" if len(spans) > 8 else ""
        low = f"below {confidence['low']:g} in frames {shown}{more} (from 0): the target may be lost there"
    else:
        low = f"nowhere below {confidence['low']:g} for {confidence['patience']} frames"
    name = f"target {target['number']}, " if num_targets > 1 else ""
    return f"{name}confidence: mean {confidence['mean']:.2f}, lowest {confidence['lowest']:.2f}; {low}"
