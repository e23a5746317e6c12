"""What a backbone computes at its depths, handed on layer by layer while it runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from analysis.cka import LayerGrams, compute_centered_gram, stack_grams
from analysis.image_subset import ImageBatch
from foundation.errors import BenchError, UserError

ReadPoint = Literal["papers", "norm1", "attn", "mlp", "blocks"]
"""Where a backbone is read: ``papers`` is the first norm's output in each block and the final normed output."""

READ_POINTS: tuple[ReadPoint, ...] = get_args(ReadPoint)
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
    prefix = int(getattr(model, "num_prefix_tokens", 0) or 0)
    part = "norm1" if read_point == "papers" else read_point

    def hook(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def read(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            if len(output) != len(images):
                raise BenchError(
                    f"{part} of {name} gives {len(output)} rows for {len(images)} images (windows?); "
                    "choose --at blocks or norm1"
                )
            on_features(name, output[:, prefix:] if output.ndim == 3 else output)

        return read

    forward: Any = model.forward_features
    with ExitStack() as hooks, torch.inference_mode():
        for place, block in enumerate(find_blocks(model)):
            module = block.module if part == "blocks" else getattr(block.module, part)
            hooks.callback(module.register_forward_hook(hook(f"{part} {place}")).remove)
        output: Tensor = forward(images)
        if read_point == "papers":
            name, final = _final_tokens(model, output)
            on_features(name, final[:, prefix:] if final.ndim == 3 else final)


def _final_tokens(model: nn.Module, output: Tensor) -> tuple[str, Tensor]:
    """The last tokens after a final norm; where that belongs to the head, the head's norm of each token."""
    if not isinstance(getattr(model, "norm", None), nn.Identity | None):
        return "final norm", output
    for norm in (getattr(model, "fc_norm", None), getattr(getattr(model, "head", None), "norm", None)):
        if isinstance(norm, nn.LayerNorm):
            return "final norm", norm(output)
    return "output", output


def compute_layer_grams(model: nn.Module, batch: ImageBatch, read_point: ReadPoint, device: str) -> LayerGrams:
    """The Gram matrix of every representation of a batch; features live no longer than their layer.

    Raises:
        UserError: no transformer blocks, or fewer than 4 images.
        BenchError: features that are not finite; names the layer.
    """
    found: list[tuple[str, Tensor]] = []

    def see(name: str, features: Tensor) -> None:
        try:
            found.append((name, compute_centered_gram(features)))
        except UserError:
            raise
        except BenchError as error:
            raise BenchError(f"{name}: {error}") from error

    read_layers(model, batch.images.to(device), read_point, see)
    return stack_grams(batch.names, found)
