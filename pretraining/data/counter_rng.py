"""Random numbers that belong to an item: a function of its seed, whatever the batch, the process or the device.

Masks, crops and colours are drawn from these, so a batch taken in pieces, on several processes or after a resume has
the masks it would have had.
"""

from __future__ import annotations

import torch
from torch import Tensor

_GOLDEN_GAMMA, _MIX_MULTIPLIER_1, _MIX_MULTIPLIER_2 = (
    value - (1 << 64) for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
CROP_STREAM, FLIP_STREAM, MASK_STREAM, COLOR_STREAM, BLUR_STREAM = range(5)
"""Streams: what numbers are for, so that no two uses share any."""


def sample_integers(seeds: Tensor, count: int, stream: int) -> Tensor:
    """``count`` mixed 64-bit numbers a seed (SplitMix64, Steele et al. 2014, over a counter), (N, count) int64.

    Args:
        seeds: (N,) int64.
        count: how many for each.
        stream: what they are for; equal seeds give other numbers in another stream.
    """
    start = _mix_bits(seeds + _wrap_int64((stream + 1) * _MIX_MULTIPLIER_2))
    counter = torch.arange(1, count + 1, device=seeds.device, dtype=torch.int64) * _GOLDEN_GAMMA
    return _mix_bits(start[:, None] + counter)


def sample_uniform(seeds: Tensor, count: int, stream: int) -> Tensor:
    """As ``sample_integers``, as float32 from 0 to below 1 (24 bits), (N, count).

    >>> bool((sample_uniform(torch.arange(3), 100, MASK_STREAM) < 1).all())
    True
    """
    return _shift_right_unsigned(sample_integers(seeds, count, stream), 40).to(torch.float32) / (1 << 24)


def sample_permutation(seeds: Tensor, count: int, stream: int) -> Tensor:
    """A random permutation of 0 .. count - 1 a seed, (N, count) int64."""
    return sample_integers(seeds, count, stream).argsort(dim=1)


def _wrap_int64(value: int) -> int:
    """A whole number as int64 arithmetic would leave it."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def _shift_right_unsigned(value: Tensor, bits: int) -> Tensor:
    """Shift right with zeros coming in (torch's shift repeats the sign)."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def _mix_bits(value: Tensor) -> Tensor:
    value = (value ^ _shift_right_unsigned(value, 30)) * _MIX_MULTIPLIER_1
    value = (value ^ _shift_right_unsigned(value, 27)) * _MIX_MULTIPLIER_2
    return value ^ _shift_right_unsigned(value, 31)
