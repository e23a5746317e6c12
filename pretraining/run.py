"""Pre-train on the shared engine: the method, its loader, curve, export and pictures."""

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
from engine.device import decide_on_rank0
from engine.seeding import derive_seed
from engine.task import RunPlan, RunRequest, TaskOutcome
from engine.training import TrainingJob, train_model
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
from pretraining.methods.teacher import Teacher, TeacherWeights
from pretraining.models.vit import get_backbone_arguments
from pretraining.recipe import MocoRecipe, PretrainRecipe
from pretraining.visualize import write_image_grid, write_loss_curves
from results.records.record import MetricValue, ModelSelection

NUM_RECONSTRUCTIONS = 6
"""Images of the picture strip."""


class PretrainSetup(Protocol):
    """What is trained on what: ``pretraining.task.PretrainTask`` is one."""

    method: MethodCard
    data: PretrainDatasetCard
    skip_bad: bool

    def load_pool(self, root: Path) -> ImagePool:
        """The training images."""

    def load_knn_pool(self, root: Path) -> ImagePool | None:
        """The images of the k-NN check, if there is one."""

    def find_teacher_weights(self) -> TeacherWeights | None:
        """The teacher's weights, where the method has a teacher."""


class MethodBundle(NamedTuple):
    """A method as made, and what makes its input."""

    method: PretrainMethod
    preprocessor: BatchPreprocessor


def build_method(
    task: PretrainSetup, request: RunRequest, recipe: PretrainRecipe, img_size: int, created: CreatedBackbone
) -> MethodBundle:
    """Make the method around a backbone.

    Args:
        task: gives method, images and teacher.
        request: the cell.
        recipe: the method's.
        img_size: side of the input, pixels.
        created: the backbone. It becomes the method's, which may initialise it anew.

    Raises:
        UserError: parts that do not fit each other.
    """
    card = request.card
    colours = recipe.color_augmentation if isinstance(recipe, MocoRecipe) else None
    feed = BatchPreprocessor(task.load_pool(request.data_root), recipe, img_size, card.mean, card.std, colours)
    teacher, file = None, task.find_teacher_weights()
    if file is not None:
        teacher = Teacher(file, img_size, card.mean, card.std, get_backbone_arguments(file.card.architecture))
    parts = MethodParts(created.model, card.name, request.start.init == "random", feed, recipe, teacher)
    method = task.method.load_builder()(parts)
    if recipe.ema is not None:
        method.enable_ema(recipe.ema)
    return MethodBundle(method, feed)


def run_pretraining(task: PretrainSetup, request: RunRequest, plan: RunPlan, run_dir: Path) -> TaskOutcome:
    """Train in the folder ``run_dir``, resuming from what is there; the encoder is exported from the last step."""
    neutral = {key: value for key, value in plan.non_identity_settings.items() if key != "skip_bad"}
    recipe = task.method.load_recipe_class().model_validate({**plan.config["recipe"], **neutral})
    created = request.build_backbone(plan.backbone_kwargs)
    built = build_method(task, request, recipe, int(plan.backbone_kwargs["img_size"]), created)
    pool = task.load_pool(request.data_root)
    curve = _make_curve_hook(task, request, recipe, built.preprocessor)
    trained = train_model(_make_job(task, request, recipe, built, pool, curve, run_dir))
    began = time.monotonic()
    built.method.load_state_dict(read_checkpoint(trained.weights_path)["state_dict"], strict=True)
    exported = decide_on_rank0(lambda: _export_and_draw(task, request, recipe, built, curve, pool, run_dir))
    last = curve.rows[-1]
    details: dict[str, Any] = {
        "encoder": {"file": exported.name, "sha256": sha256_file(exported)},
        "skipped": [pool.paths[item] for item in sorted(curve.skipped_items)],
    }
    columns = tuple(curve.rows[0])
    return TaskOutcome(
        metrics=_metrics_from_row(last, len(pool), recipe),
        item_columns=columns,
        item_rows=[[row[name] for name in columns] for row in curve.rows],
        selection=ModelSelection(
            split="none", metric="loss", candidates=1, chosen=f"{_length_unit(recipe)} {recipe.length}, the last"
        ),
        load_report=created.load_report,
        checkpoint_format=created.weight_file.format if created.weight_file else None,
        parameters=sum(parameter.numel() for parameter in built.method.exported_encoder.parameters()),
        phase_seconds={"train": trained.seconds, "export_and_draw": time.monotonic() - began},
        details=details,
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
        val_dataset=None,
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
    )


def _make_dataset(
    bundle: MethodBundle, pool: ImagePool, num_views: int, skip_bad: bool
) -> InMemoryDataset | ImageFileDataset:
    """What the loader serves: numbers of images that are in memory, or crops of files."""
    if pool.pixels is not None:
        return InMemoryDataset(pool)
    low, high = bundle.preprocessor.recipe.scale
    return ImageFileDataset(pool, bundle.preprocessor.img_size, (low, high), num_views, skip_bad)


def _refuse_metric(items: int) -> BaseMetric:
    raise AssertionError("a pre-training validates nothing")


def _make_curve_hook(
    task: PretrainSetup, request: RunRequest, recipe: PretrainRecipe, preprocessor: BatchPreprocessor
) -> LossCurveHook:
    labelled = task.load_knn_pool(request.data_root)
    check = KnnMonitor(labelled, recipe.knn_monitor, preprocessor) if labelled is not None else None
    return LossCurveHook(recipe.by_epoch, recipe.val_interval, check, recipe.knn_monitor.interval)


def _export_and_draw(
    task: PretrainSetup,
    request: RunRequest,
    recipe: PretrainRecipe,
    bundle: MethodBundle,
    curve: LossCurveHook,
    pool: ImagePool,
    run_dir: Path,
) -> Path:
    """Export and draw, in the first process."""
    made_by = {"method": task.method.name, "data": task.data.name, "length": f"{recipe.length} {_length_unit(recipe)}s"}
    encoder = bundle.method.exported_encoder
    path = export_encoder(encoder, request.card, bundle.preprocessor.img_size, run_dir, made_by)
    write_loss_curves(curve.rows, _length_unit(recipe), run_dir / "pictures" / "curves.png")
    _write_reconstructions(
        bundle, pool, request.seed, task.method.num_views, run_dir / "pictures" / "reconstructions.png"
    )
    return path


def _write_reconstructions(bundle: MethodBundle, pool: ImagePool, seed: int, num_views: int, path: Path) -> None:
    """Reconstructions of the first training images that can be decoded."""
    if type(bundle.method).reconstruct_images is PretrainMethod.reconstruct_images:
        return
    feed = bundle.preprocessor
    members = [
        item * (len(pool) // NUM_RECONSTRUCTIONS or 1) % len(pool)
        for item in range(min(NUM_RECONSTRUCTIONS, len(pool)))
    ]
    seeds = torch.tensor([derive_seed(seed, item) for item in members])
    batch: dict[str, Any] = {"item": torch.tensor(members), "seeds": seeds}
    dataset = _make_dataset(bundle, pool, num_views, skip_bad=True)
    if isinstance(dataset, ImageFileDataset):
        batch = {**batch, "crops": torch.stack([dataset[item]["crops"] for item in members])}
    data = feed(batch)
    bundle.method.eval()
    drawn = bundle.method.reconstruct_images(data["images"], data["seeds"])
    if drawn is not None:
        write_image_grid([feed.denormalize_images(each) for each in drawn], path)


def _metrics_from_row(
    row: Mapping[str, float | None], num_images: int, recipe: PretrainRecipe
) -> dict[str, MetricValue]:
    """The last row of the curve as the record's metrics."""
    loss, knn = row["loss"], row["knn"]
    assert loss is not None
    metrics = {"loss": MetricValue(value=loss, unit="", higher_is_better=False, n=num_images)}
    if knn is not None:
        metrics["knn"] = MetricValue(value=knn, unit="%", higher_is_better=True, n=recipe.knn_monitor.num_queries)
    return metrics


def _length_unit(recipe: PretrainRecipe) -> str:
    return "epoch" if recipe.by_epoch else "iteration"
