"""Open a model that a config of mmsegmentation describes, with the weights of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from backbones.card import BackboneCard
from backbones.checkpoints.reading.read_content import read_content
from backbones.checkpoints.reading.weight_versions import find_tensors
from backbones.memory_modules.module_hash import hash_code
from backbones.weights import hash_weight_file, require_weight_file
from engine.evaluation.model_source import ModelSource
from foundation.errors import CheckpointError, UserError
from foundation.source_hash import hash_module_sources, is_library_module
from results.records.record import BackboneRecord, StartCheckpoint
from segmentation.as_is.finished_model import FinishedSegmentor
from segmentation.as_is.mmseg_config import MmsegConfig, build_segmentor_of_config, read_mmseg_config
from segmentation.as_is.mmseg_inference import MmsegInference
from segmentation.as_is.settings import SegmentationSettings, get_both_sides
from segmentation.data.labels import MAX_CLASSES

MAX_NAMED_TENSORS = 3

MM_LIBRARIES = ("mmseg", "mmcv", "mmengine")
"""Every record holds the versions of these."""

DEFAULT_INPUT_SIZE = (512, 512)
"""The size at which a model is counted and timed whose config names neither windows nor a size."""


class _Weights(NamedTuple):
    """The weights of a checkpoint, which of them they are, and the class names that it keeps."""

    tensors: Mapping[str, torch.Tensor]
    identity_key: str | None
    class_names: Sequence[str]


def open_config_segmentor(source: ModelSource, settings: SegmentationSettings, device: str) -> FinishedSegmentor:
    """Open a model of mmsegmentation.

    Args:
        source: names the config, which is executed, and the checkpoint.
        settings: how the model is applied, where that differs from the config.
        device: where it is computed.

    Raises:
        UserError: the config is not one of mmsegmentation, or cannot be built.
        CheckpointError: the weights do not fit the model, all of it.
    """
    assert source.config is not None
    assert source.checkpoint is not None
    # before the config is executed: a wrong path is found without running anything
    path = require_weight_file(source.checkpoint)
    config = read_mmseg_config(source.config)
    _change_inference(config, settings)
    model = build_segmentor_of_config(config, device)
    # a cascade has several heads, and keeps the number of the last one itself
    num_classes = int(getattr(model, "num_classes", 0) or getattr(model.decode_head, "num_classes", 0))
    if not 2 <= num_classes <= MAX_CLASSES:
        raise UserError(f"the model of {config.path} has {num_classes} classes; bench evaluates 2 to {MAX_CLASSES}")
    weights = _read_weights(path, source.weights_key)
    if weights.class_names and len(weights.class_names) != num_classes:
        raise UserError(
            f"{path} was trained on {len(weights.class_names)} classes ({', '.join(weights.class_names[:3])} ...), and "
            f"the model of {config.path} has {num_classes}; give the config that it was trained with"
        )
    load_all_weights(model, weights.tensors, path)
    model = model.to(device).eval()
    inference = MmsegInference(model, config)
    return FinishedSegmentor(
        model=model,
        network=model,
        prepare=inference.prepare_image,
        normalize=inference.normalize,
        windows=inference.windows,
        align_corners=bool(getattr(model, "align_corners", False)),
        num_classes=num_classes,
        class_names=tuple(weights.class_names or config.class_names),
        first_label=None if config.reduces_zero_label is None else int(config.reduces_zero_label),
        input_size=inference.windows.size or config.input_size or DEFAULT_INPUT_SIZE,
        record=_describe_model(config, model, inference, path, weights.identity_key),
        test_mode=inference.test_mode,
        segment_by_itself=None if inference.is_followed else inference.segment_by_itself,
    )


def _change_inference(config: MmsegConfig, settings: SegmentationSettings) -> None:
    """Put the settings of the user into the config's ``test_cfg``."""
    if settings.mode is None and settings.crop is None and settings.stride is None:
        return
    test = dict(config.model.get("test_cfg") or {})
    mode = settings.mode or test.get("mode", "whole")
    if mode == "whole":
        if settings.crop or settings.stride:
            raise UserError(
                f"{config.path} segments complete images (test_cfg mode whole), so crop and stride have no effect; add "
                "--set mode=slide"
            )
        config.model["test_cfg"] = {"mode": "whole"}
        return
    for name, value in (("crop_size", settings.crop), ("stride", settings.stride)):
        if value is not None:
            test[name] = get_both_sides(value)
    if "crop_size" not in test or "stride" not in test:
        raise UserError(f"{config.path} has no windows (test_cfg mode whole); add --set mode=slide crop=512 stride=341")
    config.model["test_cfg"] = {**test, "mode": "slide"}


def _read_weights(path: Path, weights_key: str | None) -> _Weights:
    content = read_content(path).content
    found = find_tensors(content, weights_key)
    if not found.tensors:
        keys = f"; it has {', '.join(key or 'the top level' for key in found.keys)}" if found.keys else ""
        raise CheckpointError(f"{path} has no weights {f'under {weights_key}' if weights_key else 'in it'}{keys}")
    meta: Any = content.get("meta") if isinstance(content, Mapping) else None
    names: Any = ()
    if isinstance(meta, Mapping):
        data: Any = meta.get("dataset_meta")
        # CLASSES is what mmsegmentation 0.x wrote
        names = data.get("classes") if isinstance(data, Mapping) else meta.get("CLASSES")
    is_list = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    # a model that was trained on several devices has its names behind "module."
    tensors = {name.removeprefix("module."): value for name, value in found.tensors.items()}
    return _Weights(tensors, found.identity_key, tuple(names) if is_list else ())


def load_all_weights(model: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Load weights into a model that must have exactly these.

    Args:
        model: the model.
        tensors: the weights by name.
        path: their file, for messages.

    Raises:
        CheckpointError: tensors are missing or not expected, or have another shape; the message names the first three.
    """
    # load_state_dict would list every name; of a wrong config that is hundreds of lines
    own = model.state_dict()
    other_shapes = [
        f"{name} ({_format_shape(tensors[name])} in the file, {_format_shape(own[name])} in the model)"
        for name in own.keys() & tensors.keys()
        if tensors[name].shape != own[name].shape
    ]
    faults = (
        ("lacks", sorted(own.keys() - tensors.keys())),
        ("has tensors that the model does not have:", sorted(tensors.keys() - own.keys())),
        ("has other shapes:", sorted(other_shapes)),
    )
    said = []
    for what, names in faults:
        if names:
            more = f" and {len(names) - MAX_NAMED_TENSORS} more" if len(names) > MAX_NAMED_TENSORS else ""
            said.append(f"{what} {', '.join(names[:MAX_NAMED_TENSORS])}{more}")
    if said:
        raise CheckpointError(
            f"{path} does not fit the model of the config: it {'; it '.join(said)}; give the config that it was "
            "trained with"
        )
    model.load_state_dict(dict(tensors), strict=True)


def _format_shape(tensor: torch.Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "one number"


def _describe_model(
    config: MmsegConfig, model: nn.Module, inference: MmsegInference, path: Path, identity_key: str | None
) -> BackboneRecord:
    """Describe the model for a record: what it is made of, how it is applied, and its weights."""
    parts = {
        name: type(part).__name__
        for name, part in (("segmentor", model), *model.named_children())
        if name in ("segmentor", "backbone", "neck", "decode_head")
    }
    backbone = parts.get("backbone", "model")
    height, width = inference.windows.size or config.input_size or DEFAULT_INPUT_SIZE
    mean, std = config.normalization
    card = BackboneCard(
        name=f"mmseg/{backbone}-{parts.get('decode_head', 'head')}",
        architecture="mmseg",
        summary="a config of mmsegmentation",
        input_size=(3, height, width),
        mean=mean,
        std=std,
        prefix_tokens=0,  # the card describes a whole model, whose tokens nobody asks for
    )
    arguments: dict[str, Any] = {"config_sha256": config.sha256, "parts": parts, **inference.describe()}
    if code := _hash_foreign_code(model, inference):
        arguments["code"] = code
    checkpoint = StartCheckpoint(
        uri=str(path),
        sha256=hash_weight_file(path),
        bytes=path.stat().st_size,
        weights_key=identity_key,
        format="mmsegmentation",
    )
    return BackboneRecord(
        name=card.name,
        card=card.as_dict(),
        arguments=arguments,
        init="checkpoint",
        checkpoint=checkpoint,
    )


def _hash_foreign_code(model: nn.Module, inference: MmsegInference) -> str | None:
    """Return a SHA-256 of the code of the model and its pipeline that is no library's; ``None`` if there is none.

    The config only names the classes of a user. They may change and keep their names.
    """
    objects = [*model.modules(), *inference.pipeline.transforms]
    names = {type(each).__module__ for each in objects}
    foreign = {name for name in names if not is_library_module(name) and name.partition(".")[0] not in MM_LIBRARIES}
    if not foreign:
        return None
    source = hash_module_sources(named=foreign)
    if source is not None and source.is_current:
        return source.sha256
    # code that the config file itself defines, or that was edited after it was imported
    # the word keeps it apart from models whose source was found
    return f"unknown {hash_code(model)}"
