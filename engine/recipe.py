"""The training recipe: a strict configuration with every setting that can change the result. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from engine.settings.setting_types import (
    MAX_LISTED,
    BatchSize,
    Count,
    CountOrZero,
    ItemLimit,
    LayerDecay,
    LearningRate,
    PositiveWeight,
    Weight,
    WorkerCount,
)
from foundation.environment import OFFLINE_VAR

LOGGER_BACKENDS = {
    "tensorboard": "TensorboardVisBackend",
    "wandb": "WandbVisBackend",
    "mlflow": "BenchMlflowBackend",
}
"""Loggers for training curves: the Python package, and the mmengine visualization backend that writes to it."""

_LOCAL_STORES = ("", "file", "sqlite")
"""Schemes of stores of MLflow that need no network."""

ITEM_LIMITS = ("max_items", "max_frames")
"""Settings that limit how many items a run uses; no protocol has one at the tier ``full``."""


class StrictConfig(BaseModel):
    """Base class of all configurations: frozen, without unknown keys and without silent type conversion.

    Attributes:
        LATER_SETTINGS: settings that were added after runs had been recorded, with the value at which a run computes
            what it computed before the setting existed. At that value a setting is left out of the ids of runs, so
            that ids of earlier runs stay; any other value is part of the id. Each class lists its own; those of the
            classes that it is derived from count too.
    """

    # strict: a text where a number belongs is an error instead of being converted silently; 1e400 is read as infinity,
    # which no setting can be
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    LATER_SETTINGS: ClassVar[Mapping[str, Any]] = {}

    def dump_without_later_defaults(self) -> dict[str, Any]:
        """Return the settings as plain data, without those of ``LATER_SETTINGS`` that leave the number alone."""
        plain = self.model_dump(mode="json")
        # a class that lists settings of its own hides the list of the class that it is derived from
        later = {
            key: value for kind in reversed(type(self).__mro__) for key, value in _get_later_settings(kind).items()
        }
        for name, value in self:
            if name in later and value == later[name]:
                del plain[name]
            elif isinstance(value, StrictConfig):  # groups of settings have later settings of their own
                plain[name] = value.dump_without_later_defaults()
        return plain

    def list_later_settings(self) -> dict[str, Any]:
        """Return the value of each of ``LATER_SETTINGS`` at which it is left out of ids, by dotted name."""
        own = {key: value for kind in type(self).__mro__[::-1] for key, value in _get_later_settings(kind).items()}
        groups = [(name, value) for name, value in self if isinstance(value, StrictConfig)]
        return own | {
            f"{name}.{key}": value for name, group in groups for key, value in group.list_later_settings().items()
        }


def _get_later_settings(kind: type) -> Mapping[str, Any]:
    """Return the later settings that a class lists itself."""
    listed: Mapping[str, Any] = vars(kind).get("LATER_SETTINGS", {})
    return listed


class ProtocolSettings(StrictConfig):
    """Settings of a protocol, split into those that can change the result and those that cannot.

    Attributes:
        NON_IDENTITY_FIELDS: names of the settings that cannot change the result, so they are not part of a run's id.
        max_items: largest number of items that a run uses of each split, 2 or more, for tiers below ``full``; ``None``
            for all.
            ``engine.data.item_limits`` says which are taken.
    """

    NON_IDENTITY_FIELDS: ClassVar[frozenset[str]] = frozenset()
    LATER_SETTINGS: ClassVar[Mapping[str, Any]] = {"max_items": None}

    max_items: ItemLimit | None = None

    def identity_settings(self) -> dict[str, Any]:
        """Return the settings that can change the result, as plain data."""
        settings = self.dump_without_later_defaults()
        return {name: value for name, value in settings.items() if name not in self.NON_IDENTITY_FIELDS}

    def non_identity_settings(self) -> dict[str, Any]:
        """Return the settings that cannot change the result, as plain data."""
        return self.model_dump(mode="json", include=set(self.NON_IDENTITY_FIELDS))

    def explain_idle_settings(self) -> dict[str, str]:
        """Return why some settings have no effect beside the others, by dotted name.

        A user who changes one is refused (``engine.config.load_protocol``): one number would have two ids.
        """
        return {}


class OptimizerConfig(StrictConfig):
    """The optimizer and its parameter groups.

    Attributes:
        name: ``AdamW`` or ``SGD``.
        lr: learning rate for the recipe's complete batch, not for 256 images; 1e-12 or above. Where the protocol's file
            says so, loading it has scaled the rate with the batch size (``engine.settings.scaled_rates``).
        weight_decay: not applied to one-dimensional parameters, position embeddings and class tokens.
        betas: of AdamW.
        momentum: of SGD.
        nesterov: of SGD.
        layer_decay: the learning rate of block i is multiplied by ``layer_decay ** (number of layers above it)``;
            1 turns this off.
        swin_layers: how ``layer_decay`` counts the layers of a Swin. ``timm``: patch merging with the block after it,
            the final norm with the last block. ``mae_lite``, as in MAE-Lite's fine-tuning: patch merging with the block
            before it, final norm and classifier with the last block but one.
        backbone_scale: factor on the learning rate of the backbone; the head keeps ``lr``.
        decay_embeddings: also decay what the backbone itself leaves out, which are class tokens, position embeddings
            and tables of relative positions; one-dimensional parameters stay without. MAE's code decays them, because
            its wrapper around the model does not pass the model's own list on to the optimizer.
        decay_all: apply weight decay to every parameter.
        decay_rule: which parameters have no weight decay. ``timm``: those that ``weight_decay`` names. ``detectron2``:
            the norm layers and ``pos_embed`` of the backbone alone; all biases, tables of relative positions and the
            norm layers of the head are decayed, as in ViTDet.
    """

    LATER_SETTINGS: ClassVar[Mapping[str, Any]] = {
        "swin_layers": "timm",
        "decay_embeddings": False,
        "decay_rule": "timm",
    }

    name: Literal["AdamW", "SGD"]
    lr: LearningRate
    weight_decay: Weight = 0.0
    betas: list[Annotated[float, Field(ge=0, lt=1)]] = Field(default=[0.9, 0.999], min_length=2, max_length=2)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = True
    layer_decay: LayerDecay = 1.0
    swin_layers: Literal["timm", "mae_lite"] = "timm"
    backbone_scale: PositiveWeight = 1.0
    decay_embeddings: bool = False
    decay_all: bool = False
    decay_rule: Literal["timm", "detectron2"] = "timm"

    @model_validator(mode="after")
    def _check_decay_rule(self) -> OptimizerConfig:
        if self.decay_rule == "detectron2" and (self.decay_all or self.decay_embeddings):
            raise ValueError(
                "decay_rule detectron2 says by itself what is decayed; leave decay_all and decay_embeddings out"
            )
        return self


class LrScheduleConfig(StrictConfig):
    """Learning rate over time: linear warm-up, then cosine, poly or step; updated after every iteration.

    Attributes:
        name: shape of the schedule after the warm-up.
        warmup: length of the warm-up, in the recipe's unit (epochs or iterations).
        warmup_start: learning rate of the first step; at most the recipe's ``lr``.
        warmup_peak: which step is the first with the full rate. With ``last_step`` it is the last step of the warm-up,
            as in mmengine and mmseg; with ``next_step`` the one after it, as in timm, MAE and MAE-Lite, where step t
            of n has ``start + (lr - start) * t / n``.
        end_lr: final learning rate of a group whose learning rate is ``lr``. With ``cosine`` the other groups
            (layer decay) end at the same fraction of their own rate; with ``poly`` every group ends at ``end_lr``.
        power: exponent of ``poly``.
        milestones: when ``step`` multiplies the rate by ``gamma``, in the recipe's unit.
        gamma: factor of ``step``.
    """

    LATER_SETTINGS: ClassVar[Mapping[str, Any]] = {"warmup_peak": "last_step"}

    name: Literal["cosine", "poly", "step"]
    warmup: CountOrZero = 0
    warmup_start: Weight = 0.0
    warmup_peak: Literal["last_step", "next_step"] = "last_step"
    end_lr: Weight = 0.0
    power: Annotated[float, Field(gt=0, le=100)] = 1.0
    milestones: list[Count] = Field(default=[], max_length=MAX_LISTED)
    gamma: Annotated[float, Field(gt=0, le=100)] = 0.1

    def explain_idle_settings(self) -> dict[str, str]:
        """Return why some settings have no effect beside the others, by dotted name; see ``ProtocolSettings``."""
        shapes = {"power": {"poly"}, "milestones": {"step"}, "gamma": {"step"}, "end_lr": {"cosine", "poly"}}
        idle = {
            f"schedule.{name}": f"a schedule {self.name} does not use it"
            for name, used_by in shapes.items()
            if self.name not in used_by
        }
        if self.warmup == 0:
            for name in ("warmup_start", "warmup_peak"):
                idle[f"schedule.{name}"] = "there is no warm-up (schedule.warmup=0)"
        return idle


class TrainingRecipe(ProtocolSettings):
    """The settings of every training. A task's own recipe adds further settings.

    Attributes:
        epochs, iterations: length of the training; set exactly one of the two.
        batch_size: number of items per optimizer step, over all processes.
        accumulate: number of micro-batches into which each process splits its part of the batch, to save memory; their
            gradients add up to the gradient of the complete batch, which changes the last digits. Where each
            micro-batch draws random numbers of its own, it is part of the identity. It also changes what batch norm
            averages over, so a plan adds that to the identity (``engine.training_checks.batch_norm``).
        drop_last: skip the incomplete batch at the end of an epoch (it has other items in every epoch). A set that is
            smaller than one batch is one batch all the same, except where ``needs_complete_batches``.
        optimizer: the optimizer.
        schedule: the learning rate over time.
        clip_grad: largest gradient norm, or ``None``.
        precision: of the forward and backward pass; evaluation always uses fp32.
        val_interval: epochs (or iterations) between two validations.
        workers: number of loader processes (cannot change the result, since every item has its own seed).
        loggers: where training curves are written.
    """

    # ``accumulate`` only saves memory, except where ``draws_per_piece`` says otherwise and with batch norm
    NON_IDENTITY_FIELDS: ClassVar[frozenset[str]] = frozenset({"workers", "loggers", "accumulate"})

    epochs: Count | None = None
    iterations: Count | None = None
    batch_size: BatchSize
    accumulate: BatchSize = 1
    drop_last: bool = False
    optimizer: OptimizerConfig
    schedule: LrScheduleConfig
    clip_grad: Annotated[float, Field(gt=0, le=1e12)] | None = None
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    val_interval: Count = 1
    workers: WorkerCount = 0
    loggers: list[Literal["tensorboard", "wandb", "mlflow"]] = Field(default=["tensorboard"], max_length=MAX_LISTED)

    @field_validator("loggers")
    @classmethod
    def _require_installed_loggers(cls, names: list[str]) -> list[str]:
        for name in names:
            if find_spec(name) is None:  # report this before the training starts, not at the first logged value
                raise ValueError(f"{name} is not installed here; pip install {name}")
        store = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", ""))
        if "mlflow" in names and OFFLINE_VAR.read_switch() and store.scheme not in _LOCAL_STORES:
            raise ValueError(
                f"mlflow would write to {store.scheme}://{store.hostname or ''} ($MLFLOW_TRACKING_URI), and the "
                "network is switched off; unset it, or leave mlflow out of loggers"
            )
        return names

    @model_validator(mode="after")
    def _check_lengths(self) -> TrainingRecipe:
        if (self.epochs is None) == (self.iterations is None):
            raise ValueError("set exactly one of epochs and iterations")
        if self.schedule.warmup >= self.length:
            raise ValueError(f"schedule.warmup {self.schedule.warmup} must be below the length {self.length}")
        if self.schedule.warmup_start > self.optimizer.lr:
            raise ValueError(
                f"schedule.warmup_start {self.schedule.warmup_start:g} must not be above optimizer.lr "
                f"{self.optimizer.lr:g}: a warm-up rises"
            )
        return self

    @property
    def draws_per_piece(self) -> bool:
        """Whether each micro-batch draws random numbers of its own, so that ``accumulate`` changes the number."""
        return False

    @property
    def needs_complete_batches(self) -> bool:
        """Whether a set that is smaller than one batch is refused."""
        return False

    def identity_settings(self) -> dict[str, Any]:
        """Return the settings that can change the result, as plain data."""
        settings = super().identity_settings()
        if self.accumulate > 1 and self.draws_per_piece:
            settings["accumulate"] = self.accumulate
        return settings

    def non_identity_settings(self) -> dict[str, Any]:
        """Return the settings that cannot change the result, as plain data."""
        identity = self.identity_settings()
        return {name: value for name, value in super().non_identity_settings().items() if name not in identity}

    def explain_idle_settings(self) -> dict[str, str]:
        """Return why some settings have no effect beside the others, by dotted name."""
        idle, optimizer = super().explain_idle_settings(), self.optimizer
        idle |= self.schedule.explain_idle_settings()
        if optimizer.weight_decay == 0:
            for name in ("decay_embeddings", "decay_all", "decay_rule"):
                idle[f"optimizer.{name}"] = "optimizer.weight_decay is 0"
        elif optimizer.decay_all:
            idle["optimizer.decay_embeddings"] = "optimizer.decay_all decays everything"
        if optimizer.layer_decay == 1:
            idle["optimizer.swin_layers"] = "there is no layer decay (optimizer.layer_decay=1)"
        for name in ("betas",) if optimizer.name == "SGD" else ("momentum", "nesterov"):
            idle[f"optimizer.{name}"] = f"{optimizer.name} does not use it"
        return idle

    @property
    def by_epoch(self) -> bool:
        """Whether lengths are counted in epochs (otherwise in iterations)."""
        return self.epochs is not None

    @property
    def length(self) -> int:
        """Length of the training, in epochs or iterations."""
        return self.epochs or self.iterations or 0
