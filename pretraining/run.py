"""Pre-train on the shared engine: the method, its loader, curve, export and pictures."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from mmengine.evaluator import BaseMetric
from torch.utils.data import default_collate

from backbones.create import Created, create_backbone
from backbones.weights import RANDOM
from engine.checkpoints import load_safely
from engine.device import agree
from engine.seeding import mix, seed_all
from engine.task import Outcome, Plan, Request
from engine.training import Job, train
from foundation.files import sha256_file
from pretraining.data.dataset import FileItems, MemoryItems
from pretraining.data.gpu_augmentation import Feed
from pretraining.data.readers import Pool
from pretraining.export import export
from pretraining.knn_monitor import HealthCheck
from pretraining.loss_curve_hook import CurveHook
from pretraining.methods.build_method import Parts
from pretraining.methods.method import Method
from pretraining.methods.teacher import Teacher
from pretraining.recipe import MocoRecipe, PretrainRecipe
from pretraining.visualize import write_curves, write_strip
from results.records.record import LoadReport, Metric, Selection

if TYPE_CHECKING:
    from pretraining.task import Pretraining

DRAWN = 6
"""Images of the picture strip."""


class Built(NamedTuple):
    """A method as made, and the backbone in it."""

    method: Method
    feed: Feed
    created: Created


def build(task: Pretraining, request: Request, recipe: PretrainRecipe, arguments: Mapping[str, Any]) -> Built:
    """Make the backbone and the method around it.

    Raises:
        UserError: parts that do not fit each other.
    """
    card, size = request.card, int(arguments["img_size"])
    seed_all(mix(request.seed, 0))
    checkpoint = str(request.start.file) if request.start.file else RANDOM
    created = create_backbone(card, checkpoint=checkpoint, allow_partial=request.allow_partial, **arguments)
    colours = recipe.colours if isinstance(recipe, MocoRecipe) else None
    feed = Feed(task.pool(request.data_root), recipe, size, card.mean, card.std, colours)
    teacher, file = None, task.teacher_file()
    if file is not None:
        from pretraining.task import masked_arguments

        teacher = Teacher(file, size, card.mean, card.std, masked_arguments(file.card.architecture))
    parts = Parts(created.model, card.name, request.start.file is None, feed, recipe, teacher)
    method = task.method.build()(parts)
    if recipe.ema is not None:
        method.keep_average(recipe.ema)
    return Built(method, feed, created)


def pretrain(task: Pretraining, request: Request, plan: Plan, out: Path) -> Outcome:
    """Train in the folder ``out``, resuming from what is there; the encoder is exported from the last step."""
    neutral = {key: value for key, value in plan.neutral.items() if key != "skip_bad"}
    recipe = task.method.schema().model_validate({**plan.config["recipe"], **neutral})
    built = build(task, request, recipe, plan.arguments)
    pool = task.pool(request.data_root)
    curve = _curve(task, request, recipe, built.feed)
    trained = train(_job(task, request, recipe, built, pool, curve, out))
    began = time.monotonic()
    built.method.load_state_dict(load_safely(trained.weights)["state_dict"], strict=True)
    exported = agree(lambda: _finish(task, request, recipe, built, curve, pool, out))
    last = curve.rows[-1]
    details: dict[str, Any] = {
        "encoder": {"file": exported.name, "sha256": sha256_file(exported)},
        "skipped": [pool.paths[item] for item in sorted(curve.bad)],
    }
    report = built.created.report
    columns = tuple(curve.rows[0])
    return Outcome(
        metrics=_metrics(last, len(pool), recipe),
        columns=columns,
        items=[[row[name] for name in columns] for row in curve.rows],
        selection=Selection(
            split="none", metric="loss", candidates=1, chosen=f"{_unit(recipe)} {recipe.length}, the last"
        ),
        load_report=LoadReport(**asdict(report)) if report else None,
        checkpoint_format=built.created.file.format if built.created.file else None,
        parameters=sum(parameter.numel() for parameter in built.method.encoder.parameters()),
        phases={"train": trained.seconds, "export_and_draw": time.monotonic() - began},
        details=details,
    )


def _job(
    task: Pretraining, request: Request, recipe: PretrainRecipe, built: Built, pool: Pool, curve: CurveHook, out: Path
) -> Job:
    items: MemoryItems | FileItems = MemoryItems(pool)
    if pool.pixels is None:
        scale = (recipe.scale[0], recipe.scale[1])
        items = FileItems(pool, built.feed.size, scale, task.method.views, task.skip_bad)
    return Job(
        label=f"{task.method.name} {request.card.name} on {task.data.name}, seed {request.seed}",
        folder=out,
        model=built.method,
        train=items,
        val=None,
        test=None,
        metric=_no_metric,
        select="loss",
        unit="",
        higher_is_better=False,
        recipe=recipe,
        seed=request.seed,
        device=request.device,
        collate=default_collate,
        choose=False,
        hooks=(curve,),
    )


def _no_metric(items: int) -> BaseMetric:
    raise AssertionError("a pre-training validates nothing")


def _curve(task: Pretraining, request: Request, recipe: PretrainRecipe, feed: Feed) -> CurveHook:
    labelled = task.health_pool(request.data_root)
    check = HealthCheck(labelled, recipe.health, feed) if labelled is not None else None
    return CurveHook(recipe.by_epoch, recipe.val_interval, check, recipe.health.every)


def _finish(
    task: Pretraining, request: Request, recipe: PretrainRecipe, built: Built, curve: CurveHook, pool: Pool, out: Path
) -> Path:
    """Export and draw, in the first process."""
    made_by = {"method": task.method.name, "data": task.data.name, "length": f"{recipe.length} {_unit(recipe)}s"}
    encoder = built.method.encoder
    path = export(encoder, request.card, built.feed.size, out, made_by)
    write_curves(curve.rows, _unit(recipe), out / "pictures" / "curves.png")
    _draw(built, pool, request.seed, task.method.views, out / "pictures" / "reconstructions.png")
    return path


def _draw(built: Built, pool: Pool, seed: int, views: int, path: Path) -> None:
    """Reconstructions of the first training images that can be decoded."""
    if type(built.method).pictures is Method.pictures:
        return
    feed = built.feed
    members = [item * (len(pool) // DRAWN or 1) % len(pool) for item in range(min(DRAWN, len(pool)))]
    seeds = torch.tensor([mix(seed, item) for item in members])
    batch: dict[str, Any] = {"item": torch.tensor(members), "seeds": seeds}
    if pool.pixels is None:
        scale = (built.feed.recipe.scale[0], built.feed.recipe.scale[1])
        items = FileItems(pool, feed.size, scale, views, skip_bad=True)
        batch = {**batch, "crops": torch.stack([items[item]["crops"] for item in members])}
    data = feed(batch)
    built.method.eval()
    drawn = built.method.pictures(data["images"], data["seeds"])
    if drawn is not None:
        write_strip([feed.shown(each) for each in drawn], path)


def _metrics(last: Mapping[str, float | None], images: int, recipe: PretrainRecipe) -> dict[str, Metric]:
    """The last row of the curve as the record's metrics."""
    loss, knn = last["loss"], last["knn"]
    assert loss is not None
    metrics = {"loss": Metric(value=loss, unit="", higher_is_better=False, n=images)}
    if knn is not None:
        metrics["knn"] = Metric(value=knn, unit="%", higher_is_better=True, n=recipe.health.queries)
    return metrics


def _unit(recipe: PretrainRecipe) -> str:
    return "epoch" if recipe.by_epoch else "iteration"
