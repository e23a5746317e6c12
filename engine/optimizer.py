"""Optimizers: parameter groups with layer-wise learning-rate decay, gradient clipping and mixed precision."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from timm.models import group_parameters
from timm.models.swin_transformer import SwinTransformer
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _NormBase
from torch.overrides import TorchFunctionMode

from engine.device import require_training_precision
from engine.recipe import OptimizerConfig, TrainingRecipe
from foundation.errors import ConfigError, UserError

_DETECTRON2_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm)
"""The norm layers that detectron2 knows (``get_default_optimizer_params``); ``_NormBase``: batch and instance norm."""


class MicroBatchMixin:
    """Part of an optimizer wrapper: adds up the gradients of a batch's micro-batches and steps after the last one.

    mmengine would count several iterations per optimizer step; here one iteration is always one step
    (``engine.grad_accumulation``).

    Attributes:
        loss_weight: fraction of the batch's items in the next micro-batch; its mean loss is multiplied by it.
        is_last_piece: whether the next micro-batch is the last one of the batch.
    """

    loss_weight = 1.0
    is_last_piece = True

    def scale_loss(self, loss: torch.Tensor) -> torch.Tensor:
        """Scale the mean loss of a micro-batch to its part of the mean loss of the batch."""
        # sum over micro-batches of (items / batch size) * mean loss = mean loss of the batch, also with unequal sizes
        return loss * self.loss_weight

    def should_update(self) -> bool:
        """Step the optimizer only after the last micro-batch."""
        return self.is_last_piece

    def should_sync(self) -> bool:
        """Exchange gradients between processes only in the backward pass of the last micro-batch."""
        return self.is_last_piece


class Fp32OptimWrapper(MicroBatchMixin, OptimWrapper):
    """Trains in fp32."""


class Fp16OptimWrapper(MicroBatchMixin, AmpOptimWrapper):
    """Trains in fp16 with loss scaling, on a GPU."""


class Bf16OptimWrapper(MicroBatchMixin, OptimWrapper):
    """Trains in bf16 autocast without loss scaling, on any device (mmengine's AMP wrapper refuses the CPU).

    bf16 has the exponent range of fp32, so small gradients do not underflow and need no scaling.

    Args:
        device_type: ``cpu`` or ``cuda``.
        kwargs: for ``OptimWrapper``.
    """

    def __init__(self, device_type: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.device_type = device_type

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass in bf16."""
        attention = Fp32AttentionMode() if self.device_type == "cpu" else nullcontext()
        with super().optim_context(model), torch.autocast(self.device_type, torch.bfloat16), attention:
            yield


class Fp32AttentionMode(TorchFunctionMode):
    """Context in which autocast computes fused attention in fp32.

    On a CPU the backward pass of torch's fused attention is slower in bf16: 3 times for 49 or 80 tokens, 1.3 times for
    197 tokens (torch 2.15, a CPU with AVX512-BF16).
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Convert the inputs of fused attention to fp32 and its output back to bf16; leave other functions alone."""
        kwargs = kwargs or {}
        if function is not functional.scaled_dot_product_attention or not torch.is_autocast_enabled("cpu"):
            return function(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):  # otherwise autocast would convert the inputs to bf16 again
            wide = {key: _cast_to_fp32(value) for key, value in kwargs.items()}
            return function(*map(_cast_to_fp32, args), **wide).bfloat16()


def _cast_to_fp32(value: Any) -> Any:
    return value.float() if torch.is_tensor(value) and value.dtype == torch.bfloat16 else value


def get_layer_ids(backbone: nn.Module) -> dict[str, int]:
    """Return the depth of every parameter of a timm model: 0 for the stem, then one more per block, its head last.

    A final norm has the depth of the last block.

    Args:
        backbone: a timm model.

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


def count_swin_layers(backbone: nn.Module) -> dict[str, int]:
    """Return the depth of every parameter of a Swin as MAE-Lite's fine-tuning counts them; empty without a Swin.

    0 for the stem, then one more per block. Patch merging, which timm has at the start of a stage, has the depth of the
    last block of the stage before, as in SimMIM's code. Final norm and classifier have that of the last block but one:
    SimMIM's code has them at the top, ``depth + 1``, but MAE-Lite's calls it with a number of layers that is smaller
    by 2 (``LayerDecayValueAssigner_swin``), and trained its published rows that way.

    Args:
        backbone: timm's Swin, or a module around it.
    """
    found = ((name, part) for name, part in backbone.named_modules() if isinstance(part, SwinTransformer))
    prefix, swin = next(found, ("", None))
    if swin is None:
        return {}
    stages: Any = swin.layers
    sizes = [len(stage.blocks) for stage in stages]
    ids = {}
    for name, _ in swin.named_parameters():
        parts = name.split(".")
        if parts[0] == "layers":
            before = sum(sizes[: int(parts[1])])  # blocks of the earlier stages
            depth = before + 1 + int(parts[3]) if parts[2] == "blocks" else before
        else:
            depth = 0 if parts[0] == "patch_embed" else sum(sizes) - 1
        ids[f"{prefix}.{name}" if prefix else name] = depth
    return ids


def require_swin_for_layers(changed: Collection[str], name: str, backbone: nn.Module) -> None:
    """Refuse a change of how a Swin's layers are counted on another backbone: one number would have two ids.

    Args:
        changed: dotted names of the settings that the user changed.
        name: of the backbone, for the sentence.
        backbone: timm model, or a module around it.

    Raises:
        ConfigError: it was changed, and the backbone is no Swin.
    """
    if "optimizer.swin_layers" in changed and not count_swin_layers(backbone):
        raise ConfigError(f"--set optimizer.swin_layers changes nothing, because {name} is no Swin; leave it out")


def build_param_groups(
    model: nn.Module, recipe: TrainingRecipe, backbone_attribute: str = "backbone"
) -> list[dict[str, Any]]:
    """Build the parameter groups of a task model as its recipe says; see ``group_by_depth``.

    Args:
        model: the task model.
        recipe: gives learning rate, weight decay and layer decay.
        backbone_attribute: name of the attribute that contains the backbone.
    """
    return group_by_depth(model, recipe.optimizer, backbone_attribute)


def group_by_depth(
    model: nn.Module, setting: OptimizerConfig, backbone_attribute: str = "backbone"
) -> list[dict[str, Any]]:
    """Group the parameters of a task model: learning rate by depth, weight decay only where it is useful.

    A parameter at depth d gets ``lr * layer_decay ** (top - d)``, where ``top`` is the depth of the head.

    Args:
        model: the task model; one attribute is its timm backbone, all other parameters count as the head, one level
            above the last layer of the backbone.
        setting: learning rate, weight decay and layer decay.
        backbone_attribute: name of the attribute that contains the backbone.

    Returns:
        Groups with ``params``, ``names``, ``lr`` and ``weight_decay``; each trainable parameter is in exactly one.
    """
    trunk = getattr(model, backbone_attribute)
    # without layer decay every backbone works, also one without a ``group_matcher``
    ids = get_layer_ids(trunk) if setting.layer_decay < 1 else {}
    inside = f"{backbone_attribute}."
    # the classifier of a timm model, if there is one, is already at the level of the head
    top = max(ids.values(), default=0) + (0 if getattr(trunk, "num_classes", 0) else 1)
    if setting.layer_decay < 1 and setting.swin_layers == "mae_lite":
        ids = {**ids, **count_swin_layers(trunk)}  # the top stays above the last block, where the other heads are
    undecayed = {f"{inside}{name}" for name in _list_undecayed_names(trunk, setting)}
    all_shapes = setting.decay_all or setting.decay_rule == "detectron2"
    groups: dict[tuple[int, bool, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        of_trunk = name.startswith(inside)
        depth = ids.get(name.removeprefix(inside), top) if of_trunk else top
        # one-dimensional parameters are biases and the scales of norm layers
        decayed = (all_shapes or parameter.ndim > 1) and name not in undecayed
        lr = setting.lr * setting.layer_decay ** (top - depth) * (setting.backbone_scale if of_trunk else 1.0)
        decay = setting.weight_decay if decayed else 0.0
        empty: dict[str, Any] = {"params": [], "names": [], "lr": lr, "weight_decay": decay}
        # The key contains all that lr and decay depend on, so that a group never mixes two values.
        group = groups.setdefault((depth, decayed, of_trunk and setting.backbone_scale != 1), empty)
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())


def _list_undecayed_names(backbone: nn.Module, setting: OptimizerConfig) -> set[str]:
    """Return the parameter names of a backbone that have no weight decay, whatever their shape."""
    if setting.decay_rule == "detectron2":
        return list_detectron2_undecayed(backbone)
    return set() if setting.decay_embeddings or setting.decay_all else _get_no_decay_names(backbone)


def list_detectron2_undecayed(backbone: nn.Module) -> set[str]:
    """Return the parameter names of a backbone that ViTDet's configuration leaves out of weight decay.

    detectron2's ``weight_decay_norm = 0`` asks for the class of a layer and not for the shape of a parameter. The
    norms of ViTDet's pyramid and heads are of a class of its own that it does not know, so that they are decayed; here
    it therefore holds for the backbone alone. ``pos_embed`` is named by ViTDet's configuration itself.

    Args:
        backbone: a timm model, or a module around it.

    >>> block = nn.ModuleDict({"norm1": nn.LayerNorm(2), "qkv": nn.Linear(2, 6)})
    >>> sorted(list_detectron2_undecayed(block))
    ['norm1.bias', 'norm1.weight']
    """
    names = set()
    for place, module in backbone.named_modules():
        for name, _ in module.named_parameters(recurse=False):
            # Hiera and others split their positions over several parameters
            if isinstance(module, _DETECTRON2_NORMS) or name == "pos_embed" or name.startswith("pos_embed_"):
                names.add(f"{place}.{name}" if place else name)
    return names


def _get_no_decay_names(backbone: nn.Module) -> set[str]:
    """Return the parameter names that a timm model excludes from weight decay (position embeddings, class token)."""
    ask: Any = getattr(backbone, "no_weight_decay", None)
    return set(ask()) if callable(ask) else set()


def create_optim_wrapper(model: nn.Module, recipe: TrainingRecipe, device: str) -> OptimWrapper:
    """Create the recipe's optimizer in mmengine's wrapper (gradient clipping, precision).

    Args:
        model: the task model, see ``build_param_groups``.
        recipe: the recipe of the training.
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
