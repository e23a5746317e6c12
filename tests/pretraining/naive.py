"""Formulas of the papers written out with loops and plain matrix products, independent of the product's code."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


def reference_pos_embed(width: int, side: int) -> Tensor:
    """MAE's positions, entry by entry."""
    table = torch.zeros(1 + side * side, width, dtype=torch.float64)
    quarter = width // 4
    for row in range(side):
        for column in range(side):
            for i in range(quarter):
                omega = 1 / 10000 ** (i / quarter)
                place = 1 + row * side + column
                table[place, i] = math.sin(column * omega)
                table[place, quarter + i] = math.cos(column * omega)
                table[place, 2 * quarter + i] = math.sin(row * omega)
                table[place, 3 * quarter + i] = math.cos(row * omega)
    return table


def extract_patch(image: Tensor, number: int, size: int) -> Tensor:
    """Patch ``number`` of an image (3, H, W), counted row by row, flattened channels first."""
    row, column = divmod(number, image.shape[2] // size)
    return image[:, row * size : (row + 1) * size, column * size : (column + 1) * size].reshape(-1)


def normalize_patch(values: Tensor) -> Tensor:
    mean = sum(values.tolist()) / len(values)
    variance = sum((value - mean) ** 2 for value in values.tolist()) / (len(values) - 1)
    return (values - mean) / math.sqrt(variance + 1e-6)


def compute_attention(block: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """What attention adds to the tokens, and its logits before the softmax; head by head."""
    layer = block.attn
    normed = block.norm1(tokens)
    width, heads = tokens.shape[-1], layer.num_heads
    size = width // heads
    q, k, v = (normed @ layer.qkv.weight[i * width : (i + 1) * width].T + layer.qkv.bias[i * width : (i + 1) * width]
               for i in range(3))  # fmt: skip
    outs, logits = [], []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        product = q[..., part] @ k[..., part].transpose(-1, -2) / math.sqrt(size)
        logits.append(product)
        outs.append(product.softmax(-1) @ v[..., part])
    return layer.proj(torch.cat(outs, -1)), torch.stack(logits, 1)


def run_block(block: Any, tokens: Tensor) -> Tensor:
    tokens = tokens + compute_attention(block, tokens)[0]
    return tokens + block.mlp(block.norm2(tokens))


def embed_visible_patches(model: Any, image: Tensor, seen: list[int]) -> Tensor:
    """Class token and visible patches of one image, with positions, 1 x T x C."""
    size = model.patch_embed.patch_size[0]
    tokens = [model.cls_token[0, 0] + model.pos_embed[0, 0]]
    embedded = model.patch_embed.proj(image[None]).flatten(2)[0].T
    assert len(embedded) == (image.shape[1] // size) ** 2
    tokens += [embedded[number] + model.pos_embed[0, 1 + number] for number in seen]
    return torch.stack(tokens)[None]


def reference_mae_loss(method: Any, image: Tensor, order: list[int], visible: int, after: int | None = None) -> Tensor:
    """The loss of one image: encode what is visible, un-shuffle, decode, compare on masked patches.

    ``after``: the block that is reconstructed from; the last where not given.
    """
    model, decoder = method.backbone, method.decoder
    tokens = embed_visible_patches(model, image, order[:visible])
    for block in list(model.blocks)[:after]:
        tokens = run_block(block, tokens)
    embedded = decoder.embed(model.norm(tokens))[0]
    full: list[Tensor] = [decoder.mask_token[0, 0]] * len(order)
    for place, number in enumerate(order[:visible]):
        full[number] = embedded[1 + place]
    values = torch.stack([embedded[0], *full])[None] + decoder.pos_embed
    for block in decoder.blocks:
        values = run_block(block, values)
    predicted = decoder.pred(decoder.norm(values))[0, 1:]
    size = model.patch_embed.patch_size[0]
    losses = []
    for number in order[visible:]:
        target = normalize_patch(extract_patch(image, number, size).double())
        losses.append(((predicted[number].double() - target) ** 2).mean())
    return torch.stack(losses).mean()


def attention_logits_at(model: Any, image: Tensor, seen: list[int], layer: int) -> Tensor:
    """Attention logits of block ``layer`` (from 1) on the visible tokens, (heads, T, T)."""
    tokens = embed_visible_patches(model, image, seen)
    for block in list(model.blocks)[: layer - 1]:
        tokens = run_block(block, tokens)
    return compute_attention(model.blocks[layer - 1], tokens)[1][0]


def reference_logits_loss(weight: Tensor, student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error of mixed heads, entry by entry: ``weight`` (targets, heads)."""
    total = torch.zeros((), dtype=torch.float64)
    for target in range(len(teacher)):
        mixed = sum(weight[target, head].double() * student[head].double() for head in range(len(student)))
        total = total + ((mixed - teacher[target].double()) ** 2).sum()
    return total / teacher.numel()
