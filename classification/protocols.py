"""The protocols of classification: the recipe of each, how it is planned, and how it is carried out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from classification.finetune import Splits, finetune
from classification.frozen import freeze, require_one_process
from classification.knn import knn
from classification.linear import linear
from classification.recipe import ClassificationRecipe, DigitsRecipe, FrozenRecipe, ImageRecipe, KnnRecipe, LinearRecipe
from engine.config import load_protocol
from engine.task import DataReport, Outcome, Plan, Request, Task

AnyRecipe = ClassificationRecipe | FrozenRecipe

SCHEMAS: dict[str, type[ClassificationRecipe] | type[FrozenRecipe]] = {
    "finetune": DigitsRecipe,
    "linear": LinearRecipe,
    "knn": KnnRecipe,
}

PHOTOGRAPHS: dict[str, type[ClassificationRecipe] | type[FrozenRecipe]] = {
    **SCHEMAS,
    "finetune": ImageRecipe,
    "finetune_improved": ImageRecipe,
}
"""As ``SCHEMAS``, for sets of photographs: they have an augmentation of their own."""

STEPS = {
    "finetune": ("train", "choose the epoch on val", "test once"),
    "finetune_improved": ("train", "choose the epoch on val", "test once"),
    "linear": ("features of train and val", "fit each strength on train", "choose one on val", "test once"),
    "knn": ("features of train and test", "vote", "test once"),
}


def schema(protocol: str, photographs: bool) -> type[ClassificationRecipe] | type[FrozenRecipe]:
    """The recipe's type."""
    return (PHOTOGRAPHS if photographs else SCHEMAS)[protocol]


def resolve(file: Path, request: Request, classes: int, data: DataReport, photographs: bool = False) -> Plan:
    """The plan of a request by its protocol's file.

    Args:
        file: the protocol's config file.
        request: the cell.
        classes: of the task.
        data: what was found; all of its test items are scored.
        photographs: whether the task's images are photographs, to be cropped and augmented as such.

    Raises:
        ConfigError: settings that do not hold.
        UserError: several processes for a protocol that runs in one.
    """
    recipe_type = schema(request.protocol, photographs)
    if issubclass(recipe_type, FrozenRecipe):
        require_one_process(request.protocol)
    protocol = load_protocol(file, recipe_type, request.tier, request.overrides)
    recipe: AnyRecipe = protocol.recipe
    arguments: dict[str, Any] = {"img_size": recipe.img_size, "num_classes": 0, "global_pool": recipe.pool}
    if isinstance(recipe, ClassificationRecipe):
        arguments |= {"num_classes": classes, "drop_path_rate": recipe.drop_path}
    return Plan(
        protocol_version=protocol.version,
        config={"recipe": recipe.identity()},
        neutral=recipe.neutral(),
        arguments=arguments,
        expected=data.splits["test"],
        steps=STEPS[request.protocol],
    )


def carry_out(request: Request, plan: Plan, recipe: AnyRecipe, splits: Splits, out: Path, task: Task) -> Outcome:
    """Do a planned cell in the folder ``out``.

    Raises:
        BenchError: the run failed; the sentence says why.
    """
    if isinstance(recipe, ClassificationRecipe):
        return finetune(request, plan, recipe, splits, out, task)
    named = {"train": splits.train, "val": splits.val, "test": splits.test}
    frozen = freeze(request, plan, recipe, named, splits.fingerprint, task)
    if isinstance(recipe, LinearRecipe):
        return linear(frozen, recipe, task)
    assert isinstance(recipe, KnnRecipe)
    return knn(frozen, recipe, task)
