"""Rename the tensors of lukemelas' EfficientNet, and of the EfficientNet-Lite made from it, to timm's names.

The authors number the blocks through (``_blocks.0`` ...), timm by stage and block. A block without an expansion has
two batch norms, all others three; the numbers of the norms count in the order of the layers in both.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import timm
from torch import Tensor, nn

from foundation.errors import CheckpointError

_BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(.+)")
_OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_WITHOUT_EXPANSION = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_WITH_EXPANSION = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_SQUEEZE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}


_BATCH_NORM_EPS = 1e-3
"""What the authors' batch norms add to the variance, as TensorFlow's; timm's own EfficientNet adds 1e-5."""


def refuse_other_efficientnet(tensors: Collection[str], model: nn.Module, source: str) -> None:
    """Refuse the authors' weights for a model with timm's own padding and batch norm.

    The authors compute as TensorFlow does. timm's models without ``tf_`` have the same names and shapes, pad elsewhere
    and add less to the variance, which gives plausible, wrong features.

    Args:
        tensors: the names of the file's tensors, under the authors' names.
        model: the timm model.
        source: the file, for messages.

    Raises:
        CheckpointError: the file has the authors' names, and the model computes otherwise.
    """
    norm = getattr(model, "bn1", None)
    if "_conv_stem.weight" not in tensors or not isinstance(norm, nn.BatchNorm2d) or norm.eps == _BATCH_NORM_EPS:
        return
    name = str((getattr(model, "pretrained_cfg", None) or {}).get("architecture", ""))
    known = (
        f"timm/tf_{name}" if timm.is_model(f"tf_{name}") else "one of timm's models with tf_efficientnet in their names"
    )
    raise CheckpointError(
        f"the checkpoint {source} is an EfficientNet in the layout of its PyTorch authors, which pads and normalizes "
        f"as TensorFlow does, and the backbone does not; choose {known}"
    )


def rename_efficientnet(tensors: Mapping[str, Tensor], model_keys: Collection[str]) -> dict[str, Tensor]:
    """Return tensors under timm's names; those of any other layout, or for another model, as they are.

    Args:
        tensors: the tensors of a file by name.
        model_keys: names of the model's tensors.
    """
    places = sorted({(int(stage), int(block)) for stage, block in map(_find_place, model_keys) if stage})
    if "_conv_stem.weight" not in tensors or "conv_stem.weight" not in model_keys or not places:
        return dict(tensors)
    renamed = {}
    for name, value in tensors.items():
        found = _BLOCK.fullmatch(name)
        if found is None:
            layer, _, rest = name.partition(".")
            renamed[f"{_OUTER[layer]}.{rest}" if layer in _OUTER else name] = value
            continue
        number, layer, rest = int(found[1]), found[2], found[3]
        layers = _WITH_EXPANSION if f"_blocks.{number}._expand_conv.weight" in tensors else _WITHOUT_EXPANSION
        layer = {**layers, **_SQUEEZE}.get(layer, "")
        if layer and number < len(places):
            renamed["blocks.{}.{}.{}.{}".format(*places[number], layer, rest)] = value
        else:
            renamed[name] = value  # the load report lists it as unexpected
    return renamed


def _find_place(name: str) -> tuple[str, str]:
    found = re.match(r"blocks\.(\d+)\.(\d+)\.", name)
    return (found[1], found[2]) if found else ("", "")
