"""The base class of the pre-training methods: an mmengine model around the timm backbone that is trained."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from foundation.errors import BenchError


class Reconstructions(NamedTuple):
    """Reconstructions of some images, each (N, 3, height, width), normalized like the input.

    Attributes:
        original: the images.
        masked: the images without their masked parts.
        reconstructed: the images with their masked parts predicted.
    """

    original: Tensor
    masked: Tensor
    reconstructed: Tensor


class PretrainMethod(BaseModel):
    """A model that learns without labels.

    Subclasses implement ``compute_losses``. What they add to ``backbone`` (decoder, projector, adapters) is not
    exported, except for ``exported_tokens``.

    Args:
        backbone: the timm model that is pre-trained; the engine's optimizer finds it under this attribute name.
        preprocessor: makes network input from a batch of the loader, on the device.
    """

    backbone: Any
    ema_model: nn.Module | None

    def __init__(self, backbone: nn.Module, preprocessor: nn.Module) -> None:
        super().__init__(data_preprocessor=preprocessor)
        self.backbone = backbone
        self.register_module("ema_model", None)  # no average until enable_ema
        self.ema_decay = 0.0

    @property
    def exported_encoder(self) -> nn.Module:
        """The timm model whose weights are exported: the running average if there is one, else the backbone."""
        model = self.ema_model if self.ema_model is not None else self.backbone
        assert isinstance(model, nn.Module)
        return model

    @property
    def exported_tokens(self) -> dict[str, Tensor]:
        """What is exported beside the encoder, by name; a use of the encoder leaves it out."""
        return {}

    def enable_ema(self, decay: float) -> None:
        """Start a running average of the backbone; it is part of the state, so a resumed run continues it.

        Args:
            decay: weight of the old average in each update.
        """
        self.ema_decay = decay
        self.ema_model = copy.deepcopy(self.backbone).requires_grad_(False)

    def compute_losses(self, images: Tensor, seeds: Tensor) -> dict[str, Tensor]:
        """Return the losses of a batch by name; mmengine adds up those whose name contains "loss".

        Args:
            images: (N, 3, height, width), normalized.
            seeds: (N,) int64, one per image; all random numbers are drawn from them.
        """
        raise NotImplementedError

    def forward(self, mode: str = "loss", **inputs: Any) -> dict[str, Tensor]:
        """Return the losses of a preprocessed batch.

        Args:
            mode: must be ``loss``.
            inputs: the preprocessor's output.

        Raises:
            BenchError: another mode.
        """
        if mode != "loss":
            raise BenchError(f"{type(self).__name__} is trained, it has no mode {mode!r}")
        return self.compute_losses(**inputs)

    def before_step(self, progress: float) -> None:
        """Called before each optimizer step.

        Args:
            progress: fraction of the training that is done, 0 to 1.
        """

    def after_step(self) -> None:
        """Called after each optimizer step; updates the running average."""
        if self.ema_model is not None:
            update_ema(self.ema_model, self.backbone, self.ema_decay)

    def reconstruct_images(self, images: Tensor, seeds: Tensor) -> Reconstructions | None:
        """Return reconstructions for display; ``None`` for methods that do not reconstruct."""
        return None


@torch.no_grad()
def update_ema(ema_model: nn.Module, model: nn.Module, decay: float) -> None:
    """Update the running average of a model: average the parameters, copy the buffers.

    Args:
        ema_model: the running average, changed in place.
        model: the trained model.
        decay: weight of the old average.
    """
    average_parameters(ema_model, model, decay)
    # buffers may be counters or masks, for which a mean has no meaning
    for old, new in zip(ema_model.buffers(), model.buffers(), strict=True):
        old.copy_(new)


@torch.no_grad()
def average_parameters(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Set ``average = decay * average + (1 - decay) * model`` for parameters; leave buffers unchanged.

    Args:
        average: the running average, changed in place.
        model: the trained model.
        decay: weight of the old average.
    """
    old, new = ([parameter.detach() for parameter in each.parameters()] for each in (average, model))
    # lerp: old + (1 - decay) * (new - old); _foreach updates all tensors with a few kernels
    torch._foreach_lerp_(old, new, 1 - decay)
