"""Read a user's config of mmsegmentation, which is code, and build its model."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import inspect
import json
import logging
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DefaultScope
from torch import nn

from engine.progress_bar import log_message
from foundation.errors import UserError
from foundation.library_logs import silence_logging
from foundation.text.user_text import read_user_text
from segmentation.models import backbone, necks  # registers BenchBackbone, ScaledPyramid and LinearHead with mmseg
from segmentation.models.mmseg_imports import DATASETS, MODELS, BaseSegmentor
from segmentation.models.sliding_window import Size

__all__ = ["MmsegConfig", "backbone", "build_segmentor_of_config", "get_step_name", "necks", "read_mmseg_config"]


@dataclass(frozen=True)
class MmsegConfig:
    """What bench reads from a config.

    Attributes:
        path: the file.
        model: the entry ``model``; what the user changes is changed here.
        pipeline: the steps from an image file to the model's input, as mmseg's test loop takes them.
        sha256: of the entries of the resolved config that a test uses, the model and the pipeline.
        class_names: class names of its test data; empty if it does not say them.
        reduces_zero_label: whether its label files have 0 for pixels that are not scored, so that class 0 has the value
            1; ``None`` if it does not say it.
    """

    path: Path
    model: dict[str, Any]
    pipeline: Sequence[Mapping[str, Any]]
    sha256: str
    class_names: Sequence[str]
    reduces_zero_label: bool | None

    @property
    def input_size(self) -> Size | None:
        """Height and width of the training crops, if the config says them, pixels."""
        side = (self.model.get("data_preprocessor") or {}).get("size")
        if isinstance(side, int):
            return side, side
        return (int(side[0]), int(side[1])) if isinstance(side, list | tuple) and len(side) == 2 else None

    @property
    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel, for pixel values in 0 to 1."""
        entry = self.model.get("data_preprocessor") or {}
        mean, std = entry.get("mean"), entry.get("std")
        if mean is None or std is None:
            return (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)  # pixels of 0 to 255 as they are
        return tuple(value / 255 for value in mean), tuple(value / 255 for value in std)


def read_mmseg_config(path: Path) -> MmsegConfig:
    """Read a config and the files that it is based on. They are executed, which is said on stderr.

    Args:
        path: the config, a Python file.

    Raises:
        UserError: it cannot be read, or is not a config of mmsegmentation.
    """
    if not path.is_file():
        raise UserError(f"there is no config at {path}; fix the path")
    # mmengine reads it as UTF-8, and its error does not say which line is not
    read_user_text(path, UserError)
    log_message(f"the config {path} is code and is executed now: name only configs that you trust")
    try:
        with contextlib.redirect_stdout(sys.stderr), silence_logging(logging.INFO):
            content = Config.fromfile(path)
    except (Exception, SystemExit) as error:  # whatever the code of a user raises
        raise UserError(f"the config {path} cannot be read ({_summarize_error(error)}); fix it") from error
    # the scope decides in whose registry a type is looked up; mmdet has models of the same names
    scope = content.get("default_scope") or "mmseg"
    if scope != "mmseg":
        raise UserError(f"{path} is a config of {scope} (its default_scope), not of mmsegmentation")
    if not isinstance(content.get("model"), Mapping) or "type" not in content["model"]:
        raise UserError(
            f"{path} is not a config of mmsegmentation: it has no model with a type; name the complete config"
        )
    dataset = _find_test_dataset(content)
    pipeline = dataset.get("pipeline") or content.get("test_pipeline")
    if not pipeline:
        raise UserError(f"{path} has no test pipeline (test_dataloader.dataset.pipeline or test_pipeline); add one")
    if not isinstance(pipeline, list | tuple) or not all(isinstance(step, Mapping) for step in pipeline):
        raise UserError(f"the test pipeline of {path} is not a list of steps, dict(type=...) each; fix it")
    return MmsegConfig(
        path=path,
        model=copy.deepcopy(content["model"]),
        pipeline=copy.deepcopy(pipeline),
        # before the user's settings are put into the model: these stand in the record by themselves
        sha256=_hash_used_parts(content["model"], pipeline),
        class_names=_find_class_names(dataset),
        reduces_zero_label=_find_zero_label(dataset, pipeline),
    )


def _summarize_error(error: BaseException) -> str:
    """Return type and last line of what somebody else's code raised; the last line of a chain of errors says the cause.

    Args:
        error: what was raised.
    """
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1][:300]}" if lines else type(error).__name__


def _hash_used_parts(model: Mapping[str, Any], pipeline: Sequence[Mapping[str, Any]]) -> str:
    """Return the SHA-256 of what a test uses of a config.

    Folders of somebody's data and work, the optimizer and the start weights change no number of finished weights, and
    so must not make another model of it.
    """
    used = _make_plain([_drop_start_weights(model), pipeline])
    return hashlib.sha256(json.dumps(used).encode()).hexdigest()


def _make_plain(value: Any) -> Any:
    """Return a value of a config as JSON has it, with keys in order, and classes and functions by their names."""
    if isinstance(value, Mapping):
        return {str(key): _make_plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [_make_plain(each) for each in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    # a config in Python's style names classes and functions as objects, whose text would have an address
    name = getattr(value, "__qualname__", None)
    return f"{value.__module__}.{name}" if name else str(value)


def _find_test_dataset(content: Config) -> Mapping[str, Any]:
    """Return the innermost data set of the test loader, or of the validation loader; empty if there is none."""
    for name in ("test_dataloader", "val_dataloader"):
        loader: Any = content.get(name)
        dataset: Any = loader.get("dataset") if isinstance(loader, Mapping) else None
        while (
            isinstance(dataset, Mapping)
            and "pipeline" not in dataset
            and (dataset.get("dataset") or dataset.get("datasets"))
        ):
            dataset = dataset.get("dataset") or dataset["datasets"][0]
        if isinstance(dataset, Mapping):
            return dataset
    return {}


def get_step_name(step: Mapping[str, Any]) -> str:
    """Return the name of a step's class, without its scope or module.

    Args:
        step: a step of a pipeline; its type is a name (``mmseg.LoadAnnotations``) or the class.
    """
    kind = step.get("type")
    return kind.rpartition(".")[2] if isinstance(kind, str) else getattr(kind, "__name__", str(kind))


def _find_dataset_class(dataset: Mapping[str, Any]) -> Any:
    kind = dataset.get("type")
    return DATASETS.get(kind) if isinstance(kind, str) else kind


def _find_class_names(dataset: Mapping[str, Any]) -> Sequence[str]:
    names = (dataset.get("metainfo") or {}).get("classes")
    if names is None:
        names = getattr(_find_dataset_class(dataset), "METAINFO", {}).get("classes")
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()


def _find_zero_label(dataset: Mapping[str, Any], pipeline: Sequence[Mapping[str, Any]]) -> bool | None:
    for entry in (dataset, *(step for step in pipeline if get_step_name(step) == "LoadAnnotations")):
        if entry.get("reduce_zero_label") is not None:
            return bool(entry["reduce_zero_label"])
    # ADE20KDataset, for example, reduces the zero label unless it is told not to
    kind = _find_dataset_class(dataset)
    if kind is None:
        return None
    default = inspect.signature(kind).parameters.get("reduce_zero_label")
    return default.default if default is not None and isinstance(default.default, bool) else None


def build_segmentor_of_config(config: MmsegConfig, device: str) -> nn.Module:
    """Build the model of a config with random weights; those that the config names are not read.

    Args:
        config: the config.
        device: off a GPU, synchronized batch norm becomes plain batch norm.

    Raises:
        UserError: the model cannot be built, or is not a segmentation model.
    """
    described = _drop_start_weights(config.model)
    described["test_cfg"] = described.get("test_cfg") or {"mode": "whole"}
    with (
        DefaultScope.overwrite_default_scope("mmseg"),
        contextlib.redirect_stdout(sys.stderr),
        silence_logging(logging.INFO),
        warnings.catch_warnings(),
        torch.random.fork_rng(devices=[]),
    ):
        warnings.simplefilter("ignore")  # on defaults of losses and the like, which matter in training only
        try:
            model: nn.Module = MODELS.build(ConfigDict(described))
        except Exception as error:  # whatever the code of mmseg or a user raises
            raise UserError(
                f"the model of {config.path} cannot be built by mmsegmentation ({_summarize_error(error)}); if it is "
                "of another library, or needs custom_imports, complete the config"
            ) from error
    if not isinstance(model, BaseSegmentor) or not hasattr(model, "decode_head"):
        raise UserError(f"the model of {config.path} is a {type(model).__name__}, not a segmentation model of mmseg")
    # synchronized batch norm does not train on a CPU, and some versions of torch refuse its forward pass there
    if device != "cuda":
        with silence_logging(logging.INFO):
            model = revert_sync_batchnorm(model)
    return model


def _drop_start_weights(value: Any) -> Any:
    """Return a model's config without the weights that its parts would start from: the checkpoint has all of them."""
    if isinstance(value, list | tuple):
        return type(value)(_drop_start_weights(each) for each in value)
    if not isinstance(value, Mapping):
        return value
    changed = {key: _drop_start_weights(each) for key, each in value.items()}
    if "init_cfg" in changed:
        changed["init_cfg"] = None
    if "pretrained" in changed:
        changed["pretrained"] = False if isinstance(changed["pretrained"], bool) else None
    # without a file it would load the weights of its card, or fetch them
    if changed.get("type") in ("BenchBackbone", backbone.BenchBackbone):
        changed["checkpoint"] = "random"
    return changed
