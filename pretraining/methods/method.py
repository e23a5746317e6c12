"""What every pre-training method is: an mmengine model around the timm backbone that it makes."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from foundation.errors import BenchError


class Reconstructions(NamedTuple):
    """What a method makes of some images, each (N, 3, height, width), normalised as the input is."""

    original: Tensor
    masked: Tensor
    reconstructed: Tensor


class PretrainMethod(BaseModel):
    """A model that learns without labels.

    Subclasses give ``compute_losses``; what they add beside ``backbone`` (decoder, projector, adapters) is not
    exported.

    Args:
        backbone: the timm model that is pre-trained; the engine's optimiser knows it by this name.
        preprocessor: makes network input of a loader's batch, on the device.
    """

    backbone: Any
    ema_model: nn.Module | None

    def __init__(self, backbone: nn.Module, preprocessor: nn.Module) -> None:
        super().__init__(data_preprocessor=preprocessor)
        self.backbone = backbone
        self.register_module("ema_model", None)
        self.ema_decay = 0.0

    @property
    def exported_encoder(self) -> nn.Module:
        """The timm model whose state is exported: the running average, where one is kept."""
        model = self.ema_model if self.ema_model is not None else self.backbone
        assert isinstance(model, nn.Module)
        return model

    def enable_ema(self, decay: float) -> None:
        """Keep a running average of the backbone from now on; it is part of the state, so it survives a resume."""
        self.ema_decay = decay
        self.ema_model = copy.deepcopy(self.backbone).requires_grad_(False)

    def compute_losses(self, images: Tensor, seeds: Tensor) -> dict[str, Tensor]:
        """The losses of a batch by name; those with "loss" in it are added up.

        Args:
            images: (N, 3, height, width), normalised.
            seeds: (N,) int64, one an image; all random numbers are drawn from them.
        """
        raise NotImplementedError

    def forward(self, mode: str = "loss", **inputs: Any) -> dict[str, Tensor]:
        """The losses of what the preprocessor gives; ``mode`` is ``loss``."""
        if mode != "loss":
            raise BenchError(f"{type(self).__name__} is trained, it has no mode {mode!r}")
        return self.compute_losses(**inputs)

    def before_step(self, progress: float) -> None:
        """Called before each optimiser step; ``progress`` is the share of the training that is done."""

    def after_step(self) -> None:
        """Called after each optimiser step."""
        if self.ema_model is not None:
            update_ema(self.ema_model, self.backbone, self.ema_decay)

    def reconstruct_images(self, images: Tensor, seeds: Tensor) -> Reconstructions | None:
        """Reconstructions to look at; ``None`` for methods without any."""
        return None


@torch.no_grad()
def update_ema(ema_model: nn.Module, model: nn.Module, decay: float) -> None:
    """Take a step of a running average of a model: parameters are averaged, buffers are copied."""
    average_parameters(ema_model, model, decay)
    for old, new in zip(ema_model.buffers(), model.buffers(), strict=True):
        old.copy_(new)


@torch.no_grad()
def average_parameters(average: nn.Module, model: nn.Module, decay: float) -> None:
    """average = decay * average + (1 - decay) * model, for parameters; buffers are left alone."""
    old, new = ([parameter.detach() for parameter in each.parameters()] for each in (average, model))
    torch._foreach_lerp_(old, new, 1 - decay)
