"""Train the correlation network from scratch; killed and started again, it goes on with the same numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.progress_bar import ProgressBar
from foundation.files import atomic_writer
from tracking.correlation.losses import compute_loss
from tracking.correlation.network import CROP_SIZES, CorrelationNetwork
from tracking.correlation.pairs import ShapedPair, ShapedPairSampler
from tracking.data.pair import SearchJitter

JITTER = SearchJitter(3.0, 0.25)
STATE_FILE = "state.pth"


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of a training.

    Attributes:
        steps: number of steps.
        batch_size: pairs per step.
        peak_rate: highest learning rate; reached after the warm-up, then a cosine to a hundredth of it.
        warmup_steps: steps in which the rate rises.
        weight_decay: of AdamW.
        max_norm: gradients are clipped at this norm.
        is_bf16: whether convolutions are computed in bf16, which halves the time where the CPU has it.
        channels, head_channels, head_dilations: of the network.
        save_seconds: seconds between two saved states.
    """

    steps: int = 1500
    batch_size: int = 32
    peak_rate: float = 2e-3
    warmup_steps: int = 100
    weight_decay: float = 1e-2
    max_norm: float = 5.0
    is_bf16: bool = True
    channels: tuple[int, ...] = (16, 32, 48, 48)
    head_channels: int = 32
    head_dilations: tuple[int, ...] = (1, 2, 4)
    save_seconds: float = 60.0

    def build_network(self) -> CorrelationNetwork:
        """Create the network; its initial weights come from torch's generator."""
        network = CorrelationNetwork(CROP_SIZES, self.channels, self.head_channels, self.head_dilations)
        # convolutions of few channels are faster with the channels of a pixel side by side
        return network.to(memory_format=torch.channels_last)

    def compute_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        rise = min(1.0, (step + 1) / self.warmup_steps)
        return self.peak_rate * rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / self.steps)))


def train_network(
    sampler: ShapedPairSampler,
    settings: TrainingSettings,
    seed: int,
    folder: Path,
    on_save: Callable[[CorrelationNetwork, int], object] = lambda network, step: None,
) -> CorrelationNetwork:
    """Train, going on from the state in the folder.

    Args:
        sampler: draws the pairs; pair n of a training depends on the seed and n only.
        settings: the settings.
        seed: seed of the initial weights and of the pairs.
        folder: holds the state.
        on_save: called with the network and the number of steps done whenever the state was saved.
    """
    torch.manual_seed(seed)
    network = settings.build_network()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=settings.weight_decay, betas=(0.9, 0.99))
    path, first = folder / STATE_FILE, 0
    if path.is_file():
        state = torch.load(path, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        first = int(state["step"])
    saved = time.monotonic()
    with ProgressBar(f"tracker, seed {seed}", "steps", settings.steps, with_rate=False, num_done=first) as bar:
        for step in range(first, settings.steps):
            rng_seeds = [(seed, step * settings.batch_size + n) for n in range(settings.batch_size)]
            pairs = [sampler.sample_shaped_pair(np.random.default_rng(each)) for each in rng_seeds]
            loss = _take_step(network, optimizer, pairs, settings, settings.compute_rate(step))
            bar.advance(f"loss {loss:.3f}")
            if step + 1 == settings.steps or time.monotonic() - saved > settings.save_seconds:
                state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
                with atomic_writer(path) as file:
                    torch.save(state, file)
                on_save(network, step + 1)
                saved = time.monotonic()
    return network


def _take_step(
    network: CorrelationNetwork,
    optimizer: torch.optim.Optimizer,
    pairs: list[ShapedPair],
    settings: TrainingSettings,
    rate: float,
) -> float:
    """Take one step and return the loss before it."""
    network.train()
    template, search, boxes, aspect_ratios = collate_pairs(pairs)
    with torch.autocast("cpu", torch.bfloat16, enabled=settings.is_bf16):
        maps = network(network.normalize_images(template), network.normalize_images(search), aspect_ratios)
    loss = compute_loss(maps, boxes).add_weighted()
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(network.parameters(), settings.max_norm)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    return loss.item()


def collate_pairs(pairs: list[ShapedPair]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return templates, search regions (batch, 3, side, side), boxes (batch, 4) and aspect ratios (batch,)."""
    template, search = (
        torch.from_numpy(np.stack([pair[number] for pair in pairs])).permute(0, 3, 1, 2) for number in (0, 1)
    )
    boxes = torch.from_numpy(np.stack([pair.box for pair in pairs])).float()
    return template, search, boxes, torch.tensor([pair.aspect_ratio for pair in pairs], dtype=torch.float32)
