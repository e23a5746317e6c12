"""Fine-tuning: the whole backbone and a fresh classifier; epoch and rate chosen on val, test read once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from backbones.create import Created, create_backbone
from backbones.weights import RANDOM
from classification.data.subset_sampling import Drawn, share
from classification.metrics import ItemAccuracy, Scored, recorded
from classification.model import Classifier
from classification.recipe import ClassificationRecipe
from engine.seeding import Items, mix, seed_all
from engine.task import Outcome, Plan, Request, Task
from engine.training import Job, Trained, test, train
from results.records.record import LoadReport, Selection


class Splits(NamedTuple):
    """The items of a task and the data's fingerprint; only ``train`` and ``val_augmented`` are augmented."""

    train: Any
    val: Any
    test: Any
    val_augmented: Any
    fingerprint: str


class Both:
    """The items of two splits, one after the other."""

    def __init__(self, first: Items[Any], second: Items[Any]) -> None:
        self.places = [(items, index) for items in (first, second) for index in range(len(items))]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Any:
        items, inner = self.places[index]
        return items[inner]


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
    splits: Splits,
    out: Path,
    task: Task,
) -> Outcome:
    """Train, choose on val, test once.

    Args:
        request: the cell; its start weights, seed and device are used.
        plan: gives the backbone's arguments.
        recipe: the training's recipe.
        splits: their items: dicts of ``images``, ``labels``, ``item``.
        out: the run's folder.
        task: gives name and metrics.
    """
    settings = dict(candidates(recipe))
    done: list[Candidate] = []
    if len(settings) > 1 or recipe.train_on == "train":
        for name, one in settings.items():
            alone = one.model_copy(update={"train_on": "train"})
            done.append(_train(name, request, plan, alone, splits, out / name, task))
    best = max(done, key=_value, default=None)  # a tie goes to the first
    chosen = best
    if recipe.train_on == "train+val":
        final = settings[best.name] if best else recipe
        chosen = _train(
            "train+val" if best else "", request, plan, final, splits, out / ("final" if best else ""), task
        )
        done.append(chosen)
    assert chosen is not None
    tested = test(chosen.job, chosen.trained.weights)
    values = {name.rpartition("/")[2]: value for name, value in tested.values.items()}
    created = chosen.created
    return Outcome(
        metrics=recorded(task.metrics, values, len(splits.test)),
        columns=Scored._fields,
        items=tested.metric.rows,
        selection=_selection(best, chosen, sum(candidate.trained.validations for candidate in done)),
        load_report=LoadReport(**asdict(created.report)) if created.report else None,
        checkpoint_format=created.file.format if created.file else None,
        parameters=sum(parameter.numel() for parameter in created.model.parameters()),
        phases={
            "train_and_validate": sum(candidate.trained.seconds for candidate in done),
            "test": tested.seconds,
        },
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
    splits: Splits,
    folder: Path,
    task: Task,
) -> Candidate:
    seed_all(mix(request.seed, 0))  # the head's (and a random backbone's) initial weights
    checkpoint = str(request.start.file) if request.start.file else RANDOM
    created = create_backbone(
        request.card, checkpoint=checkpoint, allow_partial=request.allow_partial, **plan.arguments
    )
    both, first, second = recipe.train_on == "train+val", splits.train, splits.val_augmented
    if request.data_scale != 1:
        first, second = (
            Drawn(items, share(items.labels, request.data_scale, request.seed)) for items in (first, second)
        )
    job = Job(
        label=" ".join(filter(None, (task.name, request.card.name, name, f"seed {request.seed}"))),
        folder=folder,
        model=Classifier.of(created.model, recipe),
        train=Both(first, second) if both else first,
        val=None if both else splits.val,
        test=splits.test,
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
    assert candidate.trained.chosen is not None, "what is trained on train alone is validated"
    return candidate.trained.chosen.value


def _selection(best: Candidate | None, tested: Candidate, validations: int) -> Selection:
    """How the weights tested came about: the best on val, or the last of a training on train and val."""
    recipe = tested.job.recipe
    unit = "epoch" if recipe.by_epoch else "iteration"
    words = []
    if best is not None and best.name:
        words.append(best.name)
    if tested.trained.chosen is not None:
        words.append(f"{unit} {tested.trained.chosen.step}")
    else:
        words.append(f"{unit} {recipe.length}, the last, of a training on train and val")
    what = ", ".join(words)
    if best is None:
        return Selection(split="none", metric="top1", candidates=1, chosen=what, value=None)
    return Selection(split="val", metric="top1", candidates=validations, chosen=what, value=_value(best))
