"""Plan a classification run: which recipe a protocol has, and what belongs to the run's identity. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from itertools import product
from pathlib import Path
from typing import Any

from backbones.card import DISTILLATION_HEAD
from classification.data.subset_sampling import count_class_fraction
from classification.pooling import PoolingChoice, choose_pooling
from classification.recipe import (
    ClassificationRecipe,
    DigitsRecipe,
    DistillRecipe,
    FrozenRecipe,
    ImageRecipe,
    KnnRecipe,
    LinearRecipe,
    LinearSgdRecipe,
    LowShotRecipe,
)
from engine.config import load_protocol
from engine.data.item_limits import apply_item_limit
from engine.device import get_dist_info, require_even_batch
from engine.lr_schedule import (
    count_last_batch,
    count_repeated_items,
    count_steps_per_epoch,
    list_schedule_fixes,
    require_complete_batch,
)
from engine.settings.scaled_rates import describe_scaled_rates
from engine.task import DataReport, RunPlan, RunRequest
from engine.training_checks.bank_size import require_enough_voters
from engine.training_checks.batch_norm import describe_batch_norm
from foundation.errors import ConfigError, UserError

ProtocolRecipe = ClassificationRecipe | FrozenRecipe

RELATIVE_POSITION_MODELS = ("vit_tiny_12h_rpe", "vit_small_12h_rpe", "vit_base_rpe")
"""Architectures whose classifier starts as small as BEiT's when they are fine-tuned, as in MAE-Lite."""

# protocols of the digits; finetune_tan and the like are for photographs only
RECIPE_TYPES: dict[str, type[ClassificationRecipe] | type[FrozenRecipe]] = {
    "finetune": DigitsRecipe,
    "linear": LinearRecipe,
    "linear_sgd": LinearSgdRecipe,
    "lowshot": LowShotRecipe,
    "knn": KnnRecipe,
}

PHOTO_RECIPE_TYPES: dict[str, type[ClassificationRecipe] | type[FrozenRecipe]] = {
    **RECIPE_TYPES,
    "finetune": ImageRecipe,
    "finetune_improved": ImageRecipe,
    "finetune_distill": DistillRecipe,
    "finetune_tan": ImageRecipe,
    "finetune_32": ImageRecipe,
}
"""The same for data sets of photographs, whose augmentation differs from that of the digits."""

# the phases of a run in words
PROTOCOL_STEPS = {
    "finetune": ("train", "choose the epoch on val", "test once"),
    "finetune_improved": ("train", "choose the epoch on val", "test once"),
    "finetune_distill": ("train", "choose the epoch on val", "test once"),
    "finetune_tan": ("train", "choose the epoch on val", "test once"),
    "finetune_32": ("train", "choose the epoch on val", "test once"),
    "linear": ("features of train and val", "fit each C on train", "choose one on val", "test once"),
    "linear_sgd": ("features of train and val", "train one head per rate", "choose one on val", "test once"),
    "lowshot": ("features of the items drawn", "fit each draw", "choose each C on val", "test once per draw"),
    "knn": ("features of train and test", "vote", "test once"),
}


def get_recipe_type(protocol: str, is_photo_set: bool) -> type[ClassificationRecipe] | type[FrozenRecipe]:
    """Return the recipe type of a protocol."""
    return (PHOTO_RECIPE_TYPES if is_photo_set else RECIPE_TYPES)[protocol]


def resolve_protocol(
    config_file: Path, request: RunRequest, num_classes: int, data: DataReport, is_photo_set: bool = False
) -> RunPlan:
    """Read the protocol's config file and plan a request.

    Args:
        config_file: the protocol's config file.
        request: the backbone, protocol, tier, overrides and seed that were requested.
        num_classes: number of classes of the task.
        data: the result of the data check; all of its test items are scored (once per draw for low-shot).
        is_photo_set: whether the task's images are photographs, which are cropped and augmented as such.

    Raises:
        ConfigError: invalid settings, or a change of a setting that this backbone does not heed.
        UserError: a data scale for low-shot, more shots than a class has images, a ``k`` above the number of images
            that vote, or a batch that the processes cannot share.
    """
    recipe_type = get_recipe_type(request.protocol, is_photo_set)
    if request.data_scale != 1 and request.protocol == "lowshot":
        raise UserError("protocol lowshot has no --data-scale; set shots or percent to say how many items are drawn")
    protocol = load_protocol(config_file, recipe_type, request.tier, request.overrides)
    whole_data, recipe = data, protocol.recipe
    recipe, data = apply_item_limit(recipe, whole_data)
    # a frozen backbone is created without a classifier; timm takes num_classes=0 for that
    arguments: dict[str, Any] = {"img_size": recipe.img_size, "num_classes": 0}
    choice = PoolingChoice(recipe.pool, None)
    if isinstance(recipe, FrozenRecipe):
        choice = choose_pooling(request, recipe.pool, arguments)
        recipe = recipe.model_copy(update={"pool": choice.pool})
    arguments["global_pool"] = recipe.pool
    # at 1 the data scale is left out, so that a run on all data keeps the id that it had before the option existed
    scale: dict[str, Any] = {"data_scale": request.data_scale} if request.data_scale != 1 else {}
    more, small = dict[str, Any](), tuple[str, ...]()
    if isinstance(recipe, ClassificationRecipe):
        arguments |= _list_training_arguments(recipe, request, num_classes)
        _require_model_effects(request, arguments, protocol.changed)
        more = _describe_training(recipe, request, data, arguments)
        small = _describe_small_set(recipe, min(_count_trained_items(recipe, data, request.data_scale)))
    if isinstance(recipe, KnnRecipe):
        require_enough_voters(recipe.k, count_training_items(data, recipe.train_on, request.data_scale))
    if isinstance(recipe, LowShotRecipe) and recipe.shots is not None:
        _require_enough_shots(recipe.shots, whole_data)
    return RunPlan(
        protocol_version=protocol.version,
        config={"recipe": recipe.identity_settings(), **scale, **more},
        non_identity_settings=recipe.non_identity_settings(),
        backbone_kwargs=arguments,
        # low-shot scores the complete test split once per draw
        num_expected_items=data.splits["test"] * (recipe.draws if isinstance(recipe, LowShotRecipe) else 1),
        steps=PROTOCOL_STEPS[request.protocol],
        file_settings={} if choice.reason is None else {"pool": protocol.recipe.pool},
        notes=(
            *choice.describe(request.card.name, protocol.recipe.pool),
            *describe_scaled_rates(protocol.scaled_rates),
            *small,
        ),
        **protocol.plan_fields,
    )


def _list_training_arguments(recipe: ClassificationRecipe, request: RunRequest, num_classes: int) -> dict[str, Any]:
    """Return the arguments with which a backbone is created to be trained, besides size and pooling."""
    arguments: dict[str, Any] = {"num_classes": num_classes, "drop_path_rate": recipe.drop_path}
    if isinstance(recipe, DistillRecipe) and recipe.distill.class_token:
        arguments[DISTILLATION_HEAD] = True
    if recipe.beit_init and request.card.architecture in RELATIVE_POSITION_MODELS:
        arguments["beit_init"] = True
    return arguments


def _require_model_effects(request: RunRequest, arguments: Mapping[str, Any], changed: Set[str]) -> None:
    """Refuse changes of settings that only other architectures heed: one number would have two ids.

    Args:
        request: the backbone; a plan from a record alone does not know its weights, and is not asked.
        arguments: those with which the backbone is created.
        changed: dotted names of the settings that the user changed.

    Raises:
        ConfigError: such a setting was changed.
    """
    name, reasons = request.card.name, dict[str, str]()
    if not request.reads_weights:
        return
    if request.card.architecture not in RELATIVE_POSITION_MODELS:
        reasons["beit_init"] = f"{name} has no tables of relative positions that start like BEiT's"
    if changed & {"fresh_norm", "optimizer.swin_layers"}:
        from classification.final_norm import find_final_norm
        from engine.optimizer import require_swin_for_layers

        created = request.prepare_backbone(arguments)
        if created.load_report is None:
            reasons["fresh_norm"] = "from random weights the final norm starts at 1 and 0 in any case"
        elif find_final_norm(created.model) is None:
            reasons["fresh_norm"] = f"{name} is neither a Swin nor a Hiera"
        require_swin_for_layers(changed, name, created.model)
    for setting in sorted(changed & reasons.keys()):
        raise ConfigError(f"--set {setting} changes nothing, because {reasons[setting]}; leave it out")


def count_training_items(data: DataReport, train_on: str, data_scale: float) -> int:
    """Return the number of items that a run trains on.

    Args:
        data: the result of the data check.
        train_on: ``train``, or ``train+val`` for both splits.
        data_scale: fraction of each class of these splits that is used.
    """
    splits = train_on.split("+")
    if data_scale == 1:
        return sum(data.splits[split] for split in splits)
    return sum(count_class_fraction(data.class_counts[split].values(), data_scale) for split in splits)


def _describe_training(
    recipe: ClassificationRecipe, request: RunRequest, data: DataReport, backbone_kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what belongs to the identity of a fine-tuning besides its recipe, if anything does.

    Raises:
        ConfigError: mixup cannot pair the images of a process.
        UserError: the processes cannot share a batch, or there are too few images for one that must be complete.
    """
    require_even_batch(recipe.batch_size)
    processes, pieces = get_dist_info()[1], recipe.accumulate
    if isinstance(recipe, ImageRecipe) and (recipe.mixup or recipe.cutmix):
        # timm mixes image i with image n - 1 - i of what it gets, which is one piece in one process
        _require_even_pieces(recipe.batch_size, processes, pieces)
    fixes = {
        fix
        for splits in list_training_splits(recipe)
        for _, one in expand_search(recipe)
        for fix in list_schedule_fixes(
            one,
            count_steps_per_epoch(one, count_training_items(data, splits, request.data_scale)),
        )
    }
    counts = _count_trained_items(recipe, data, request.data_scale)
    require_complete_batch(recipe, min(counts))
    # the backbone is created only where the answer matters
    has_batch_norm = pieces != 1 and request.describe_model(backbone_kwargs).has_batch_norm
    seen = [
        describe_batch_norm(has_batch_norm, recipe.batch_size, pieces, processes, count_last_batch(recipe, count))
        for count in counts
    ]
    norm = max(seen, key=len)  # the one with a last batch of its own, if there is one
    repeated = [count_repeated_items(recipe, count, processes) for count in counts]
    return {
        **({"fixes": sorted(fixes)} if fixes else {}),
        **({"batch_norm": norm} if norm else {}),
        **({"repeated_items": repeated} if any(repeated) else {}),
    }


def _count_trained_items(recipe: ClassificationRecipe, data: DataReport, data_scale: float) -> list[int]:
    """Return the number of items of each of the trainings of ``list_training_splits``."""
    return [count_training_items(data, splits, data_scale) for splits in list_training_splits(recipe)]


def _describe_small_set(recipe: ClassificationRecipe, num_items: int) -> tuple[str, ...]:
    """Return a sentence about a training set that is smaller than one batch."""
    if not recipe.by_epoch or num_items >= recipe.batch_size:
        return ()
    return (
        f"{num_items} training images are fewer than one batch of {recipe.batch_size}, so each epoch is one step with "
        "all of them; a smaller batch_size makes more steps",
    )


def _require_even_pieces(batch_size: int, processes: int, pieces: int) -> None:
    if batch_size % (2 * processes * pieces):
        raise ConfigError(
            f"mixup and cutmix pair images, so each of the {processes} processes needs an even number in each of its "
            f"{pieces} pieces of the batch; set a batch_size that is a multiple of {2 * processes * pieces}"
        )


def _require_enough_shots(shots: int, data: DataReport) -> None:
    """Require that each class has enough training images, before anything is written.

    Raises:
        UserError: a class has too few; the message names the smallest class.
    """
    name, count = min(data.class_counts["train"].items(), key=lambda entry: entry[1])
    if count < shots:
        raise UserError(
            f"class {name} has {count} training images and cannot give {shots} shots; ask for {count} or fewer"
        )


def expand_search(recipe: ClassificationRecipe) -> Iterator[tuple[str, ClassificationRecipe]]:
    """Yield the name and the recipe of every training of the search.

    Without a search this is one recipe with an empty name.
    """
    optimizer = recipe.optimizer
    rates = recipe.search.lr or [optimizer.lr]
    decays = recipe.search.layer_decay or [optimizer.layer_decay]
    for lr, decay in product(rates, decays):
        name = "" if len(rates) == len(decays) == 1 else f"lr{lr:g}-decay{decay:g}"
        changed = optimizer.model_copy(update={"lr": lr, "layer_decay": decay})
        yield name, recipe.model_copy(update={"optimizer": changed})


def list_training_splits(recipe: ClassificationRecipe) -> list[str]:
    """Return on what the trainings of a run train: ``train`` if val chooses anything, ``train+val`` if it is set."""
    # a single setting on train+val leaves nothing to choose, so no training on train alone is needed
    alone = ["train"] if recipe.train_on == "train" or len(list(expand_search(recipe))) > 1 else []
    return [*alone, *(["train+val"] if recipe.train_on == "train+val" else [])]
