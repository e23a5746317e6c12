"""What a layout is: a table of renames, and the few steps that more than one layout needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

PREFIX = r"^((?:\w+\.)*?)"
"""Start of an anchor: the modules that stand before the trunk, as few as possible."""
_SPLIT_ATTENTION = re.compile(r"^(.+\.attn)\.(q|k|v)\.(weight|bias)$")

# the replacement is a text, or a function of the match as ``re.sub`` takes it
Rename = tuple[str, str | Callable[[re.Match[str]], str]]


class Trunk(NamedTuple):
    """What a layout's steps work on.

    Attributes:
        tensors: the tensors of the trunk; under the authors' names before the renames, then under timm's.
        model_state: the state dict of the timm model that they are loaded into.
        notes: sentences for the load report.
        dropped: lines for the load report about tensors that were left out.
    """

    tensors: dict[str, Tensor]
    model_state: Mapping[str, Tensor]
    notes: list[str]
    dropped: list[str]


@dataclass(frozen=True)
class Layout:
    """The names and shapes that a project's code gives the tensors of an architecture.

    Attributes:
        name: the project and the architecture, as the record of a run has it.
        anchor: pattern of a name that only this layout has; its first group is what stands before the trunk.
        renames: patterns and replacements, all applied to each name of the trunk in this order.
        outside: patterns of names outside the trunk that are left out, with the reason.
        adjust: a step after the renames, for what a rename cannot do (shapes, order of channels).
        removed: patterns of the trunk's own names that are left out, with the reason.
        norm_eps: what the project's LayerNorms add to the variance by default; ``None``: not compared with the model's.
    """

    name: str
    anchor: str
    renames: tuple[Rename, ...]
    outside: tuple[tuple[str, str], ...] = ()
    adjust: Callable[[Trunk], None] = field(default=lambda _: None)
    removed: tuple[tuple[str, str], ...] = ()
    norm_eps: float | None = None

    def find_prefixes(self, names: Mapping[str, Tensor]) -> set[str]:
        """Return what stands before the trunks of this layout; empty if the names are of another layout."""
        pattern = re.compile(self.anchor)
        return {found[1] for name in names if (found := pattern.match(name))}

    def rename(self, name: str) -> str:
        """Return timm's name of a tensor of the trunk; names that no rule knows stay."""
        for pattern, replacement in self.renames:
            name = re.sub(pattern, replacement, name)
        return name


def fuse_attention(trunk: Trunk) -> None:
    """Fuse separate q, k and v layers to timm's ``qkv``, or name them ``q_proj`` ... where the model has those.

    The rows of ``qkv`` are those of q, k and v, one after the other. Where a layer has no key bias (BEiT), q and v bias
    get BEiT's names, which a later step knows.
    """
    tensors, state = trunk.tensors, trunk.model_state
    layers = sorted({found[1] for name in tensors if (found := _SPLIT_ATTENTION.match(name))})
    for layer in layers:
        if f"{layer}.q_proj.weight" in state:
            for part in "qkv":
                for kind in ("weight", "bias"):
                    if f"{layer}.{part}.{kind}" in tensors:
                        tensors[f"{layer}.{part}_proj.{kind}"] = tensors.pop(f"{layer}.{part}.{kind}")
            continue
        for kind in ("weight", "bias"):
            parts = [f"{layer}.{part}.{kind}" for part in "qkv"]
            if all(name in tensors for name in parts):
                tensors[f"{layer}.qkv.{kind}"] = torch.cat([tensors.pop(name) for name in parts])
        query, value = f"{layer}.q.bias", f"{layer}.v.bias"
        if query in tensors and value in tensors:
            tensors[f"{layer}.q_bias"], tensors[f"{layer}.v_bias"] = tensors.pop(query), tensors.pop(value)


def fit_gated_layer(trunk: Trunk) -> None:
    """Split or join the first layer of a SwiGLU as the model has it: the gate's rows come first."""
    tensors, state = trunk.tensors, trunk.model_state
    for name in [name for name in tensors if ".mlp.fc1." in name and name not in state]:
        gate, value = name.replace(".fc1.", ".fc1_g."), name.replace(".fc1.", ".fc1_x.")
        if gate in state and value in state:
            tensors[gate], tensors[value] = torch.chunk(tensors.pop(name), 2)
    for gate in [name for name in tensors if ".mlp.fc1_g." in name and name not in state]:
        value, joined = gate.replace(".fc1_g.", ".fc1_x."), gate.replace(".fc1_g.", ".fc1.")
        if value in tensors and joined in state:
            tensors[joined] = torch.cat([tensors.pop(gate), tensors.pop(value)])


def reshape_to_model(trunk: Trunk, pattern: str) -> None:
    """Give tensors the model's shape where only axes of length 1 differ: linear layer and 1 x 1 convolution."""
    for name, value in trunk.tensors.items():
        own = trunk.model_state.get(name)
        if re.fullmatch(pattern, name) and own is not None and value.squeeze().shape == own.squeeze().shape:
            trunk.tensors[name] = value.reshape(own.shape)


def add_batch_axis(trunk: Trunk, *names: str) -> None:
    """Give tokens of shape (width,) and tables of shape (rows, width) the leading axes that timm has."""
    for name in names:
        value = trunk.tensors.get(name)
        if value is not None and value.dim() < 3:
            trunk.tensors[name] = value.reshape((1,) * (3 - value.dim()) + tuple(value.shape))


def next_stage(found: re.Match[str]) -> str:
    """Return the name of the following stage's patch merging: timm merges at the start of a stage, not at its end."""
    return f"layers.{int(found[1]) + 1}.downsample."
