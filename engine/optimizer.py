"""Optimisers: parameter groups with layer-wise learning-rate decay, gradient clipping, mixed precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from timm.models import group_parameters
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from engine.device import require_training_precision
from engine.recipe import TrainingRecipe
from foundation.errors import UserError


class MicroBatchMixin:
    """Part of an optimiser wrapper: gradients of a batch's pieces add up to the batch's, and the last one steps.

    mmengine would count iterations and step after so many; here one iteration is one step
    (``engine.grad_accumulation``).

    Attributes:
        loss_weight: of the batch that the next piece holds; its mean loss counts so much.
        is_last_piece: whether the next piece is the batch's last.
    """

    loss_weight = 1.0
    is_last_piece = True

    def scale_loss(self, loss: torch.Tensor) -> torch.Tensor:
        """The piece's mean loss as a part of the batch's."""
        return loss * self.loss_weight

    def should_update(self) -> bool:
        """Step after the last piece."""
        return self.is_last_piece

    def should_sync(self) -> bool:
        """Exchange gradients with other processes in the last piece's backward pass."""
        return self.is_last_piece


class Fp32OptimWrapper(MicroBatchMixin, OptimWrapper):
    """fp32."""


class Fp16OptimWrapper(MicroBatchMixin, AmpOptimWrapper):
    """fp16 with loss scaling, on a GPU."""


class Bf16OptimWrapper(MicroBatchMixin, OptimWrapper):
    """bf16 autocast without loss scaling, on any device (mmengine's own AMP wrapper refuses the CPU)."""

    def __init__(self, device_type: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.device_type = device_type

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Forward pass in bf16."""
        attention = Fp32AttentionMode() if self.device_type == "cpu" else nullcontext()
        with super().optim_context(model), torch.autocast(self.device_type, torch.bfloat16), attention:
            yield


class Fp32AttentionMode(TorchFunctionMode):
    """Within it autocast leaves fused attention in fp32.

    On a CPU torch's backward pass of it takes longer in bf16: 3 times for 49 or 80 tokens, 1.3 times for 197 (torch
    2.15, a CPU with AVX512-BF16).
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Widen what comes in, narrow what goes out."""
        kwargs = kwargs or {}
        if function is not functional.scaled_dot_product_attention or not torch.is_autocast_enabled("cpu"):
            return function(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            wide = {key: _cast_to_fp32(value) for key, value in kwargs.items()}
            return function(*map(_cast_to_fp32, args), **wide).bfloat16()


def _cast_to_fp32(value: Any) -> Any:
    return value.float() if torch.is_tensor(value) and value.dtype == torch.bfloat16 else value


def get_layer_ids(backbone: nn.Module) -> dict[str, int]:
    """The depth of every parameter of a timm model: 0 for the stem, rising by one a block, its own head last.

    A final norm counts with the last block.

    Raises:
        UserError: the model has no ``group_matcher``.
    """
    if not hasattr(backbone, "group_matcher"):
        raise UserError(
            f"{type(backbone).__name__} has no group_matcher, which layer-wise learning-rate decay needs; "
            "give it one, or set optimizer.layer_decay=1"
        )
    matcher: Any = backbone.group_matcher
    ids: dict[str, int] = group_parameters(backbone, matcher(coarse=False), reverse=True)
    return ids


def build_param_groups(
    model: nn.Module, recipe: TrainingRecipe, backbone_attribute: str = "backbone"
) -> list[dict[str, Any]]:
    """Parameter groups of a task model: learning rate by depth, no weight decay where it does harm.

    Args:
        model: the task model; its timm backbone is one attribute, the rest counts as head, one above the backbone's
            last layer.
        recipe: gives learning rate, weight decay and layer decay.
        backbone_attribute: the name of the backbone's attribute.

    Returns:
        Groups with ``params``, ``names``, ``lr`` and ``weight_decay``; each trainable parameter is in exactly one.
    """
    setting = recipe.optimizer
    trunk = getattr(model, backbone_attribute)
    ids = get_layer_ids(trunk) if setting.layer_decay < 1 else {}
    inside = f"{backbone_attribute}."
    # a trunk with a classifier of its own has the head's level already
    top = max(ids.values(), default=0) + (0 if getattr(trunk, "num_classes", 0) else 1)
    undecayed = {f"{backbone_attribute}.{name}" for name in _get_no_decay_names(trunk)}
    groups: dict[tuple[int, bool, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        of_trunk = name.startswith(inside)
        depth = ids.get(name.removeprefix(inside), top) if of_trunk else top
        decayed = setting.decay_all or (parameter.ndim > 1 and name not in undecayed)
        lr = setting.lr * setting.layer_decay ** (top - depth) * (setting.backbone_scale if of_trunk else 1.0)
        decay = setting.weight_decay if decayed else 0.0
        empty: dict[str, Any] = {"params": [], "names": [], "lr": lr, "weight_decay": decay}
        group = groups.setdefault((depth, decayed, of_trunk and setting.backbone_scale != 1), empty)
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())


def _get_no_decay_names(backbone: nn.Module) -> set[str]:
    """Names a timm model wants free of weight decay (position embeddings, class token)."""
    ask: Any = getattr(backbone, "no_weight_decay", None)
    return set(ask()) if callable(ask) else set()


def create_optim_wrapper(model: nn.Module, recipe: TrainingRecipe, device: str) -> OptimWrapper:
    """The recipe's optimiser in mmengine's wrapper (clipping, precision).

    Args:
        model: the task model, see ``build_param_groups``.
        recipe: the training's recipe.
        device: ``cpu`` or ``cuda``.

    Raises:
        UserError: fp16 without a GPU.
    """
    require_training_precision(recipe.precision, device)
    setting = recipe.optimizer
    groups = [
        {key: value for key, value in group.items() if key != "names"} for group in build_param_groups(model, recipe)
    ]
    optimizer: torch.optim.Optimizer
    if setting.name == "AdamW":
        betas = (setting.betas[0], setting.betas[1])
        optimizer = torch.optim.AdamW(groups, lr=setting.lr, betas=betas)
    else:
        optimizer = torch.optim.SGD(groups, lr=setting.lr, momentum=setting.momentum, nesterov=setting.nesterov)
    arguments: dict[str, Any] = {"optimizer": optimizer}
    if recipe.clip_grad is not None:
        arguments["clip_grad"] = {"max_norm": recipe.clip_grad}
    if recipe.precision == "fp32":
        return Fp32OptimWrapper(**arguments)
    if recipe.precision == "bf16":
        return Bf16OptimWrapper(device, **arguments)
    return Fp16OptimWrapper(dtype="float16", **arguments)
