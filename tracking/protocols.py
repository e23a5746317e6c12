"""Plan and run a tracking protocol: train on pairs, take the last weights, track every test sequence and score it."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from backbones.norm_place import place_pooled_norm
from backbones.registry import get_card
from engine.config import load_protocol
from engine.data.item_limits import apply_item_limit
from engine.device import decide_on_rank0, get_dist_info
from engine.lr_schedule import count_steps_per_epoch, list_schedule_fixes
from engine.progress_bar import log_message
from engine.task import DataReport, RunPlan, RunRequest, Task, TaskOutcome
from engine.training import TrainingJob, train_model
from engine.training_checks.norm_groups import require_whole_groups
from foundation.errors import UnknownNameError
from foundation.suggest import did_you_mean
from results.records.record import MetricValue, ModelSelection
from tracking.configs import TRACKING_PROTOCOLS
from tracking.data.pair_dataset import PairDataset, PairIouMetric, WeightedPairSampler
from tracking.data.readers.sequence import Video
from tracking.deployment.export import ensure_export
from tracking.deployment.load import find_exported_tracker, require_tracker_runtime
from tracking.fit_crops import fit_crop_sizes
from tracking.inference.sequential import SequenceMetrics, average_sequences, score_result_files
from tracking.inference.test_set import track_test_set
from tracking.inference.tracker_factory import (
    GIVEN_NORMALIZATION,
    Normalization,
    TorchTrackerFactory,
    TrackerFactory,
    build_tracker_model,
)
from tracking.models.candidate_elimination import CandidateElimination, compute_keep_ratio
from tracking.models.compatibility import require_plain_vit
from tracking.models.group_batch_norm import GroupStatisticsHook
from tracking.models.norm_groups import PAIR_WORDS
from tracking.models.tracker_model import TrackerModel
from tracking.preview_hook import PreviewHook
from tracking.recipe import TrackingRecipe
from tracking.training_sets import fingerprint_training_sets, list_missing_training, make_pair_samplers

CONFIGS = Path(__file__).parent / "configs"
STEPS = ("train on pairs", "take the last weights", "track the test sequences", "score them")
VAL_PAIRS_SEED = 20_001
"""Seed of the pairs that are evaluated during training. It is the same in every run, so that curves are comparable."""


def resolve_protocol(request: RunRequest, data: DataReport, read_videos: Callable[[], Sequence[Video]]) -> RunPlan:
    """Resolve ``configs/<protocol>.py`` for a request and check that the run is possible.

    Args:
        request: the requested run: backbone, protocol, tier, overrides and data root.
        data: the report on the test sequences.
        read_videos: reads these; called only where the tier limits their frames.

    Returns:
        The plan. Its ``config`` holds the settings and the fingerprints of the training sets.

    Raises:
        ConfigError: a setting is not valid, or pieces or processes would tear apart what is normalized together.
        UserError: the backbone does not fit into a one-stream tracker, or the runtime or its precision is missing.
        DataError: a training set is missing.
    """
    protocol = load_protocol(CONFIGS / f"{request.protocol}.py", TrackingRecipe, request.tier, request.overrides)
    recipe, data = apply_item_limit(protocol.recipe, data)
    if recipe.max_frames is not None and all(len(video.frames) <= recipe.max_frames for video in read_videos()):
        recipe = recipe.model_copy(update={"max_frames": None})  # as apply_item_limit does
    # checked now, because a missing runtime would otherwise stop the run only after the training
    require_tracker_runtime(recipe.runtime, recipe.runtime_precision)
    processes = get_dist_info()[1]
    require_whole_groups(recipe, recipe.norm_group, recipe.pairs, processes, PAIR_WORDS)
    # the tracker applies the norm that the weights have
    arguments = place_pooled_norm(request.card, request.start, {"num_classes": 0, "drop_path_rate": recipe.drop_path})
    backbone = request.prepare_backbone(arguments).model
    recipe, file_settings, notes = fit_crop_sizes(recipe, backbone, request.overrides)
    require_plain_vit(backbone, recipe.template_size, recipe.search_size)
    fixes = list_schedule_fixes(recipe, count_steps_per_epoch(recipe, recipe.pairs))
    return RunPlan(
        protocol_version=protocol.version,
        config={
            "recipe": recipe.identity_settings(),
            # other training pairs give another number, so the content of the training sets is part of the identity
            "training_data": fingerprint_training_sets(recipe, request.data_root),
            **({"fixes": fixes} if fixes else {}),
        },
        non_identity_settings=recipe.non_identity_settings(),
        backbone_kwargs=arguments,
        num_expected_items=data.splits["test"],
        steps=STEPS,
        file_settings=file_settings,
        notes=(*notes, *list_missing_training(recipe, request.data_root)),
        **protocol.plan_fields,
        # of the row and not of the board: trackers with other input are compared
        loading_fixes=(GIVEN_NORMALIZATION,) if find_given_normalization(request) is not None else (),
    )


def load_protocol_recipe(protocol: str, overrides: Sequence[str] = ()) -> TrackingRecipe:
    """Load the settings of a protocol at the tier ``full``, without planning a run.

    Args:
        protocol: name of the protocol, one of ``TRACKING_PROTOCOLS``.
        overrides: changes as ``key=value``, as ``--set`` takes them.

    Raises:
        UnknownNameError: there is no such protocol.
        ConfigError: a setting is not valid.
    """
    # load_protocol would report a missing file; a typing error deserves a suggestion
    if protocol not in TRACKING_PROTOCOLS:
        close = did_you_mean(protocol, TRACKING_PROTOCOLS, hint=f"there are {', '.join(TRACKING_PROTOCOLS)}")
        raise UnknownNameError(f"tracking has no protocol {protocol!r}{close}")
    return load_protocol(CONFIGS / f"{protocol}.py", TrackingRecipe, "full", overrides).recipe


def run_protocol(
    request: RunRequest,
    plan: RunPlan,
    videos: Sequence[Video],
    out: Path,
    task: Task,
    make_samplers: Callable[[TrackingRecipe, Path], list[WeightedPairSampler]] = make_pair_samplers,
) -> TaskOutcome:
    """Carry out the plan of a request in the folder ``out``: train a tracker, then track and score the test sequences.

    Training and tracking continue from what is already there. ``task`` names the metrics, and ``make_samplers`` makes
    the samplers of training pairs; negative controls draw other pairs.

    Raises:
        BenchError: the run failed, for example because a frame cannot be read; the message says why.
    """
    # from the plan and not from the protocol's file: the run's identity was computed from the plan
    recipe = TrackingRecipe.model_validate({**plan.config["recipe"], **plan.non_identity_settings})
    # it also seeds all generators, from which the head below gets its initial weights
    created = request.build_backbone(plan.backbone_kwargs)
    model = build_tracker_model(created.model, request.card, recipe)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    label = f"{task.name} {request.card.name} seed {request.seed}"
    trained = train_model(_make_job(request, recipe, model, label, out, make_samplers(recipe, request.data_root)))
    began = time.monotonic()
    make = _make_tracker_factory(request, plan, recipe, model, trained.weights_path, out)
    options = recipe.tracking_options()
    if request.start.init == "memory":  # the classes of such a module may exist in this process only
        options = options._replace(num_processes=1)
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
        speed = track_test_set(make, videos, out / "tracked", label, options)
    scores = score_result_files(videos, out / "tracked")
    bad = int(model.skipped)
    return TaskOutcome(
        metrics=_mean_metrics(scores, task, bad if recipe.skip_unreadable else None),
        item_columns=SequenceMetrics._fields,
        item_rows=scores,
        selection=ModelSelection(
            split="none",
            metric="AUC",
            candidates=1,
            chosen=f"the last weights, after {recipe.length} {'epochs' if recipe.by_epoch else 'iterations'}",
        ),
        load_report=created.load_report,
        checkpoint_format=created.weight_file.format if created.weight_file else None,
        parameters=parameters,
        phase_seconds={"train_and_validate": trained.seconds, "track": time.monotonic() - began},
        details={"speed": speed},
    )


def _make_job(
    request: RunRequest,
    recipe: TrackingRecipe,
    model: TrackerModel,
    label: str,
    out: Path,
    sources: list[WeightedPairSampler],
) -> TrainingJob:
    """Return the training of a tracker; nothing is selected by its validation pairs."""
    return TrainingJob(
        label=label,
        folder=out,
        model=model,
        train_dataset=PairDataset(sources, recipe.pairs),
        val_dataset=PairDataset(sources, recipe.val_pairs, VAL_PAIRS_SEED),
        test_dataset=None,
        build_metric=PairIouMetric,
        selection_metric="pairs/iou",
        metric_unit="%",
        higher_is_better=True,
        recipe=recipe,
        seed=request.seed,
        device=request.device,
        select_best=False,
        hooks=(
            CandidateEliminationHook(model, recipe.ce, recipe.by_epoch),
            GroupStatisticsHook(model),
            PreviewHook(out, recipe.crop_sizes()),
        ),
        run_id=request.run_id,
        norm_group=recipe.norm_group,
    )


def _make_tracker_factory(
    request: RunRequest, plan: RunPlan, recipe: TrackingRecipe, model: TrackerModel, weights: Path, out: Path
) -> TrackerFactory:
    """Return a factory of the trained tracker for the recipe's runtime, after an export if the runtime needs one."""
    if recipe.runtime == "torch":
        memory = (request.card, request.start) if request.start.init == "memory" else None
        return TorchTrackerFactory(
            request.card.name,
            plan.backbone_kwargs,
            recipe,
            weights,
            request.device,
            memory_backbone=memory,
            normalization=find_given_normalization(request),
        )
    sizes, runtime, precision = recipe.crop_sizes(), recipe.runtime, recipe.runtime_precision
    # only the first process exports; the others wait for it and read the same files
    folder = decide_on_rank0(lambda: ensure_export(out, model, sizes, runtime, precision))
    return find_exported_tracker(folder, runtime, precision, threads=1)


def find_given_normalization(request: RunRequest) -> Normalization | None:
    """Return mean and standard deviation of a run, if they are not those of the registry's card.

    Args:
        request: the requested run.
    """
    card = request.card
    if request.start.init == "memory":  # the tracker gets its card itself
        return None
    try:
        own = get_card(card.name)
    except UnknownNameError:  # of no registry: such a tracker cannot be created again, which its factory reports
        return None
    return None if (own.mean, own.std) == (card.mean, card.std) else (card.mean, card.std)


def _mean_metrics(scores: Sequence[SequenceMetrics], task: Task, bad_frames: int | None) -> dict[str, MetricValue]:
    """Return the mean of each metric over the sequences, and the number of unreadable frames if they were counted.

    Args:
        scores: one row per sequence, in percent.
        task: names the metrics.
        bad_frames: number of frames that could not be read in training; ``None`` if such a frame stops the run.
    """
    metrics = average_sequences(scores, task.metrics)
    if bad_frames is not None:
        if get_dist_info()[0] == 0:
            log_message(f"{bad_frames} frames could not be read in training and were skipped; the record counts them")
        metrics["bad_frames"] = MetricValue(
            value=float(bad_frames), unit="frames", higher_is_better=False, n=len(scores)
        )
    return metrics


class CandidateEliminationHook(Hook):
    """Set the fraction of search tokens that the model keeps in training, before every iteration.

    Args:
        model: the tracker's network.
        settings: schedule of the candidate elimination.
        by_epoch: whether the schedule counts epochs; iterations otherwise.
    """

    def __init__(self, model: TrackerModel, settings: CandidateElimination, by_epoch: bool) -> None:
        self.model, self.settings, self.by_epoch = model, settings, by_epoch

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Set the fraction for the current epoch or iteration.

        Args:
            runner: mmengine's runner, which counts epochs and iterations.
            batch_idx: index of the batch in the epoch; not used.
            data_batch: the batch; not used.
        """
        # the schedule counts epochs or iterations; setting it before every iteration serves both
        self.model.train_keep_ratio = compute_keep_ratio(self.settings, runner.epoch if self.by_epoch else runner.iter)
