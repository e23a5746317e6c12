"""Adapt the first convolution of a checkpoint to a model with another number of input channels."""

from __future__ import annotations

from collections.abc import Mapping

from timm.models import adapt_input_conv
from torch import Tensor, nn

from backbones.checkpoints.formats import format_shape

_FILE_CHANNELS = 3


def adapt_input_channels(
    tensors: Mapping[str, Tensor], model: nn.Module, model_state: Mapping[str, Tensor], resized: list[str]
) -> dict[str, Tensor]:
    """Adapt weights for color images to the model's input channels by timm's rule.

    For one channel the three are summed, which gives the features of a color image with three equal channels. For more,
    the three are repeated in their order, cut off, and scaled by 3 / channels, so that outputs keep their size.

    Args:
        tensors: the tensors of a trunk, under timm's names.
        model: the timm model; its ``pretrained_cfg`` names the first convolution.
        model_state: the model's state dict.
        resized: a line is appended for each tensor that was adapted.

    Returns:
        All tensors. A first convolution for another number of channels than 3 stays as it is, so that the load report
        lists it as missing.
    """
    result = dict(tensors)
    named = (getattr(model, "pretrained_cfg", None) or {}).get("first_conv") or ()
    for layer in (named,) if isinstance(named, str) else named:
        name = f"{layer}.weight"
        theirs, own = result.get(name), model_state.get(name)
        if theirs is None or own is None or theirs.dim() != 4 or own.dim() != 4:
            continue
        channels = own.shape[1]
        if theirs.shape[1] == _FILE_CHANNELS != channels:
            result[name] = adapt_input_conv(channels, theirs)
            resized.append(
                f"{name} {format_shape(theirs)} -> {format_shape(result[name])} (from 3 to {channels} input channels)"
            )
    return result
