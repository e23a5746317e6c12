"""What a backbone computes at its depths, handed on layer by layer while it runs."""

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
    """A transformer block: its name in the model, and itself."""

    name: str
    module: nn.Module


def find_blocks(model: nn.Module) -> list[TransformerBlock]:
    """The transformer blocks of a timm model, plain or hierarchical, shallow to deep.

    Raises:
        UserError: it has none that are made of ``norm1``, ``attn`` and ``mlp``.
    """
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
    """Within the context, hand what each module computes to a hook of its own; afterwards no hook is left.

    Args:
        modules: shallow to deep.
        make_hook: gives the hook (module, inputs, output) of the module at a place, counted from 0.
    """
    with ExitStack() as stack:
        for place, module in enumerate(modules):
            stack.callback(module.register_forward_hook(make_hook(place)).remove)
        yield


def read_layers(
    model: nn.Module, images: Tensor, read_point: ReadPoint, on_features: Callable[[str, Tensor], None]
) -> None:
    """Run the model and hand each representation to ``on_features``.

    That is its name, and its values (n, tokens, C) without prefix tokens.

    The model's output is not touched. Nothing is kept: what ``on_features`` does not keep is gone.

    Args:
        model: a timm model in eval mode.
        images: (n, 3, S, S) on the model's device.
        read_point: which representations.
        on_features: takes them, shallow to deep.

    Raises:
        UserError: no transformer blocks.
        BenchError: a part that mixes images, as attention in windows does.
    """
    prefix = count_prefix_tokens(model)
    # The papers' code reads the input of each attention (after its norm), and after the last block the final norm
    part = "norm1" if read_point == "papers" else read_point

    def make_hook(place: int) -> Callable[[nn.Module, Any, Tensor], None]:
        name = f"{part} {place}"

        def read(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            if len(output) != len(images):  # windowed attention folds windows into the batch
                raise BenchError(
                    f"{part} of {name} gives {len(output)} rows for {len(images)} images (windows?); "
                    "choose --at blocks or norm1"
                )
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
    """The last tokens after a final norm; where that belongs to the head, the head's norm of each token."""
    # timm puts the final norm in one of three places: before pooling (norm), after pooling (fc_norm), in the head
    if not isinstance(getattr(model, "norm", None), nn.Identity | None):
        return "final norm", output
    for norm in (getattr(model, "fc_norm", None), getattr(getattr(model, "head", None), "norm", None)):
        if isinstance(norm, nn.LayerNorm):
            return "final norm", norm(output)
    return "output", output
