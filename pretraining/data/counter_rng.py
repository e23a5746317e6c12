"""Random numbers as a function of an item's seed, independent of batch, process and device.

Masks, crops and colors are drawn from these, so they stay the same if a batch is split into micro-batches, is spread
over several processes, or is computed after a resume.
"""

from __future__ import annotations

import torch
from torch import Tensor

# the constants of SplitMix64, as signed numbers because torch computes in int64 (its products wrap as unsigned ones do)
_GOLDEN_GAMMA, _MIX_MULTIPLIER_1, _MIX_MULTIPLIER_2 = (
    value - (1 << 64) for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
CROP_STREAM, FLIP_STREAM, MASK_STREAM, COLOR_STREAM, BLUR_STREAM, INTERPOLATION_STREAM = range(6)
"""Streams: one per purpose, so that no two purposes get the same numbers."""


def sample_integers(seeds: Tensor, count: int, stream: int) -> Tensor:
    """Draw ``count`` random 64-bit integers per seed: SplitMix64 (Steele et al. 2014) over a counter.

    Args:
        seeds: (N,) int64.
        count: how many numbers per seed.
        stream: purpose of the numbers; equal seeds give other numbers in another stream.

    Returns:
        (N, count) int64.
    """
    # Mixing the start decorrelates nearby seeds and streams; number k is then mix(start + k * gamma), as in SplitMix64.
    start = _mix_bits(seeds + _wrap_int64((stream + 1) * _MIX_MULTIPLIER_2))
    counter = torch.arange(1, count + 1, device=seeds.device, dtype=torch.int64) * _GOLDEN_GAMMA
    return _mix_bits(start[:, None] + counter)


def sample_uniform(seeds: Tensor, count: int, stream: int) -> Tensor:
    """Draw float32 numbers from 0 to below 1, (N, count); see ``sample_integers`` for the arguments.

    >>> bool((sample_uniform(torch.arange(3), 100, MASK_STREAM) < 1).all())
    True
    """
    # the upper 24 bits: float32 represents them exactly, so rounding never gives 1
    return _shift_right_unsigned(sample_integers(seeds, count, stream), 40).to(torch.float32) / (1 << 24)


def sample_permutation(seeds: Tensor, count: int, stream: int) -> Tensor:
    """Draw a random permutation of 0 .. count - 1 per seed, (N, count) int64; see ``sample_integers``."""
    return sample_integers(seeds, count, stream).argsort(dim=1)


def _wrap_int64(value: int) -> int:
    """Wrap an integer to the range of int64 (two's complement)."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def _shift_right_unsigned(value: Tensor, bits: int) -> Tensor:
    """Shift right and fill with zeros (torch's shift repeats the sign bit)."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def _mix_bits(value: Tensor) -> Tensor:
    value = (value ^ _shift_right_unsigned(value, 30)) * _MIX_MULTIPLIER_1
    value = (value ^ _shift_right_unsigned(value, 27)) * _MIX_MULTIPLIER_2
    return value ^ _shift_right_unsigned(value, 31)
