"""Make a run's backbone of a module from memory: a copy, with what a task asks of ``create_model`` done to it.

The copy is to be what ``create_backbone`` makes of a weight file with the same tensors, so that a number does not
depend on the way that weights came: the classifier is new, positions are resampled to the input size, and the norm
stands where timm's constructor puts it for the pooling.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from timm.layers import DropPath, Format, PatchEmbed, trunc_normal_
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from backbones.card import BackboneCard
from backbones.checkpoints.sizes.resize import POSITION_TABLES, resize_to_model
from backbones.features import require_input_size
from backbones.memory_modules.memory_module import copy_module
from backbones.memory_modules.module_hash import collect_tensors, hash_state_dict
from backbones.pooling import FC_NORM_POOLS
from backbones.weights import InitialWeights
from foundation.errors import UserError


def copy_module_for_task(
    card: BackboneCard, weights: InitialWeights, img_size: tuple[int, int], model_kwargs: dict[str, Any]
) -> nn.Module:
    """A copy of the module, on the CPU in fp32, as a task asks for it; the module itself is left alone.

    Args:
        card: the module's card.
        weights: the module, and the hash of its tensors.
        img_size: height and width of the input, pixels.
        model_kwargs: what the task would give timm's ``create_model``: ``num_classes``, ``global_pool``,
            ``drop_path_rate``.

    Raises:
        UserError: the module was changed since it was handed over, cannot be copied, or cannot be made so.
    """
    model = _copy_unchanged_module(card.name, weights)
    asked = dict(model_kwargs)
    _change_input_size(card, model, img_size)
    if "drop_path_rate" in asked:
        _set_drop_path(card.name, model, float(asked.pop("drop_path_rate")))
    if "num_classes" in asked:
        _replace_classifier(card.name, model, int(asked.pop("num_classes")), asked.pop("global_pool", None))
    if asked:
        raise UserError(
            f"the module {card.name} comes from memory and cannot be given {', '.join(sorted(asked))}, which only a "
            "constructor takes; build it so, or register its architecture as a plug-in (docs/guides/add-a-backbone.md)"
        )
    require_input_size(model, *img_size)
    return model


def _copy_unchanged_module(name: str, weights: InitialWeights) -> nn.Module:
    """A copy in training mode, whose tensors are those that were hashed.

    Where every parameter of the module is frozen, it was frozen to be evaluated, and its copy is trained like any
    other backbone. Where only some are, that is part of its design, and they stay frozen.
    """
    module: nn.Module = weights.module
    model = copy_module(name, module)
    if hash_state_dict(collect_tensors(model)) != weights.sha256:
        raise UserError(
            f"the weights of the module {name} were changed after it was handed over, so its record would name others; "
            "hand it over again"
        )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        model.requires_grad_(True)
    return model.to("cpu", torch.float32).train()


def _change_input_size(card: BackboneCard, model: Any, img_size: tuple[int, int]) -> None:
    """Make the copy take images of another size than it was made for, and a ViT any size at run time."""
    embed = getattr(model, "patch_embed", None)
    own = embed.img_size if isinstance(embed, PatchEmbed) and embed.img_size else card.input_size[1:]
    if tuple(own) != tuple(img_size):
        try:
            if hasattr(model, "set_input_size"):
                tables = {name: value for name, value in model.state_dict().items() if name.endswith(POSITION_TABLES)}
                model.set_input_size(img_size=img_size, **_keep_windows(model))
                _resize_tables(model, tables, (own[0], own[1]))
            elif not getattr(model, "dynamic_img_size", False):
                _try_input_size(model, card.input_size[0], img_size)
        except (TypeError, ValueError, AssertionError, RuntimeError, NotImplementedError) as error:
            raise UserError(
                f"the module {card.name} is made for {own[0]} x {own[1]} px and does not take {img_size[0]} x "
                f"{img_size[1]} ({_first_line(error)}); set img_size={own[0]}, or give it timm's set_input_size"
            ) from error
    if isinstance(model, VisionTransformer) and type(model)._pos_embed is VisionTransformer._pos_embed:
        _make_dynamic(model)


def _keep_windows(model: Any) -> dict[str, Any]:
    """The window of a Swin, which timm would let grow with the image; the first stage's is the one it was made with."""
    if "window_size" not in inspect.signature(model.set_input_size).parameters:
        return {}
    return {"window_size": tuple(model.layers[0].blocks[0].window_size)}


def _resize_tables(model: nn.Module, tables: dict[str, Tensor], own_size: tuple[int, int]) -> None:
    """Resample relative-position tables as the loader of weight files does; timm interpolates them in another way.

    Position embeddings are resampled by one function on both ways.
    """
    state = model.state_dict()
    for name, value in resize_to_model(tables, model, state, [], [], own_size).items():
        if value.shape == state[name].shape:
            state[name].copy_(value)


def _try_input_size(model: nn.Module, channels: int, img_size: tuple[int, int]) -> None:
    """Whether the model takes the size as it is, as a convolutional network does; without computing anything."""
    twin = copy.deepcopy(model).to("meta").eval()
    with torch.no_grad():
        twin(torch.zeros(1, channels, *img_size, device="meta"))


def _make_dynamic(model: Any) -> None:
    """What ``dynamic_img_size=True`` does in timm's constructor, which ``create_backbone`` gives every plain ViT."""
    if not model.dynamic_img_size and type(model.patch_embed) is PatchEmbed:
        model.dynamic_img_size = True
        model.patch_embed.strict_img_size = False
        model.patch_embed.flatten = False
        model.patch_embed.output_fmt = Format.NHWC


def _set_drop_path(name: str, model: nn.Module, rate: float) -> None:
    """Stochastic depth: from 0 at the first block to ``rate`` at the last, in equal steps, as timm's ViT has it."""
    if isinstance(model, VisionTransformer):
        for block, own in zip(model.blocks, torch.linspace(0, rate, len(model.blocks)).tolist(), strict=True):
            block.drop_path1, block.drop_path2 = (DropPath(own) if own > 0 else nn.Identity() for _ in range(2))
    elif rate > 0:
        raise UserError(
            f"the module {name} is a {type(model).__name__}, in which bench cannot set stochastic depth (it can in "
            "timm's plain ViTs); turn it off with --set drop_path=0"
        )
    else:
        for part in model.modules():
            if isinstance(part, DropPath):
                part.drop_prob = 0.0


def _replace_classifier(name: str, model: Any, num_classes: int, pool: str | None) -> None:
    """A new classifier behind the pooling that the task asks for."""
    reset = getattr(model, "reset_classifier", None)
    if reset is None:
        raise UserError(
            f"the module {name} has no reset_classifier(num_classes, global_pool) as timm's models have, so no task "
            "can put its classifier on it; add one"
        )
    takes_pool = pool is not None and "global_pool" in inspect.signature(reset).parameters
    if pool not in (None, getattr(model, "global_pool", None)) and not takes_pool:
        raise UserError(f"the reset_classifier of the module {name} takes no global_pool, and the task pools by {pool}")
    try:
        if pool is not None and all(isinstance(getattr(model, part, None), nn.Module) for part in ("norm", "fc_norm")):
            _move_norm(name, model, pool)
        reset(num_classes, **({"global_pool": pool} if takes_pool else {}))
    except (TypeError, ValueError, AttributeError, AssertionError, RuntimeError) as error:
        raise UserError(
            f"the module {name} cannot be given {num_classes} classes behind {pool or 'its own'} pooling: "
            f"{_first_line(error)}"
        ) from error
    if isinstance(model, VisionTransformer) and isinstance(model.head, nn.Linear):
        trunc_normal_(model.head.weight, std=0.02)  # reset_classifier leaves torch's own, the constructor does not
        nn.init.zeros_(model.head.bias)


def _move_norm(name: str, model: Any, pool: str) -> None:
    """Put the last norm where the constructors of timm's transformers have it for a pooling.

    With mean pooling the tokens are not normed, and the pooled features are, by ``fc_norm``: by the module's own if it
    has one, else by a new one; a checkpoint's ``norm`` is then left out by the loader as well.
    """
    has_norm, has_fc_norm = (not isinstance(part, nn.Identity) for part in (model.norm, model.fc_norm))
    if pool in FC_NORM_POOLS and (has_norm or has_fc_norm):
        if not has_fc_norm:
            model.fc_norm = model.norm
            model.fc_norm.reset_parameters()
        model.norm = nn.Identity()
    elif has_fc_norm:
        raise UserError(
            f"the module {name} has no final norm but an fc_norm after pooling, as weights that were fine-tuned on "
            f"pooled patch tokens; it cannot be pooled by {pool}: set pool=avg"
        )


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
