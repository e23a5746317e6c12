"""A model says what its input is, as timm's models do, so that whoever is handed the module applies it rightly."""

from __future__ import annotations

from typing import Any

from torch import nn


def state_input(model: nn.Module, input_size: tuple[int, int, int], **preprocessing: Any) -> None:
    """Write into the ``pretrained_cfg`` of a model what its input is, in place of what timm says of the architecture.

    What timm says may be about other weights: their normalization is not that of the card, and their crop is not that
    of the run that trained these. A module from memory is described by its ``pretrained_cfg``, so a model that was
    loaded and handed over again would be tested on other pixels.

    Args:
        model: a model that was built for one owner.
        input_size: channels, height and width, pixels.
        preprocessing: further entries of ``pretrained_cfg``: ``mean``, ``std``, ``crop_pct``, ``interpolation`` ...
    """
    config: Any = getattr(model, "pretrained_cfg", None) or {}
    stated: Any = {**config, "input_size": input_size, **preprocessing}
    model.pretrained_cfg = stated
