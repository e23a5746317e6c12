"""The recipe of a training: strict, with every setting that can change the number. Imports no torch."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

LOGGER_BACKENDS = {
    "tensorboard": "TensorboardVisBackend",
    "wandb": "WandbVisBackend",
    "mlflow": "BenchMlflowBackend",
}
"""Where curves can go: the package, and mmengine's visualisation backend for it."""


class StrictConfig(BaseModel):
    """Base of all configurations: frozen, no unknown keys, no silent conversion."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ProtocolSettings(StrictConfig):
    """The settings of a protocol, a training or not: those that can change the number, and those that cannot."""

    NON_IDENTITY_FIELDS: ClassVar[frozenset[str]] = frozenset()

    def identity_settings(self) -> dict[str, Any]:
        """The settings that can change the number, as plain data."""
        return self.model_dump(mode="json", exclude=set(self.NON_IDENTITY_FIELDS))

    def non_identity_settings(self) -> dict[str, Any]:
        """The settings that cannot."""
        return self.model_dump(mode="json", include=set(self.NON_IDENTITY_FIELDS))


class OptimizerConfig(StrictConfig):
    """Optimiser and its parameter groups. ``lr`` is for the recipe's whole batch, not for 256 images.

    ``layer_decay``: learning rate of block i is multiplied by ``layer_decay ** (layers above it)``; 1 = off.
    ``backbone_scale``: the backbone's learning rate is multiplied by it. One-dimensional parameters, position
    embeddings and class tokens are not decayed, unless ``decay_all`` says so.
    """

    name: Literal["AdamW", "SGD"]
    lr: PositiveFloat
    weight_decay: NonNegativeFloat = 0.0
    betas: list[float] = Field(default=[0.9, 0.999], min_length=2, max_length=2)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = True
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    backbone_scale: PositiveFloat = 1.0
    decay_all: bool = False


class LrScheduleConfig(StrictConfig):
    """Learning rate over time: linear warm-up, then cosine, poly or step; stepped every iteration.

    ``warmup``, ``milestones``: in the recipe's unit (epochs or iterations). ``end_lr``: for a layer-decay scale
    of 1; other groups end at the same fraction of theirs. ``power`` is poly's, ``gamma`` is step's.
    """

    name: Literal["cosine", "poly", "step"]
    warmup: NonNegativeInt = 0
    warmup_start: NonNegativeFloat = 0.0
    end_lr: NonNegativeFloat = 0.0
    power: PositiveFloat = 1.0
    milestones: list[PositiveInt] = []
    gamma: PositiveFloat = 0.1


class TrainingRecipe(ProtocolSettings):
    """What every training has. A task's own recipe adds to it.

    Attributes:
        epochs, iterations: length; exactly one of the two.
        batch_size: of one optimiser step, over all processes.
        accumulate: pieces a process takes its part of the batch in, one after another, to save memory; gradients
            add up to the batch's. Changes last digits, and as several processes do: batch norm sees the smaller
            pieces, drop path and mixup draw other numbers.
        drop_last: leave out the short batch at the end of an epoch (its items change with every epoch's order).
        clip_grad: largest gradient norm, or ``None``.
        precision: of the forward and backward pass; evaluation is always fp32.
        val_interval: epochs (or iterations) between validations.
        workers: loader processes (cannot change the number: every item has its own seed).
        loggers: where curves go.
    """

    NON_IDENTITY_FIELDS: ClassVar[frozenset[str]] = frozenset({"workers", "loggers", "accumulate"})

    epochs: PositiveInt | None = None
    iterations: PositiveInt | None = None
    batch_size: PositiveInt
    accumulate: PositiveInt = 1
    drop_last: bool = False
    optimizer: OptimizerConfig
    schedule: LrScheduleConfig
    clip_grad: PositiveFloat | None = None
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    val_interval: PositiveInt = 1
    workers: NonNegativeInt = 0
    loggers: list[Literal["tensorboard", "wandb", "mlflow"]] = ["tensorboard"]

    @field_validator("loggers")
    @classmethod
    def _require_installed_loggers(cls, names: list[str]) -> list[str]:
        for name in names:
            if find_spec(name) is None:
                raise ValueError(f"{name} is not installed here; pip install {name}")
        return names

    @model_validator(mode="after")
    def _check_lengths(self) -> TrainingRecipe:
        if (self.epochs is None) == (self.iterations is None):
            raise ValueError("set exactly one of epochs and iterations")
        if self.schedule.warmup >= self.length:
            raise ValueError(f"schedule.warmup {self.schedule.warmup} must be below the length {self.length}")
        return self

    @property
    def by_epoch(self) -> bool:
        """Whether lengths are in epochs; otherwise in iterations."""
        return self.epochs is not None

    @property
    def length(self) -> int:
        """Epochs or iterations."""
        return self.epochs or self.iterations or 0
