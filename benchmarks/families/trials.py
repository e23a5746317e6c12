"""Try a backbone in each kind of task: built as the task's protocols build it, with random weights and with a file.

The file holds the backbone's own weights at its own input size, saved and read back, so that it shows what a task's
input size and pooling do to a genuine checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from backbones.card import BackboneCard
from backbones.create import CreatedBackbone, create_backbone
from backbones.features import extract_pooled
from backbones.norm_place import place_pooled_norm
from backbones.registry import get_card
from backbones.weights import RANDOM_INIT, locate_weights
from classification import plan as classification_plan
from detection import plan as detection_plan
from detection.models.detector import build_detector
from detection.recipe import DetectionRecipe
from engine.task import DataReport, RunRequest
from foundation.errors import BenchError
from foundation.storage.leftovers import open_scratch_folder
from segmentation import plan as segmentation_plan
from segmentation.models.segmentor import build_segmentor, pad_to_patch
from segmentation.recipe import SegmentationRecipe
from tracking.fit_crops import fit_crop_sizes
from tracking.inference.tracker_factory import build_tracker_model
from tracking.protocols import load_protocol_recipe

CLASSIFICATION_CONFIGS = Path(classification_plan.__file__).parent / "configs"
SEGMENTATION_CONFIGS = Path(segmentation_plan.__file__).parent / "configs"
DETECTION_CONFIGS = Path(detection_plan.__file__).parent / "configs"
NUM_CLASSES = 7
FEATURE_TOLERANCE = 1e-5
"""Largest difference of features, relative to their norm, between a model and one that was loaded from its file."""

_NAMED_SETTING = re.compile(r"set (drop_path=0|pool=token)$")
_NARROW_DETECTOR = ("size=320", "model.channels=16", "model.box_channels=16")
_CLASSES = {f"class {index}": 100 for index in range(NUM_CLASSES)}
_SPLITS = {"train": 700, "val": 700, "test": 700}
_DATA = DataReport(fingerprint="0" * 64, splits=_SPLITS, class_counts=dict.fromkeys(_SPLITS, _CLASSES))


class Trial(NamedTuple):
    """The outcome of one backbone in one kind of task.

    Attributes:
        works: whether all protocols of the kind that were tried work.
        setting: the setting with which they do, as ``--set`` takes it, where the protocol's own cannot be followed.
        reason: the error's sentence where one does not; a crash begins with the name of its exception.
        crashed: whether the error is one that bench does not explain: always a fault of bench.
    """

    works: bool
    setting: str = ""
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
    with open_scratch_folder("trial") as folder, _fixed_seed():
        try:
            card = get_card(name)
            source = _OwnWeights(card, folder / "own.pth")
        except BenchError as error:
            return dict.fromkeys(chosen, Trial(False, reason=str(error)))
        return {kind: _run_trial(trial, source) for kind, trial in chosen.items()}


class _OwnWeights:
    """A backbone with random weights at its own size, and the file that they were saved to."""

    def __init__(self, card: BackboneCard, file: Path) -> None:
        self.card, self.file = card, file
        self.overrides: tuple[str, ...] = ()
        self.model = create_backbone(card, checkpoint=RANDOM_INIT).model.eval()
        _move_norm_statistics(self.model)
        torch.save(self.model.state_dict(), file)

    @property
    def starts(self) -> tuple[str, str]:
        """Random weights and the file, as ``--checkpoint`` takes them."""
        return RANDOM_INIT, str(self.file)

    def build(self, request: RunRequest, arguments: Mapping[str, Any]) -> CreatedBackbone:
        """Build the backbone as a run does; all weights of a file must be in it.

        Raises:
            BenchError: they are not.
        """
        created = request.build_backbone(arguments)
        if request.start.file is not None:
            self.require_complete_load(created)
        return created

    def make_request(self, protocol: str, checkpoint: str) -> RunRequest:
        """Return a request as ``bench run`` makes it."""
        start = locate_weights(self.card, checkpoint)
        return RunRequest(self.card, start, protocol, "full", 0, self.overrides, Path("data"), "cpu")

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
    for protocol, checkpoint in product(("flowers_finetune", "images_linear"), source.starts):
        request = source.make_request(protocol.partition("_")[2], checkpoint)
        plan = classification_plan.resolve_protocol(
            CLASSIFICATION_CONFIGS / f"{protocol}.py", request, NUM_CLASSES, _DATA, is_photo_set=True
        )
        created = source.build(request, plan.backbone_kwargs)
        recipe = plan.config["recipe"]
        images = torch.randn(2, source.card.input_size[0], recipe["img_size"], recipe["img_size"])
        if request.protocol == "finetune":
            _train_one_step(created.model, images)
        else:
            with torch.no_grad():
                _require_finite(extract_pooled(created.model.eval(), images, recipe["pool"]))


def _try_segmentation(source: _OwnWeights) -> None:
    """Semantic FPN and UperNet at 512 px: the logits of one crop."""
    # the backbone of both protocols is the same, so the file is tried with the first
    for protocol, checkpoint in (*product(("semantic_fpn",), source.starts), ("upernet", RANDOM_INIT)):
        request = source.make_request(protocol, checkpoint)
        plan = segmentation_plan.resolve_protocol(SEGMENTATION_CONFIGS / f"ade20k_{protocol}.py", request, _DATA)
        created = source.build(request, plan.backbone_kwargs)
        recipe = SegmentationRecipe.model_validate(plan.config["recipe"])
        model = build_segmentor(recipe, source.card, NUM_CLASSES, "BN", created=created).eval()
        size = pad_to_patch((recipe.crop, recipe.crop), created.model)
        with torch.no_grad():
            logits = model.encode_decode(torch.randn(1, 3, *size), [{"img_shape": size}])
        if tuple(logits.shape) != (1, NUM_CLASSES, *size):
            raise BenchError(f"the logits have shape {tuple(logits.shape)}")
        _require_finite(logits)


def _try_detection(source: _OwnWeights) -> None:
    """Mask R-CNN at 320 px with narrow parts: the pyramid of one image."""
    for checkpoint in source.starts:
        request = source.make_request("vitdet", checkpoint)
        request = replace(request, overrides=(*request.overrides, *_NARROW_DETECTOR))
        plan = detection_plan.resolve_protocol(DETECTION_CONFIGS / "coco_vitdet.py", request, _DATA)
        created = source.build(request, plan.backbone_kwargs)
        recipe = DetectionRecipe.model_validate(plan.config["recipe"])
        model = build_detector(recipe, source.card, NUM_CLASSES, has_masks=True, created=created).eval()
        with torch.no_grad():
            for level in model.compute_levels(torch.randn(1, 3, recipe.size, recipe.size)):
                _require_finite(level)


def _try_tracking(source: _OwnWeights) -> None:
    """The one-stream tracker at 128 and 256 px: the maps of one pair."""
    for checkpoint in source.starts:
        request = source.make_request("ostrack256_ce", checkpoint)
        recipe = load_protocol_recipe(request.protocol, source.overrides)
        arguments = {"num_classes": 0, "drop_path_rate": recipe.drop_path}
        created = source.build(request, place_pooled_norm(source.card, request.start, arguments))
        recipe = fit_crop_sizes(recipe, created.model, ()).recipe
        model = build_tracker_model(created.model, source.card, recipe).eval()
        crops = (torch.randn(1, 3, size, size) for size in (recipe.template_size, recipe.search_size))
        with torch.no_grad():
            _require_finite(model(*crops).score)


TRIALS: Mapping[str, Callable[[_OwnWeights], None]] = {
    "classification": _try_classification,
    "segmentation": _try_segmentation,
    "detection": _try_detection,
    "tracking": _try_tracking,
}
"""Kind of task -> how a backbone is tried in it."""


def _run_trial(trial: Callable[[_OwnWeights], None], source: _OwnWeights, setting: str = "") -> Trial:
    """Try a kind of task; where the refusal names the setting that helps, with this setting."""
    source.overrides = (setting,) if setting else ()
    try:
        trial(source)
    except BenchError as error:
        if not setting and (named := _NAMED_SETTING.search(str(error))):
            return _run_trial(trial, source, named[1])
        # the folder of the file has another name at every trial
        return Trial(False, reason=str(error).replace(f"checkpoint {source.file}", "file with its own weights"))
    except Exception as error:  # noqa: BLE001 - whatever timm raises belongs into the table, as a fault
        first = str(error).splitlines()[0] if str(error) else "no message"
        return Trial(False, reason=f"{type(error).__name__}: {first}", crashed=True)
    return Trial(True, setting)


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
