"""One training step of MAE and of D-MAE against straightforward ones: own code, explicit attention, whole teacher."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from backbones.create import create_backbone
from pretraining.method_registry import get_method_card
from pretraining.models.patches import sample_masking
from tests.perf.line import SpeedRatio
from tests.pretraining.make import make_method, make_teacher

BATCH, ROUNDS = 32, 5
VISIBLE, PATCH = 49, 16


def run_suite() -> list[SpeedRatio]:
    """Milliseconds an image: forward, backward and AdamW, rounds in turn; without equal losses there is no line."""
    return [*_time_method("mae", False), *_time_method("mae_distill", True)]


def _time_method(name: str, has_teacher: bool) -> list[SpeedRatio]:
    steps = make_steps(name, has_teacher, BATCH, "cpu")
    times = [[_time_call(step) for step in steps] for _ in range(ROUNDS + 1)][1:]
    a, b = (1000 * statistics.median(column) / BATCH for column in zip(*times, strict=True))
    card = get_method_card(name)
    return [SpeedRatio(f"{card.name} step, vit_tiny 224 px / straightforward", a, b, "ms/image")]


def make_steps(
    name: str, has_teacher: bool, batch: int, device: str, precision: torch.dtype = torch.float32
) -> list[Callable[[], None]]:
    """Our step of a method and the straightforward one, whose losses are equal to 1e-3 (in half precision 1e-2)."""

    def half() -> AbstractContextManager[Any]:
        # one context for each forward pass: a context keeps the converted weights until it ends
        return torch.autocast(device, precision) if precision != torch.float32 else nullcontext()

    teacher, other_teacher = (make_teacher("vit_base", 224) if has_teacher else None for _ in range(2))
    ours = make_method(name, "vit_tiny", teacher, size=224).to(device)
    naive = ReferenceMae(ours, other_teacher.model.to(device) if other_teacher is not None else None).to(device)
    images, seeds = torch.randn(batch, 3, 224, 224, device=device), torch.arange(batch, device=device)

    def own() -> Tensor:
        with half():
            return torch.stack(list(ours(images=images, seeds=seeds).values())).sum()

    def other() -> Tensor:
        with half():
            return naive(images, sample_masking(seeds, 196, VISIBLE).permutation)

    first, second = float(own().detach()), float(other().detach())
    if abs(first - second) > (1e-3 if precision == torch.float32 else 1e-2) * abs(second):
        raise AssertionError(f"{name}: the losses differ, {first} and {second}")
    return [_make_step(own, ours), _make_step(other, naive)]


def _make_step(loss: Callable[[], Tensor], model: nn.Module) -> Callable[[], None]:
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def _time_call(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


class ReferenceMae(nn.Module):
    """MAE as one would write it from the paper: all patches embedded, shuffled, un-shuffled, predicted; attention with
    explicit products; a teacher that runs to its end. Same weights as ours, copied."""

    def __init__(self, ours: Any, teacher: Any) -> None:
        super().__init__()
        self.encoder = create_backbone("vit_tiny", checkpoint="random", num_classes=0).model
        self.encoder.load_state_dict(ours.backbone.state_dict())
        self.encoder.pos_embed.requires_grad_(False)
        self.decoder = type(ours.decoder)(192, ours.recipe.decoder, ours.patch_geometry, "fixed")
        self.decoder.load_state_dict(ours.decoder.state_dict())
        self.mix = None
        if teacher is not None:
            self.mix = nn.Conv2d(12, 12, 1, bias=False)
            self.mix.load_state_dict(ours.attn_adapter[0].proj.state_dict())
        self.teacher = (teacher,)

    def forward(self, images: Tensor, order: Tensor) -> Tensor:
        """The loss."""
        tokens, logits = _encode(self.encoder, images, order)
        loss = _reconstruct(self.decoder, tokens, images, order)
        if self.mix is not None:
            with torch.no_grad():
                _, goal = _encode(self.teacher[0], images, order)
            loss = loss + F.mse_loss(self.mix(logits), goal)
        return loss


def _encode(model: Any, images: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    tokens = model.patch_embed.proj(images).flatten(2).transpose(1, 2) + model.pos_embed[:, 1:]
    places = order[:, :VISIBLE, None].expand(-1, -1, tokens.shape[2])
    first = (model.cls_token + model.pos_embed[:, :1]).expand(len(images), -1, -1)
    tokens = torch.cat([first, tokens.gather(1, places)], dim=1)
    logits = tokens
    for block in model.blocks:
        tokens, logits = _run_block(block, tokens)
    return model.norm(tokens), logits


def _run_block(block: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
    count, length, width = tokens.shape
    heads = block.attn.num_heads
    parts = block.attn.qkv(block.norm1(tokens)).reshape(count, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    logits = parts[0] @ parts[1].transpose(-2, -1) * (width // heads) ** -0.5
    mixed = (logits.softmax(-1) @ parts[2]).transpose(1, 2).reshape(count, length, width)
    tokens = tokens + block.attn.proj(mixed)
    return tokens + block.mlp(block.norm2(tokens)), logits


def _reconstruct(decoder: Any, tokens: Tensor, images: Tensor, order: Tensor) -> Tensor:
    values = decoder.embed(tokens)
    count, width = len(values), values.shape[2]
    blanks = decoder.mask_token.expand(count, 196 - VISIBLE, -1)
    full = torch.cat([values[:, 1:], blanks], dim=1)
    back = order.argsort(1)
    full = full.gather(1, back[:, :, None].expand(-1, -1, width))
    values = torch.cat([values[:, :1], full], dim=1) + decoder.pos_embed
    for block in decoder.blocks:
        values, _ = _run_block(block, values)
    predicted = decoder.pred(decoder.norm(values))[:, 1:]
    cells = images.reshape(count, 3, 14, PATCH, 14, PATCH).permute(0, 2, 4, 1, 3, 5).reshape(count, 196, -1)
    target = (cells - cells.mean(-1, keepdim=True)) / (cells.var(-1, keepdim=True) + 1e-6).sqrt()
    hidden = torch.ones(count, 196, device=images.device).scatter_(1, order[:, :VISIBLE], 0.0)
    loss = ((predicted - target) ** 2).mean(-1)
    return (loss * hidden).sum() / hidden.sum()
