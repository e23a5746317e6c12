"""Try a backbone in each kind of task: built as the task's protocols build it, with random weights and with a file.

The file holds the backbone's own weights at its own input size, saved and read back, so that it shows what a task's
input size and pooling do to a genuine checkpoint.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from backbones.card import BackboneCard
from backbones.create import CreatedBackbone, create_backbone
from backbones.features import extract_pooled
from backbones.registry import get_card
from backbones.weights import RANDOM_INIT, locate_weights
from classification import plan as classification_plan
from engine.task import DataReport, RunPlan, RunRequest
from foundation.errors import BenchError
from segmentation import plan as segmentation_plan
from segmentation.models.segmentor import build_segmentor, pad_to_patch
from segmentation.recipe import SegmentationRecipe
from tracking.fit_crops import fit_crop_sizes
from tracking.inference.tracker_factory import build_tracker_model
from tracking.protocols import load_protocol_recipe

CLASSIFICATION_CONFIGS = Path(classification_plan.__file__).parent / "configs"
SEGMENTATION_CONFIGS = Path(segmentation_plan.__file__).parent / "configs"
NUM_CLASSES = 7
FEATURE_TOLERANCE = 1e-5
"""Largest difference of features, relative to their norm, between a model and one that was loaded from its file."""

_CLASSES = {f"class {index}": 100 for index in range(NUM_CLASSES)}
_SPLITS = {"train": 700, "val": 700, "test": 700}
_DATA = DataReport(fingerprint="0" * 64, splits=_SPLITS, class_counts=dict.fromkeys(_SPLITS, _CLASSES))


class Trial(NamedTuple):
    """The outcome of one backbone in one kind of task.

    Attributes:
        works: whether all protocols of the kind that were tried work.
        reason: the error's sentence where one does not; a crash begins with the name of its exception.
        crashed: whether the error is one that bench does not explain: always a fault of bench.
    """

    works: bool
    reason: str = ""
    crashed: bool = False


def try_backbone(name: str, kinds: Collection[str] | None = None) -> dict[str, Trial]:
    """Try a backbone in every kind of task, or in some.

    Args:
        name: as ``bench run --backbone`` takes it.
        kinds: names of ``TRIALS``; all when not given.

    Returns:
        Kind of task -> outcome.
    """
    chosen = {kind: trial for kind, trial in TRIALS.items() if kinds is None or kind in kinds}
    with tempfile.TemporaryDirectory() as folder, _fixed_seed():
        try:
            card = get_card(name)
            source = _OwnWeights(card, Path(folder) / "own.pth")
        except BenchError as error:
            return dict.fromkeys(chosen, Trial(False, str(error)))
        return {kind: _run_trial(trial, source) for kind, trial in chosen.items()}


class _OwnWeights:
    """A backbone with random weights at its own size, and the file that they were saved to."""

    def __init__(self, card: BackboneCard, file: Path) -> None:
        self.card, self.file = card, file
        self.model = create_backbone(card, checkpoint=RANDOM_INIT).model.eval()
        _move_norm_statistics(self.model)
        torch.save(self.model.state_dict(), file)

    def build(self, plan: RunPlan, checkpoint: str) -> CreatedBackbone:
        """Build the backbone as a run of the plan does, from random weights or from the file."""
        return self.make_request("any", checkpoint).build_backbone(plan.backbone_kwargs)

    def make_request(self, protocol: str, checkpoint: str = RANDOM_INIT) -> RunRequest:
        """Return a request as ``bench run`` makes it."""
        start = locate_weights(self.card, checkpoint)
        return RunRequest(self.card, start, protocol, "full", 0, (), Path("data"), "cpu")

    def require_complete_load(self, created: CreatedBackbone) -> None:
        """Require that all weights of the file are in the model.

        Raises:
            BenchError: they are not.
        """
        report = created.load_report
        if report is None or not report.is_complete:
            raise BenchError(f"its own weights do not load: {report and report.format_summary()}")


def _try_classification(source: _OwnWeights) -> None:
    """Fine-tuning and the frozen protocols at 224 px: one training step, and features; features at the own size."""
    again = create_backbone(source.card, checkpoint=str(source.file))
    source.require_complete_load(again)
    _require_same_tokens(again.model, source.model, torch.randn(1, *source.card.input_size))
    channels = source.card.input_size[0]
    for protocol in ("finetune", "linear"):
        config = CLASSIFICATION_CONFIGS / ("flowers_finetune.py" if protocol == "finetune" else "images_linear.py")
        plan = classification_plan.resolve_protocol(
            config, source.make_request(protocol), NUM_CLASSES, _DATA, is_photo_set=True
        )
        recipe = plan.config["recipe"]
        images = torch.randn(2, channels, recipe["img_size"], recipe["img_size"])
        for checkpoint in (RANDOM_INIT, str(source.file)):
            created = source.build(plan, checkpoint)
            if checkpoint != RANDOM_INIT:
                source.require_complete_load(created)
            if protocol == "finetune":
                _train_one_step(created.model, images)
                continue
            with torch.no_grad():
                features = extract_pooled(created.model.eval(), images, recipe["pool"])
            _require_finite(features)


def _try_segmentation(source: _OwnWeights) -> None:
    """Semantic FPN and UperNet at 512 px: the loss of one training step."""
    for protocol in ("semantic_fpn", "upernet"):
        config = SEGMENTATION_CONFIGS / f"ade20k_{protocol}.py"
        plan = segmentation_plan.resolve_protocol(config, source.make_request(protocol), _DATA)
        recipe = SegmentationRecipe.model_validate(plan.config["recipe"])
        for checkpoint in (RANDOM_INIT, str(source.file)):
            created = source.build(plan, checkpoint)
            if checkpoint != RANDOM_INIT:
                source.require_complete_load(created)
            model = build_segmentor(recipe, source.card, NUM_CLASSES, "BN", created=created).eval()
            size = pad_to_patch((recipe.crop, recipe.crop), created.model)
            images = torch.randn(1, 3, *size)
            with torch.no_grad():
                logits = model.encode_decode(images, [{"img_shape": images.shape[2:]}])
            if tuple(logits.shape) != (1, NUM_CLASSES, *size):
                raise BenchError(f"the logits have shape {tuple(logits.shape)}")
            _require_finite(logits)
            if protocol == "upernet":
                break  # the file was tried with the first protocol, and the backbone is the same


def _try_tracking(source: _OwnWeights) -> None:
    """The one-stream tracker at 128 and 256 px: the maps of one pair."""
    for checkpoint in (RANDOM_INIT, str(source.file)):
        recipe = load_protocol_recipe("ostrack256_ce")
        request = source.make_request("ostrack256_ce", checkpoint)
        created = request.build_backbone({"num_classes": 0, "drop_path_rate": recipe.drop_path})
        if checkpoint != RANDOM_INIT:
            source.require_complete_load(created)
        recipe = fit_crop_sizes(recipe, created.model, ()).recipe
        model = build_tracker_model(created.model, source.card, recipe).eval()
        sizes = recipe.crop_sizes()
        with torch.no_grad():
            maps = model(
                torch.randn(1, 3, sizes.template_size, sizes.template_size),
                torch.randn(1, 3, sizes.search_size, sizes.search_size),
            )
        _require_finite(maps.score)


TRIALS: Mapping[str, Callable[[_OwnWeights], None]] = {
    "classification": _try_classification,
    "segmentation": _try_segmentation,
    "tracking": _try_tracking,
}
"""Kind of task -> how a backbone is tried in it."""


def _run_trial(trial: Callable[[_OwnWeights], None], source: _OwnWeights) -> Trial:
    try:
        trial(source)
    except BenchError as error:
        # the folder of the file has another name at every trial
        return Trial(False, str(error).replace(f"checkpoint {source.file}", "file with its own weights"))
    except Exception as error:  # noqa: BLE001 - whatever timm raises belongs into the table, as a fault
        first = str(error).splitlines()[0] if str(error) else "no message"
        return Trial(False, f"{type(error).__name__}: {first}", crashed=True)
    return Trial(True)


def _move_norm_statistics(model: nn.Module) -> None:
    """Give weights that are constants after initialization other values, so that a tensor left out would show."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.rand(parameter.shape, generator=generator) - 0.5, alpha=0.02)
        for name, buffer in model.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.add_(torch.rand(buffer.shape, generator=generator), alpha=0.1)


def _train_one_step(model: nn.Module, images: Tensor) -> None:
    """Compute the gradients of one training step and require that they are finite."""
    logits = model.train()(images)
    loss = nn.functional.cross_entropy(logits, torch.arange(len(images)) % NUM_CLASSES)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for gradient in torch.autograd.grad(loss, trained, allow_unused=True):
        if gradient is not None:
            _require_finite(gradient)


def _require_same_tokens(loaded: nn.Module, original: nn.Module, images: Tensor) -> None:
    """Require that the loaded model computes the last tokens (or cells) of the original."""
    with torch.no_grad():
        got, want = (_compute_tokens(each, images) for each in (loaded.eval(), original))
    if isinstance(want, Tensor) and got.shape == want.shape:
        difference = float((got - want).norm() / want.norm())
        if not difference <= FEATURE_TOLERANCE:
            raise BenchError(
                f"loaded from its own file it computes other features (relative difference {difference:.2g})"
            )


def _compute_tokens(model: Any, images: Tensor) -> Any:
    """Return what the trunk of a timm model computes: a tensor, or a tuple of them in a few families."""
    return model.forward_features(images)


def _require_finite(values: Tensor) -> None:
    if not bool(torch.isfinite(values).all()):
        raise BenchError("the outcome is not finite")


@contextmanager
def _fixed_seed() -> Iterator[None]:
    """Draw the same numbers for every family, and leave the caller's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
