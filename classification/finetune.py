"""Fine-tuning: the whole backbone and a fresh classifier, epoch chosen on val, test read once."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from backbones.create import create_backbone
from backbones.weights import RANDOM
from classification.metrics import ItemAccuracy, Scored, recorded
from classification.model import Classifier
from classification.recipe import ClassificationRecipe
from engine.seeds import Items, mix, seed_all
from engine.task import Outcome, Plan, Request, Task
from engine.training import Job, train_and_test
from results.record import LoadReport, Selection


def finetune(
    request: Request,
    plan: Plan,
    recipe: ClassificationRecipe,
    splits: tuple[Items[Any], Items[Any], Items[Any]],
    out: Path,
    task: Task,
) -> Outcome:
    """Train on the first split, choose the epoch on the second, test on the third.

    Args:
        request: the cell; its start weights, seed and device are used.
        plan: gives the backbone's arguments.
        recipe: the training's recipe.
        splits: train, val and test items: dicts of ``images``, ``labels``, ``item``.
        out: the run's folder.
        task: gives name and metrics.
    """
    train, val, test = splits
    seed_all(mix(request.seed, 0))  # the head's (and a random backbone's) initial weights
    checkpoint = str(request.start.file) if request.start.file else RANDOM
    created = create_backbone(
        request.card, checkpoint=checkpoint, allow_partial=request.allow_partial, **plan.arguments
    )
    parameters = sum(parameter.numel() for parameter in created.model.parameters())
    trained = train_and_test(
        Job(
            label=f"{task.name} {request.card.name} seed {request.seed}",
            folder=out,
            model=Classifier(created.model, recipe.label_smoothing),
            train=train,
            val=val,
            test=test,
            metric=ItemAccuracy,
            select="accuracy/top1",
            unit="%",
            higher_is_better=True,
            recipe=recipe,
            seed=request.seed,
            device=request.device,
        )
    )
    values = {name.rpartition("/")[2]: value for name, value in trained.test.items()}
    return Outcome(
        metrics=recorded(task.metrics, values, len(test)),
        columns=Scored._fields,
        items=trained.metric.rows,
        selection=Selection(
            split="val",
            metric="top1",
            candidates=trained.validations,
            chosen=f"epoch {trained.chosen.step}",
            value=trained.chosen.value,
        ),
        load_report=LoadReport(**asdict(created.report)) if created.report else None,
        checkpoint_format=created.file.format if created.file else None,
        parameters=parameters,
        phases=trained.phases,
    )
