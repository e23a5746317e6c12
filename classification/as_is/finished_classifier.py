"""Open a finished classifier: the whole network with its own head, and the preprocessing that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from backbones.build_model import build_model
from backbones.card import DISTILLATION_HEAD, BackboneCard
from backbones.checkpoints.fit_tensors import fit_tensors, get_head_prefixes
from backbones.checkpoints.load_weights import LoadReport, load_weight_file, make_headless_error
from backbones.checkpoints.read_checkpoint import WeightFile, read_weights
from backbones.color_input import require_color_input
from backbones.pooling import norms_pooled_mean
from backbones.registry import get_card, require_own_architecture
from backbones.stated_input import state_input
from backbones.weight_sources.hub import read_hub_preprocessing
from backbones.weights import InitialWeights, locate_weights, require_matching_sha256
from classification.as_is.head_classes import HeadClasses, HeadOrigin, make_head_classes
from classification.as_is.memory_classifier import copy_memory_classifier
from classification.as_is.preprocessing import Preprocessing, describe_test_size, resolve_preprocessing
from classification.as_is.run_weights import FinishedRun, find_tested_weights, list_model_arguments, read_finetuned_run
from classification.as_is.settings import ClassifierSettings, parse_settings
from deployment.runtimes import require_runtime
from engine.evaluation.checkpoint_run import find_checkpoint_run
from engine.evaluation.model_source import ModelSource
from foundation.errors import CheckpointError, UserError


@dataclass(frozen=True)
class FinishedClassifier:
    """A classifier that is ready for use.

    Attributes:
        card: the backbone's card, with the normalization that is used.
        model: the network, images (n, 3, height, width) to logits (n, classes), in evaluation mode on the CPU.
        preprocessing: how an image becomes its input.
        head: the classes of its outputs.
        arguments: arguments with which the model was made.
        start: where the weights come from.
        file: the weight file, without its tensors, which the model has.
        report: what was loaded.
        settings: what the user set.
        run: the run that trained it; ``None`` if it is no run of bench.
        notes: sentences about the preprocessing.
    """

    card: BackboneCard
    model: nn.Module = field(repr=False)
    preprocessing: Preprocessing
    head: HeadClasses
    arguments: Mapping[str, Any]
    start: InitialWeights
    file: WeightFile
    report: LoadReport
    settings: ClassifierSettings
    run: FinishedRun | None = None
    notes: tuple[str, ...] = ()

    def is_run_of(self, task: str) -> bool:
        """Return whether a run of a task trained it."""
        return self.run is not None and self.run.record.task == task

    @property
    def transform(self) -> Any:
        """The transform from a PIL image (RGB) to a normalized tensor (3, height, width)."""
        return self.preprocessing.make_transform()


class _WholeModel(NamedTuple):
    model: nn.Module
    arguments: dict[str, Any]
    report: LoadReport


def open_classifier(source: ModelSource, num_classes: int | None = None) -> FinishedClassifier:
    """Open a finished classifier, for example in a notebook.

    Args:
        source: which model, and how it is applied.
        num_classes: number of classes that its head must have; any number when not given.

    Raises:
        UserError: there is no such model, it has no classifier, or one of another number of classes.

    Example:
        >>> from engine.evaluation.model_source import ModelSource
        >>> found = open_classifier(ModelSource(run=folder))  # doctest: +SKIP
        >>> logits = found.model(found.transform(image)[None])  # doctest: +SKIP
    """
    source.require_one_place()
    # before the weights are read, which takes longer
    if source.runtime != "torch":
        require_runtime(source.runtime, source.precision)
    if source.config is not None:
        raise UserError(
            "--config is for mmsegmentation; name a classifier with --run, or with --backbone [--checkpoint]"
        )
    settings = parse_settings(source.overrides)
    if source.module is not None:
        opened = _open_module(source, settings)
    else:
        opened = _open_backbone(source, settings) if source.backbone is not None else _open_run(source, settings)
    if num_classes not in (None, opened.head.num_classes):
        raise UserError(
            f"the head of {opened.file.path} has {opened.head.num_classes:,} classes, not {num_classes:,}; choose "
            "weights with a head for these classes"
        )
    return opened


def _open_backbone(source: ModelSource, settings: ClassifierSettings) -> FinishedClassifier:
    """Open a backbone of the registry or timm's with the head of its own weights, or of a file."""
    assert source.backbone is not None
    card = get_card(source.backbone)
    require_color_input(card)
    if source.checkpoint is None and card.weights is None:
        raise UserError(
            f"{card.name} has no weights, and a network of random numbers is no finished model; add --checkpoint FILE"
        )
    file = None if source.checkpoint is None else str(source.checkpoint)
    start = locate_weights(card, file, source.weights_key)
    if start.file is None:
        raise UserError("--checkpoint random is no finished model; name a file with a trained classifier")
    content = read_weights(start.file, start.weights_key)
    if start.init == "card":
        require_matching_sha256(card, content.path, content.sha256)
    if source.checkpoint is not None:
        _require_no_run(source.checkpoint)
    # the size comes first, since position embeddings are resampled to it when the weights are loaded
    size = (settings.img_size, settings.img_size) if settings.img_size else (card.input_size[1], card.input_size[2])
    whole = _load_whole_model(card, start, content, size, {}, card.input_size[1:])
    require_own_architecture(card)
    # timm knows the configuration of its own models; a repository of the hub states its own, which counts more
    config = {**(getattr(whole.model, "pretrained_cfg", None) or {}), **read_hub_preprocessing(card.name)}
    own = resolve_preprocessing(card, config)
    used = own.apply_settings(settings)
    origin: HeadOrigin = "card" if start.init == "card" else "checkpoint"
    return _make_classifier(
        card,
        whole,
        used,
        make_head_classes(whole.arguments["num_classes"], origin),
        (start, content),
        settings,
        notes=() if settings.img_size else describe_test_size(card, config, used),
    )


def _require_no_run(checkpoint: Path) -> None:
    """Check that a file of which the card alone says size and normalization was not trained by a run here.

    Raises:
        UserError: it was; the record of the run says them, the names of the classes, and which images it has seen.
    """
    # other files may lie in the folder of a run, too, for example a user's own beside it
    if checkpoint.absolute().parent.name != "checkpoints":
        return
    try:
        folder = find_checkpoint_run(checkpoint)
    except UserError:
        return
    raise UserError(
        f"{checkpoint} is of the run in {folder}, whose record says its classes, input size and normalization; leave "
        "--backbone out, or copy the file to another folder if it is meant for the card's"
    )


def _open_module(source: ModelSource, settings: ClassifierSettings) -> FinishedClassifier:
    """Open a classifier that was handed over as a torch module."""
    found = copy_memory_classifier(source.module, settings.img_size)
    require_color_input(found.card)
    own = resolve_preprocessing(found.card, getattr(found.model, "pretrained_cfg", None) or {})
    whole = _WholeModel(found.model, {"num_classes": found.num_classes}, found.report)
    # nobody names the outputs of a module, as of a user's file
    head = make_head_classes(found.num_classes, "checkpoint")
    return _make_classifier(found.card, whole, own.apply_settings(settings), head, (found.start, found.file), settings)


def _open_run(source: ModelSource, settings: ClassifierSettings) -> FinishedClassifier:
    """Open the network of a run, or of a checkpoint in its folder."""
    folder = source.run
    if folder is None:
        assert source.checkpoint is not None  # require_one_place
        folder = find_checkpoint_run(source.checkpoint)
    run = read_finetuned_run(folder)
    file = find_tested_weights(run) if source.checkpoint is None else source.checkpoint
    start = locate_weights(run.card, str(file), source.weights_key)
    assert start.file is not None
    content = read_weights(start.file, start.weights_key)
    side, recipe = run.recipe.img_size, run.recipe
    # as classification/data/image_dataset.py makes the test images of a run
    own = Preprocessing(
        (side, side), float(getattr(recipe, "crop_pct", 1.0)), "center", "bicubic", run.card.mean, run.card.std
    )
    used = own.apply_settings(settings)
    arguments = list_model_arguments(run.record)
    whole = _load_whole_model(run.card, start, content, used.img_size, arguments, (side, side))
    require_own_architecture(run.card)
    head = make_head_classes(whole.arguments["num_classes"], "run", run.class_names, run.record.task)
    return _make_classifier(run.card, whole, used, head, (start, content), settings, run)


def _make_classifier(
    card: BackboneCard,
    whole: _WholeModel,
    preprocessing: Preprocessing,
    head: HeadClasses,
    weights: tuple[InitialWeights, WeightFile],
    settings: ClassifierSettings,
    run: FinishedRun | None = None,
    notes: tuple[str, ...] = (),
) -> FinishedClassifier:
    # a finished model is never trained on, and without gradients its outputs need less memory
    for parameter in whole.model.parameters():
        parameter.requires_grad_(False)
    # the normalization that the user set is part of the id, as the card's own would be
    card = replace(card, mean=preprocessing.mean, std=preprocessing.std)
    model, (start, file) = whole.model.eval(), weights
    # a user may hand over the model itself, which then has to say what pixels it is for
    stated = {key: value for key, value in preprocessing.as_dict().items() if key != "img_size"}
    state_input(model, (len(card.mean), *preprocessing.img_size), **stated)
    file = file._replace(tensors={})  # a second copy of the weights would only fill the memory
    return FinishedClassifier(
        card, model, preprocessing, head, whole.arguments, start, file, whole.report, settings, run, notes
    )


def _load_whole_model(
    card: BackboneCard,
    start: InitialWeights,
    file: WeightFile,
    size: tuple[int, int],
    arguments: Mapping[str, Any],
    made_for: tuple[int, ...],
) -> _WholeModel:
    """Build a model with the classifier that a file has, and load both; nothing may be missing or left over.

    The pooling follows from the file: with a norm after pooling (``fc_norm``) and none before, the mean of the patch
    tokens is classified; with a second classifier that learned from a teacher (``head_dist``) the model has it too.
    Everything else is as the model has it.

    Args:
        card: the backbone's card.
        start: where the weights come from.
        file: the weights.
        size: height and width of the input, pixels.
        arguments: for timm's ``create_model``, where a run states them.
        made_for: height and width that the weights were made for.

    Raises:
        CheckpointError: the file has no classifier, or does not fit the model.
    """
    model = build_model(card, size, arguments)
    settings = dict(arguments)
    # a run states its pooling, and the weights of a card fit the model that the card describes
    if not settings and norms_pooled_mean(card, start) and "fc_norm.weight" not in model.state_dict():
        settings["global_pool"] = "avg"
        model = build_model(card, size, settings)
    if "head_dist.weight" in file.tensors and "head_dist.weight" not in model.state_dict():
        # without it half of the model would be scored, and nobody would see it
        settings[DISTILLATION_HEAD] = True
        model = build_model(card, size, settings)
    own = start.init == "card"
    # a user's file may have been made for another size than the card says
    stated = (made_for[0], made_for[1]) if own or arguments else None
    # the model is built anew only if its head has another number of classes than timm's default
    count = _count_head_classes(model, file, stated)
    if count != getattr(model, "num_classes", None):
        settings["num_classes"] = count
        model = build_model(card, size, settings)
    report = load_weight_file(
        model,
        file,
        allow_partial=False,
        card_heads=card.heads if own else None,
        card_size=stated,
        with_head=True,
    )
    return _WholeModel(model, {**settings, "num_classes": count}, report)


def _count_head_classes(model: nn.Module, file: WeightFile, made_for: tuple[int, int] | None) -> int:
    """Return how many classes the classifier in a file has.

    Raises:
        CheckpointError: it has none.
    """
    # a distilled DeiT has two classifiers, each with as many classes
    names = [f"{prefix}weight" for prefix in get_head_prefixes(model)]
    source = file.source or str(file.path)
    # only names and shapes are read here; the names may be another project's until the file is fitted
    fitted = fit_tensors(
        model, file.tensors, source=source, arguments=file.arguments, card_size=made_for, with_head=True
    )
    # the norm in front of a second classifier has one dimension, and no classes
    found = [fitted.tensors[name] for name in names if name in fitted.tensors and fitted.tensors[name].ndim > 1]
    if not found or not found[0].numel():
        raise make_headless_error(source, names)
    if any(len(each) != len(found[0]) for each in found):
        raise CheckpointError(f"the checkpoint {source} has classifiers of different sizes ({', '.join(names)})")
    return len(found[0])
