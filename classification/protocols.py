"""The protocols of classification: the recipe of each, how it is planned, and how it is carried out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from classification.finetune import Splits, finetune
from classification.probes.feature_extraction import Frozen, freeze, require_one_process
from classification.probes.knn import knn
from classification.probes.linear import linear
from classification.probes.linear_sgd import linear_sgd
from classification.probes.lowshot import lowshot
from classification.recipe import (
    ClassificationRecipe,
    DigitsRecipe,
    FrozenRecipe,
    ImageRecipe,
    KnnRecipe,
    LinearRecipe,
    LinearSgdRecipe,
    LowShotRecipe,
)
from engine.config import load_protocol
from engine.task import DataReport, Outcome, Plan, Request, Task
from foundation.errors import UserError

AnyRecipe = ClassificationRecipe | FrozenRecipe

SCHEMAS: dict[str, type[ClassificationRecipe] | type[FrozenRecipe]] = {
    "finetune": DigitsRecipe,
    "linear": LinearRecipe,
    "linear_sgd": LinearSgdRecipe,
    "lowshot": LowShotRecipe,
    "knn": KnnRecipe,
}

PHOTOGRAPHS: dict[str, type[ClassificationRecipe] | type[FrozenRecipe]] = {
    **SCHEMAS,
    "finetune": ImageRecipe,
    "finetune_improved": ImageRecipe,
    "finetune_tan": ImageRecipe,
    "finetune_32": ImageRecipe,
}
"""As ``SCHEMAS``, for sets of photographs: they have an augmentation of their own."""

STEPS = {
    "finetune": ("train", "choose the epoch on val", "test once"),
    "finetune_improved": ("train", "choose the epoch on val", "test once"),
    "finetune_tan": ("train", "choose the epoch on val", "test once"),
    "finetune_32": ("train", "choose the epoch on val", "test once"),
    "linear": ("features of train and val", "fit each strength on train", "choose one on val", "test once"),
    "linear_sgd": ("features of train and val", "train a head a rate", "choose one on val", "test once"),
    "lowshot": ("features of the items drawn", "fit each draw", "choose each strength on val", "test once a draw"),
    "knn": ("features of train and test", "vote", "test once"),
}

FROZEN: dict[str, Callable[[Frozen, Any, Task], Outcome]] = {
    "linear": linear,
    "linear_sgd": linear_sgd,
    "lowshot": lowshot,
    "knn": knn,
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
        data: what was found; all of its test items are scored, once a draw.
        photographs: whether the task's images are photographs, to be cropped and augmented as such.

    Raises:
        ConfigError: settings that do not hold.
        UserError: several processes for a protocol that runs in one, a data scale for one that has none, more shots
            than a class has.
    """
    recipe_type = schema(request.protocol, photographs)
    frozen = issubclass(recipe_type, FrozenRecipe)
    if frozen:
        require_one_process(request.protocol)
    if request.data_scale != 1 and request.protocol == "lowshot":
        raise UserError("protocol lowshot has no --data-scale: shots or percent say how many items are drawn")
    protocol = load_protocol(file, recipe_type, request.tier, request.overrides)
    recipe: AnyRecipe = protocol.recipe
    arguments: dict[str, Any] = {"img_size": recipe.img_size, "num_classes": 0, "global_pool": recipe.pool}
    if isinstance(recipe, ClassificationRecipe):
        arguments |= {"num_classes": classes, "drop_path_rate": recipe.drop_path}
    if isinstance(recipe, LowShotRecipe) and recipe.shots is not None:
        _require_shots(recipe.shots, data)
    scale = {"data_scale": request.data_scale} if request.data_scale != 1 else {}
    return Plan(
        protocol_version=protocol.version,
        config={"recipe": recipe.identity(), **scale},
        neutral=recipe.neutral(),
        arguments=arguments,
        expected=data.splits["test"] * (recipe.draws if isinstance(recipe, LowShotRecipe) else 1),
        steps=STEPS[request.protocol],
    )


def _require_shots(shots: int, data: DataReport) -> None:
    """Refuse before anything is written: each class must be able to give its shots.

    Raises:
        UserError: naming the smallest class.
    """
    name, count = min(data.histogram["train"].items(), key=lambda entry: entry[1])
    if count < shots:
        raise UserError(
            f"class {name} has {count} training images and cannot give {shots} shots; ask for {count} or fewer"
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
    return FROZEN[request.protocol](frozen, recipe, task)
