"""How a tracking protocol is planned and carried out: train on pairs, take the last weights, track every sequence."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from backbones.create import create_backbone
from backbones.weights import RANDOM
from engine.config import load_protocol
from engine.device import agree, world
from engine.progress import say
from engine.seeding import mix, seed_all
from engine.task import DataReport, Outcome, Plan, Request, Task
from engine.training import Job, train
from foundation.errors import UnknownNameError
from foundation.suggest import did_you_mean
from results.records.record import LoadReport, Metric, Selection
from tracking.data.pair_dataset import PairIou, PairItems
from tracking.data.readers.sequence import Video
from tracking.deployment.load import exported_tracker, require_runtime
from tracking.inference.sequential import SequenceScore, score_all
from tracking.inference.test_set import track_set
from tracking.inference.tracker_factory import SavedTracker, TrackerMaker, build_model
from tracking.models.candidate_elimination import Elimination, keep_at
from tracking.models.compatibility import require_plain
from tracking.models.tracker_model import TrackerModel
from tracking.recipe import TrackingRecipe
from tracking.tasks import PROTOCOLS
from tracking.training_sets import fingerprints, training_sources

CONFIGS = Path(__file__).parent / "configs"
STEPS = ("train on pairs", "take the last weights", "track the test sequences", "score them")
VAL_SEED = 20_001
"""Of the pairs that are watched while training; the same in every run."""


def resolve(request: Request, data: DataReport) -> Plan:
    """The plan of a request by ``configs/<protocol>.py``.

    Raises:
        ConfigError: settings that do not hold.
        UserError: the backbone cannot be a one-stream tracker.
        DataError: a training set is missing.
    """
    protocol = load_protocol(CONFIGS / f"{request.protocol}.py", TrackingRecipe, request.tier, request.overrides)
    recipe = protocol.recipe
    require_runtime(recipe.runtime, recipe.runtime_precision)
    arguments: dict[str, Any] = {"num_classes": 0, "drop_path_rate": recipe.drop_path}
    trunk = create_backbone(request.card, checkpoint=RANDOM, **arguments).model
    require_plain(trunk, recipe.template_size, recipe.search_size)
    return Plan(
        protocol_version=protocol.version,
        config={"recipe": recipe.identity(), "training_data": fingerprints(recipe, request.data_root)},
        neutral=recipe.neutral(),
        arguments=arguments,
        expected=data.splits["test"],
        steps=STEPS,
    )


def tracker_recipe(protocol: str, overrides: Sequence[str] = ()) -> TrackingRecipe:
    """The settings of a protocol in full, without a run.

    Raises:
        UnknownNameError: no such protocol.
        ConfigError: settings that do not hold.
    """
    if protocol not in PROTOCOLS:
        close = did_you_mean(protocol, PROTOCOLS, hint=f"there are {', '.join(PROTOCOLS)}")
        raise UnknownNameError(f"tracking has no protocol {protocol!r}{close}")
    return load_protocol(CONFIGS / f"{protocol}.py", TrackingRecipe, "full", overrides).recipe


def carry_out(request: Request, plan: Plan, videos: Sequence[Video], out: Path, task: Task) -> Outcome:
    """Train in ``out`` and track ``videos``; goes on from what is there.

    Raises:
        DataError: a frame cannot be read.
        BenchError: the run failed; the sentence says why.
    """
    recipe = TrackingRecipe.model_validate({**plan.config["recipe"], **plan.neutral})
    seed_all(mix(request.seed, 0))  # the head's (and a random backbone's) initial weights
    checkpoint = str(request.start.file) if request.start.file else RANDOM
    created = create_backbone(
        request.card, checkpoint=checkpoint, allow_partial=request.allow_partial, **plan.arguments
    )
    model = build_model(created.model, request.card, recipe)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    sources = training_sources(recipe, request.data_root)
    label = f"{task.name} {request.card.name} seed {request.seed}"
    trained = train(
        Job(
            label=label,
            folder=out,
            model=model,
            train=PairItems(sources, recipe.pairs),
            val=PairItems(sources, recipe.val_pairs, VAL_SEED),
            test=None,
            metric=PairIou,
            select="pairs/iou",
            unit="%",
            higher_is_better=True,
            recipe=recipe,
            seed=request.seed,
            device=request.device,
            choose=False,
            hooks=(EliminationHook(model, recipe.eliminate, recipe.by_epoch),),
        )
    )
    began = time.monotonic()
    make = _maker(request, plan, recipe, model, trained.weights, out)
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
        speed = track_set(make, videos, out / "tracked", label, recipe.ways())
    scores = score_all(videos, out / "tracked")
    bad = int(model.skipped)
    return Outcome(
        metrics=_metrics(scores, task, bad if recipe.skip_bad else None),
        columns=SequenceScore._fields,
        items=scores,
        selection=Selection(
            split="none",
            metric="AUC",
            candidates=1,
            chosen=f"the last weights, after {recipe.length} {'epochs' if recipe.by_epoch else 'iterations'}",
        ),
        load_report=LoadReport(**asdict(created.report)) if created.report else None,
        checkpoint_format=created.file.format if created.file else None,
        parameters=parameters,
        phases={"train_and_validate": trained.seconds, "track": time.monotonic() - began},
        details={"speed": speed},
    )


def _maker(
    request: Request, plan: Plan, recipe: TrackingRecipe, model: TrackerModel, weights: Path, out: Path
) -> TrackerMaker:
    """The trained tracker behind the recipe's runtime; where it needs an export, the first process makes it."""
    if recipe.runtime == "torch":
        return SavedTracker(request.card.name, plan.arguments, recipe, weights, request.device)
    from tracking.deployment.export import ensure_export  # it reads finished runs, and so imports this module

    sizes, runtime, precision = recipe.crop_sizes(), recipe.runtime, recipe.runtime_precision
    folder = agree(lambda: ensure_export(out, model, sizes, runtime, precision))
    return exported_tracker(folder, runtime, precision, threads=1)


def _metrics(scores: Sequence[SequenceScore], task: Task, bad: int | None) -> dict[str, Metric]:
    metrics = {}
    for spec in task.metrics:
        mean = sum(getattr(score, spec.name) for score in scores) / len(scores)
        metrics[spec.name] = Metric(value=mean, unit=spec.unit, higher_is_better=spec.higher_is_better, n=len(scores))
    if bad is not None:
        if world()[0] == 0:
            say(f"{bad} frames could not be read in training and were passed over; the record counts them")
        metrics["bad_frames"] = Metric(value=float(bad), unit="frames", higher_is_better=False, n=len(scores))
    return metrics


class EliminationHook(Hook):
    """Tells the model what share of the search tokens training keeps."""

    def __init__(self, model: TrackerModel, setting: Elimination, by_epoch: bool) -> None:
        self.model, self.setting, self.by_epoch = model, setting, by_epoch

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """By the epoch or iteration."""
        self.model.training_keep = keep_at(self.setting, runner.epoch if self.by_epoch else runner.iter)
