"""A module that a user hands over from Python, as a card and its start weights."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from timm.layers import PatchEmbed
from torch import Tensor, nn

from backbones.card import BackboneCard
from backbones.memory_modules.module_hash import (
    collect_tensors,
    hash_code,
    hash_state_dict,
    hash_structure,
    is_filled,
    iterate_functions,
)
from backbones.memory_modules.module_probe import hash_behavior
from backbones.weights import MEMORY_ARCHITECTURE, InitialWeights
from foundation.errors import UserError

_NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def make_memory_card(
    module: nn.Module,
    *,
    name: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    input_size: Sequence[int] | None = None,
) -> tuple[BackboneCard, InitialWeights]:
    """Describe a module, so that ``create_backbone`` and a run take it like a backbone of the registry.

    Whatever is not given is taken from the module's attributes of these names, else from timm's ``pretrained_cfg``
    (the name from its ``architecture``; the input size from the patch embedding, where that is made for another).

    Args:
        module: behaves as timm's models do. Each run works on a copy; the module itself is never changed.
        name: what it is called on boards.
        mean, std: per channel, of pixels in 0 to 1.
        input_size: channels, height and width that it is made for, pixels.

    Returns:
        The card, and the weights to start from. The card's arguments hold a SHA-256 of the module's structure, one of
        its code (what is in neither timm nor torch), and one of what it computes from fixed images
        (``backbones.memory_modules.module_probe``), so that a module that computes something else has another id.

    Raises:
        UserError: naming all that is missing, or what is no such value.

    Example:
        >>> import timm
        >>> card, weights = make_memory_card(timm.create_model("test_vit"))
        >>> card.name, card.input_size, weights.uri
        ('test_vit', (3, 160, 160), 'memory:test_vit')
    """
    module = _unwrap_module(module)
    require_movable(module)
    given = {"name": name, "mean": mean, "std": std, "input_size": input_size}
    found = {key: _find_value(module, key) if value is None else value for key, value in given.items()}
    if missing := [key for key, value in found.items() if value is None]:
        raise UserError(
            f"this {type(module).__name__} does not say its {', '.join(missing)}; give the module attributes of these "
            "names (mean and std per channel, of pixels in 0 to 1; input_size as channels, height, width)"
        )
    card = _make_card(module, found)
    tensors = collect_tensors(module)
    num_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    uri = f"memory:{card.name}"
    return card, InitialWeights("memory", None, uri, module, hash_state_dict(tensors), num_bytes)


def copy_module(name: str, module: nn.Module) -> nn.Module:
    """A copy that shares nothing with the module.

    Raises:
        UserError: it holds what cannot be copied, as a tensor that is a part of a graph.
    """
    try:
        return copy.deepcopy(module)
    except (RuntimeError, TypeError, AttributeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"the module {name} cannot be copied ({reason}); hand over one that can") from error


def _unwrap_module(module: nn.Module) -> nn.Module:
    """The module inside ``torch.compile`` or a data-parallel wrapper, which hide the class and attributes of theirs."""
    inner = getattr(module, "_orig_mod", None)
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        inner = module.module
    return _unwrap_module(inner) if isinstance(inner, nn.Module) else module


def require_movable(module: nn.Module) -> None:
    """Refuse a module whose copy would not compute by itself.

    Raises:
        UserError: tensors without values, or a function among its attributes that holds on to a module or tensor:
            a copy of the module would go on to compute with the original's weights.
    """
    kind = type(module).__name__
    if empty := [name for name, tensor in collect_tensors(module).items() if tensor.is_meta]:
        raise UserError(f"{empty[0]} of this {kind} has no values (device meta); load its weights first")
    for path, part in module.named_modules():
        for key, function in iterate_functions(part):
            cells = [cell.cell_contents for cell in function.__closure__ or () if is_filled(cell)]
            owners = [getattr(each, "__self__", each) for each in cells]
            if any(isinstance(each, nn.Module | Tensor) for each in owners):
                raise UserError(
                    f"{path + '.' if path else ''}{key} of this {kind} is a function that holds on to a module or "
                    "tensor, so a copy would compute with the original's weights; write it as a method of a class"
                )


def _make_card(module: nn.Module, values: Mapping[str, Any]) -> BackboneCard:
    name = str(values["name"])
    if not _NAME_PATTERN.fullmatch(name):
        raise UserError(f"{name!r} is not a name for a backbone; use letters, digits, dots, _ and - (64 at most)")
    channels, height, width = size = _read_numbers(name, "input_size", values["input_size"], 3)
    if any(side < 1 or side != int(side) for side in size):
        raise UserError(f"input_size {list(size)} of the module {name} is not channels, height and width in pixels")
    mean, std = (_read_numbers(name, key, values[key], int(channels)) for key in ("mean", "std"))
    if min(std) <= 0:
        raise UserError(f"std {list(std)} of the module {name} holds a number that is not above 0")
    if max(*mean, *std) > 1 or min(mean) < 0:
        raise UserError(
            f"mean {list(mean)} and std {list(std)} of the module {name} are not those of pixels in 0 to 1; divide "
            "numbers for pixels in 0 to 255 by 255"
        )
    copy_module(name, module)  # every run works on a copy: said here, before anything is hashed
    return BackboneCard(
        name=name,
        architecture=MEMORY_ARCHITECTURE,
        summary=f"a {type(module).__name__} from memory",
        arguments={
            "structure_sha256": hash_structure(module),
            "code_sha256": hash_code(module),
            "behavior_sha256": hash_behavior(module, (int(channels), int(height), int(width))),
        },
        input_size=(int(channels), int(height), int(width)),
        mean=mean,
        std=std,
        prefix_tokens=int(getattr(module, "num_prefix_tokens", 0) or 0),
    )


def _find_value(module: nn.Module, key: str) -> Any:
    """What a module says of itself."""
    value = getattr(module, key, None)
    if value is not None and not callable(value):
        return value
    config = getattr(module, "pretrained_cfg", None)
    values: Mapping[str, Any] = config if isinstance(config, Mapping) else {}
    found = values.get("architecture" if key == "name" else key)
    embed = getattr(module, "patch_embed", None)
    if key == "input_size" and found is not None and isinstance(embed, PatchEmbed) and embed.img_size:
        return (found[0], *embed.img_size)  # timm keeps the architecture's own size there, whatever it was made with
    return found


def _read_numbers(name: str, key: str, value: Any, count: int) -> Any:
    """As many finite numbers as are asked for."""
    plain = value.flatten().tolist() if isinstance(value, Tensor) else value
    try:
        numbers = tuple(float(each) for each in plain)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != count or not all(math.isfinite(each) for each in numbers):
        raise UserError(f"{key} of the module {name} is not {count} numbers: {plain!r:.80}")
    return numbers
