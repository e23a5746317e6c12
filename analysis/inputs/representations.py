"""Read the representations of a backbone layer by layer while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from analysis.request import ReadPoint
from backbones.features import count_prefix_tokens
from foundation.errors import BenchError, UserError

_BLOCK_PARTS = ("norm1", "attn", "mlp")


class TransformerBlock(NamedTuple):
    """A transformer block: its name in the model, and the module."""

    name: str
    module: nn.Module


def find_blocks(model: nn.Module) -> list[TransformerBlock]:
    """Return the transformer blocks of a timm model, plain or hierarchical, shallow to deep.

    Raises:
        UserError: no module of the model has the parts ``norm1``, ``attn`` and ``mlp``.
    """
    # Found by their parts and not by their class, because every timm architecture has its own block class.
    # named_modules lists them in the order of the constructor, which is the order of depth.
    found = [
        TransformerBlock(name, module)
        for name, module in model.named_modules()
        if all(isinstance(getattr(module, part, None), nn.Module) for part in _BLOCK_PARTS)
    ]
    if not found:
        raise UserError(
            f"{type(model).__name__} has no transformer blocks (norm1, attn, mlp) to read; "
            "spectrum, neighbours and pca work without them"
        )
    return found


@contextmanager
def hook_outputs(modules: Iterable[nn.Module], make_hook: Callable[[int], Callable[..., None]]) -> Iterator[None]:
    """Call a hook with the output of each module inside the context; all hooks are removed at its end.

    Args:
        modules: the modules, shallow to deep.
        make_hook: returns the hook (called with module, inputs, output) for the module with a given index, from 0.
    """
    with ExitStack() as stack:  # also removes the hooks that are registered so far when one of them fails
        for place, module in enumerate(modules):
            stack.callback(module.register_forward_hook(make_hook(place)).remove)
        yield


def read_layers(
    model: nn.Module, images: Tensor, read_point: ReadPoint, on_features: Callable[[str, Tensor], None]
) -> None:
    """Run the model and pass each representation to ``on_features``.

    Features are not stored, so that only one layer is in memory, and the output of the model does not change.

    Args:
        model: a timm model in eval mode.
        images: images (n, 3, S, S) on the device of the model.
        read_point: which representations to read.
        on_features: called shallow to deep with the name of the representation and its features (n, tokens, channels)
            without prefix tokens; features of hierarchical models keep their own shape.

    Raises:
        UserError: the model has no transformer blocks.
        BenchError: the output of a part does not have one row per image, as in windowed attention.
    """
    prefix = count_prefix_tokens(model)
    # The papers' code reads the input of each attention (after norm1), and the final norm after the last block
    part = "norm1" if read_point == "papers" else read_point

    def make_hook(place: int) -> Callable[[nn.Module, Any, Tensor], None]:
        name = f"{part} {place}"

        def read(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            if len(output) != len(images):  # windowed attention puts the windows into the batch dimension
                raise BenchError(
                    f"{name} gives {len(output)} rows for {len(images)} images, as attention in windows does; "
                    "choose --at blocks or norm1"
                )
            # three dimensions are tokens; maps (n, H, W, C) of hierarchical models have no prefix tokens
            on_features(name, output[:, prefix:] if output.ndim == 3 else output)

        return read

    forward: Any = model.forward_features
    blocks = [block.module for block in find_blocks(model)]
    modules = blocks if part == "blocks" else [getattr(block, part) for block in blocks]
    with hook_outputs(modules, make_hook), torch.inference_mode():
        output: Tensor = forward(images)
        if read_point == "papers":
            name, final = _final_tokens(model, output)
            on_features(name, final[:, prefix:] if final.ndim == 3 else final)


def _final_tokens(model: nn.Module, output: Tensor) -> tuple[str, Tensor]:
    """Return the name and the features of the last layer, after the final norm even if timm applies it in the head."""
    # timm puts the final norm in one of three places: before pooling (norm), after pooling (fc_norm), in the head
    if not isinstance(getattr(model, "norm", None), nn.Identity | None):
        return "final norm", output
    for norm in (getattr(model, "fc_norm", None), getattr(getattr(model, "head", None), "norm", None)):
        if isinstance(norm, nn.LayerNorm):
            return "final norm", norm(output)
    return "output", output
