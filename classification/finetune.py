"""Fine-tuning: the whole backbone and a fresh classifier; epoch and rate chosen on val, test read once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from torch.utils.data import ConcatDataset

from backbones.create import Created, create_backbone
from backbones.weights import RANDOM
from classification.metrics import ItemAccuracy, Scored, recorded
from classification.model import Classifier
from classification.recipe import ClassificationRecipe
from engine.seeds import Items, mix, seed_all
from engine.task import Outcome, Plan, Request, Task
from engine.training import Job, Trained, test, train
from results.record import LoadReport, Selection


class Candidate(NamedTuple):
    """One training of the search: what is particular about it (empty without a search), its job and outcome."""

    name: str
    job: Job
    created: Created
    trained: Trained


def finetune(
    request: Request,
    plan: Plan,
    recipe: ClassificationRecipe,
    splits: tuple[Items[Any], Items[Any], Items[Any]],
    out: Path,
    task: Task,
) -> Outcome:
    """Train on the first split, choose on the second, test on the third.

    Args:
        request: the cell; its start weights, seed and device are used.
        plan: gives the backbone's arguments.
        recipe: the training's recipe.
        splits: train, val and test items: dicts of ``images``, ``labels``, ``item``.
        out: the run's folder.
        task: gives name and metrics.
    """
    chosen: Candidate | None = None
    validations, seconds = 0, 0.0
    for name, one in candidates(recipe):
        candidate = _train(name, request, plan, one, splits, out / name, task)
        validations += candidate.trained.validations
        seconds += candidate.trained.seconds
        if chosen is None or _value(candidate) > _value(chosen):  # a tie goes to the first
            chosen = candidate
    assert chosen is not None, "a search has one candidate or more"
    tested = test(chosen.job, chosen.trained.weights)
    values = {name.rpartition("/")[2]: value for name, value in tested.values.items()}
    created = chosen.created
    return Outcome(
        metrics=recorded(task.metrics, values, len(splits[2])),
        columns=Scored._fields,
        items=tested.metric.rows,
        selection=_selection(chosen, validations),
        load_report=LoadReport(**asdict(created.report)) if created.report else None,
        checkpoint_format=created.file.format if created.file else None,
        parameters=sum(parameter.numel() for parameter in created.model.parameters()),
        phases={"train_and_validate": seconds, "test": tested.seconds},
    )


def candidates(recipe: ClassificationRecipe) -> Iterator[tuple[str, ClassificationRecipe]]:
    """Name and recipe of every training of the search; one with an empty name where there is none."""
    optimizer = recipe.optimizer
    rates = recipe.search.lr or [optimizer.lr]
    decays = recipe.search.layer_decay or [optimizer.layer_decay]
    for lr, decay in product(rates, decays):
        name = "" if len(rates) == len(decays) == 1 else f"lr{lr:g}-decay{decay:g}"
        changed = optimizer.model_copy(update={"lr": lr, "layer_decay": decay})
        yield name, recipe.model_copy(update={"optimizer": changed})


def _train(
    name: str,
    request: Request,
    plan: Plan,
    recipe: ClassificationRecipe,
    splits: tuple[Items[Any], Items[Any], Items[Any]],
    folder: Path,
    task: Task,
) -> Candidate:
    train_items, val, test_items = splits
    seed_all(mix(request.seed, 0))  # the head's (and a random backbone's) initial weights
    checkpoint = str(request.start.file) if request.start.file else RANDOM
    created = create_backbone(
        request.card, checkpoint=checkpoint, allow_partial=request.allow_partial, **plan.arguments
    )
    both = recipe.train_on == "train+val"
    job = Job(
        label=" ".join(filter(None, (task.name, request.card.name, name, f"seed {request.seed}"))),
        folder=folder,
        model=Classifier.of(created.model, recipe),
        train=ConcatDataset([train_items, val]) if both else train_items,  # type: ignore[list-item]
        val=None if both else val,
        test=test_items,
        metric=ItemAccuracy,
        select="accuracy/top1",
        unit="%",
        higher_is_better=True,
        recipe=recipe,
        seed=request.seed,
        device=request.device,
    )
    return Candidate(name, job, created, train(job))


def _value(candidate: Candidate) -> float:
    return candidate.trained.chosen.value if candidate.trained.chosen else 0.0


def _selection(chosen: Candidate, validations: int) -> Selection:
    best, unit = chosen.trained.chosen, "epoch" if chosen.job.recipe.by_epoch else "iteration"
    if best is None:
        length = chosen.job.recipe.length
        return Selection(split="none", metric="top1", candidates=1, chosen=f"{unit} {length}, the last", value=None)
    what = f"{unit} {best.step}" + (f" of {chosen.name}" if chosen.name else "")
    return Selection(split="val", metric="top1", candidates=validations, chosen=what, value=best.value)
