"""lightly's wrappers: a timm ViT as ``vit``, and ResNets as an ``nn.Sequential`` of torchvision's modules.

The names are those of ``masked_vision_transformer_timm.py`` and of lightly's examples.
"""

from __future__ import annotations

import re

from backbones.checkpoints.layouts.layout import PREFIX, Layout

_OUTSIDE = (
    (r"(\w+\.)*mask_token$", "mask token of the pre-training"),
    (r"((student|teacher|online)_)?(projection_head|prediction_head|head)\.", "projection head of the pre-training"),
)


def _resnet_stage(found: re.Match[str]) -> str:
    """Return timm's name of a stage: the children 4 to 7 of a ResNet, after convolution, norm, activation and pool."""
    return f"layer{int(found[1]) - 3}."


LIGHTLY_LAYOUTS = (
    Layout("lightly ViT", r"^((?:\w+\.)*?vit\.)blocks\.0\.norm1\.weight$", (), _OUTSIDE),
    Layout(
        "lightly ResNet",
        PREFIX + r"4\.0\.conv1\.weight$",
        ((r"^0\.", "conv1."), (r"^1\.", "bn1."), (r"^([4567])\.", _resnet_stage)),
        _OUTSIDE,
    ),
)
