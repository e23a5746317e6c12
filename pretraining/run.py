"""Run a pre-training: build the method, train it and export the encoder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from mmengine.evaluator import BaseMetric
from torch.utils.data import default_collate

from backbones.create import CreatedBackbone
from engine.checkpoints import read_checkpoint
from engine.device import decide_on_rank0, get_dist_info, require_even_batch
from engine.lr_schedule import (
    count_last_batch,
    count_repeated_items,
    count_steps_per_epoch,
    list_schedule_fixes,
    require_complete_batch,
)
from engine.seeding import derive_seed
from engine.task import RunPlan, RunRequest, TaskOutcome
from engine.teacher import TeacherWeights
from engine.training import TrainingJob, train_model
from engine.training_checks.batch_norm import describe_batch_norm, uses_batch_norm
from foundation.files import sha256_file
from pretraining.data.dataset import ImageFileDataset, InMemoryDataset
from pretraining.data.dataset_specs import PretrainDatasetCard
from pretraining.data.gpu_augmentation import BatchPreprocessor
from pretraining.data.readers import ImagePool
from pretraining.export import export_encoder
from pretraining.knn_monitor import KnnMonitor
from pretraining.loss_curve_hook import LossCurveHook
from pretraining.method_registry import MethodCard
from pretraining.methods.build_method import MethodParts
from pretraining.methods.method import PretrainMethod
from pretraining.methods.teacher import Teacher
from pretraining.models.vit import get_backbone_arguments
from pretraining.recipe import MocoRecipe, PretrainRecipe
from pretraining.visualize import draw_reconstructions
from results.records.picture_manifest import DrawnPicture
from results.records.record import MetricValue, ModelSelection

NUM_RECONSTRUCTIONS = 6
"""Number of images in the picture of reconstructions."""


class PretrainSetup(Protocol):
    """What a pre-training consists of; ``pretraining.task.PretrainTask`` implements it.

    Attributes:
        method: the method.
        data: the image set.
        skip_bad: skip images that cannot be decoded.
    """

    method: MethodCard
    data: PretrainDatasetCard
    skip_bad: bool

    def load_pool(self, root: Path) -> ImagePool:
        """Return the training images."""

    def load_knn_pool(self, root: Path) -> ImagePool | None:
        """Return the images of the k-NN check, or ``None`` without a check."""

    def find_teacher_weights(self) -> TeacherWeights | None:
        """Return the teacher's weights, or ``None`` if the method has no teacher."""


class MethodBundle(NamedTuple):
    """A method and the preprocessor of its input."""

    method: PretrainMethod
    preprocessor: BatchPreprocessor


def build_method(
    task: PretrainSetup, request: RunRequest, recipe: PretrainRecipe, img_size: int, created: CreatedBackbone
) -> MethodBundle:
    """Build the method around a backbone.

    Args:
        task: gives method, images and teacher.
        request: the cell.
        recipe: the recipe of the method.
        img_size: side of the input, pixels.
        created: the backbone. The method takes it over and may initialize it again.

    Raises:
        UserError: parts that do not fit together, for example a teacher with other patches.
    """
    card = request.card
    colors = recipe.color_augmentation if isinstance(recipe, MocoRecipe) else None
    pool = task.load_pool(request.data_root).limit_items(recipe.max_items)
    feed = BatchPreprocessor(pool, recipe, img_size, card.mean, card.std, colors)
    teacher, file = None, task.find_teacher_weights()
    if file is not None:
        teacher = Teacher(file, img_size, card.mean, card.std, get_backbone_arguments(file.card.architecture))
    parts = MethodParts(created.model, card.name, request.start.init == "random", feed, recipe, teacher)
    method = task.method.load_builder()(parts)
    if recipe.ema is not None:
        method.enable_ema(recipe.ema)
    return MethodBundle(method, feed)


def describe_training(method: PretrainMethod, recipe: PretrainRecipe, num_images: int) -> dict[str, Any]:
    """Return what belongs to the identity of a pre-training besides its recipe, if anything does.

    Args:
        method: the built method; whether it has batch norm counts.
        recipe: the recipe of the method.
        num_images: number of training images.

    Raises:
        UserError: the processes cannot share a batch, or there are too few images for one that must be complete.
    """
    require_even_batch(recipe.batch_size)
    require_complete_batch(recipe, num_images)
    processes = get_dist_info()[1]
    fixes = list_schedule_fixes(recipe, count_steps_per_epoch(recipe, num_images))
    last_batch = count_last_batch(recipe, num_images)
    norm = describe_batch_norm(uses_batch_norm(method), recipe.batch_size, recipe.accumulate, processes, last_batch)
    repeated = count_repeated_items(recipe, num_images, processes)
    return {
        **({"fixes": fixes} if fixes else {}),
        **({"batch_norm": norm} if norm else {}),
        **({"repeated_items": repeated} if repeated else {}),
    }


def run_pretraining(task: PretrainSetup, request: RunRequest, plan: RunPlan, run_dir: Path) -> TaskOutcome:
    """Train in a folder, resuming if it contains an interrupted run, and export the encoder of the last step.

    Args:
        task: gives method, images and teacher.
        request: the cell.
        plan: the resolved configuration.
        run_dir: the run's folder.
    """
    # ``skip_bad`` belongs to the task, not to the recipe, which refuses unknown keys
    neutral = {key: value for key, value in plan.non_identity_settings.items() if key != "skip_bad"}
    recipe = task.method.load_recipe_class().model_validate({**plan.config["recipe"], **neutral})
    created = request.build_backbone(plan.backbone_kwargs)
    built = build_method(task, request, recipe, int(plan.backbone_kwargs["img_size"]), created)
    pool = task.load_pool(request.data_root).limit_items(recipe.max_items)
    curve = _make_curve_hook(task, request, recipe, built.preprocessor)
    trained = train_model(_make_job(task, request, recipe, built, pool, curve, run_dir))
    began = time.monotonic()
    built.method.load_state_dict(read_checkpoint(trained.weights_path)["state_dict"], strict=True)
    # one process writes the files; an error there stops all of them
    exported = decide_on_rank0(lambda: _export_encoder(task, request, recipe, built, run_dir))
    last = curve.rows[-1]
    details: dict[str, Any] = {
        "encoder": {"file": exported.name, "sha256": sha256_file(exported)},
        "skipped": [pool.paths[item] for item in sorted(curve.skipped_items)],
    }
    columns = tuple(curve.rows[0])
    return TaskOutcome(
        metrics=_metrics_from_row(last, len(pool), recipe),
        item_columns=columns,  # an "item" of a pre-training is a row of its curve
        item_rows=[[row[name] for name in columns] for row in curve.rows],
        selection=ModelSelection(
            split="none", metric="loss", candidates=1, chosen=f"{_length_unit(recipe)} {recipe.length}, the last"
        ),
        load_report=created.load_report,
        checkpoint_format=created.weight_file.format if created.weight_file else None,
        parameters=sum(parameter.numel() for parameter in built.method.exported_encoder.parameters()),
        phase_seconds={"train": trained.seconds, "export": time.monotonic() - began},
        details=details,
        visualize=lambda: _draw_reconstructions(built, pool, request.seed, task.method.num_views),
    )


def _make_job(
    task: PretrainSetup,
    request: RunRequest,
    recipe: PretrainRecipe,
    bundle: MethodBundle,
    pool: ImagePool,
    curve: LossCurveHook,
    run_dir: Path,
) -> TrainingJob:
    return TrainingJob(
        label=f"{task.method.name} {request.card.name} on {task.data.name}, seed {request.seed}",
        folder=run_dir,
        model=bundle.method,
        train_dataset=_make_dataset(bundle, pool, task.method.num_views, task.skip_bad),
        val_dataset=None,  # there is nothing to choose an epoch by: a lower loss does not mean better features
        test_dataset=None,
        build_metric=_refuse_metric,
        selection_metric="loss",
        metric_unit="",
        higher_is_better=False,
        recipe=recipe,
        seed=request.seed,
        device=request.device,
        collate_fn=default_collate,
        select_best=False,
        hooks=(curve,),
        run_id=request.run_id,
    )


def _make_dataset(
    bundle: MethodBundle, pool: ImagePool, num_views: int, skip_bad: bool
) -> InMemoryDataset | ImageFileDataset:
    """Make the loader's dataset: indices of images in memory, or crops of image files."""
    if pool.pixels is not None:
        return InMemoryDataset(pool)
    recipe, size = bundle.preprocessor.recipe, bundle.preprocessor.img_size
    area_range = (recipe.scale[0], recipe.scale[1])
    return ImageFileDataset(pool, size, area_range, recipe.interpolation, num_views, skip_bad, recipe.resize)


def _refuse_metric(items: int) -> BaseMetric:
    raise AssertionError("a pre-training has no validation")


def _make_curve_hook(
    task: PretrainSetup, request: RunRequest, recipe: PretrainRecipe, preprocessor: BatchPreprocessor
) -> LossCurveHook:
    labeled = task.load_knn_pool(request.data_root)
    check = KnnMonitor(labeled, recipe.knn_monitor, preprocessor) if labeled is not None else None
    return LossCurveHook(recipe.by_epoch, recipe.val_interval, check, recipe.knn_monitor.interval)


def _export_encoder(
    task: PretrainSetup, request: RunRequest, recipe: PretrainRecipe, bundle: MethodBundle, run_dir: Path
) -> Path:
    """Export the encoder; called in the first process only."""
    made_by = {"method": task.method.name, "data": task.data.name, "length": f"{recipe.length} {_length_unit(recipe)}s"}
    method = bundle.method
    return export_encoder(
        method.exported_encoder,
        request.card,
        bundle.preprocessor.img_size,
        run_dir,
        made_by,
        method.exported_tokens,
    )


def _draw_reconstructions(bundle: MethodBundle, pool: ImagePool, seed: int, num_views: int) -> list[DrawnPicture]:
    """Draw reconstructions of a few training images, spread evenly over the set."""
    # a method that does not override reconstruct_images (MoCo-v3) has nothing to draw, so no image is decoded
    if type(bundle.method).reconstruct_images is PretrainMethod.reconstruct_images:
        return []
    feed = bundle.preprocessor
    members = [
        # every (n // 6)-th image; "or 1" and the modulo are for sets of fewer than 6 images
        item * (len(pool) // NUM_RECONSTRUCTIONS or 1) % len(pool)
        for item in range(min(NUM_RECONSTRUCTIONS, len(pool)))
    ]
    # masks and crops from the run's seed, so that a resumed run draws the same picture
    seeds = torch.tensor([derive_seed(seed, item) for item in members])
    batch: dict[str, Any] = {"item": torch.tensor(members), "seeds": seeds}
    dataset = _make_dataset(bundle, pool, num_views, skip_bad=True)
    if isinstance(dataset, ImageFileDataset):
        batch = {**batch, "crops": torch.stack([dataset[item]["crops"] for item in members])}
    data = feed(batch)
    bundle.method.eval()
    drawn = bundle.method.reconstruct_images(data["images"], data["seeds"])
    if drawn is None:
        return []
    has_true_contrast = bool(getattr(feed.recipe, "norm_pix", False))
    return [draw_reconstructions([feed.denormalize_images(each) for each in drawn], has_true_contrast)]


def _metrics_from_row(
    row: Mapping[str, float | None], num_images: int, recipe: PretrainRecipe
) -> dict[str, MetricValue]:
    """Return the last row of the curve as the metrics of the record."""
    loss, knn = row["loss"], row["knn"]
    assert loss is not None
    metrics = {"loss": MetricValue(value=loss, unit="", higher_is_better=False, n=num_images)}
    if knn is not None:
        metrics["knn"] = MetricValue(value=knn, unit="%", higher_is_better=True, n=recipe.knn_monitor.num_queries)
    return metrics


def _length_unit(recipe: PretrainRecipe) -> str:
    return "epoch" if recipe.by_epoch else "iteration"
