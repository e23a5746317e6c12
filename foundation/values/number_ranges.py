"""The largest numbers that settings and options take, so that a slip is named instead of filling the memory.

They are far above real use and no part of a run's id.
"""

from __future__ import annotations

from foundation.display_text import shorten_value
from foundation.errors import UserError

MAX_COUNT = 10**9
"""Largest number of items, steps or epochs; data sets have up to 10^8 items and trainings up to 10^7 steps."""

MAX_BATCH = 2**24
"""Largest number of items of a batch; the frozen features of all 1.3 million images of ImageNet may be one."""

MAX_SIDE = 16_384
"""Largest side of an image or input in pixels; one image of this size has 3 GB in float32."""

MAX_PROCESSES = 1024
"""Largest number of processes or threads of one command on one machine."""

MAX_SEED = 2**32 - 1
"""Largest seed. numpy and scikit-learn take 32 bits; of a larger seed they would see the last 32 bits alone."""


def require_seed(seed: int) -> None:
    """Accept a seed that all generators of random numbers take.

    Raises:
        UserError: it is negative or above ``MAX_SEED``.
    """
    if seed < 0:
        raise UserError(f"seed {shorten_value(seed)} is negative; seeds are 0 or above")
    if seed > MAX_SEED:
        raise UserError(f"seed {shorten_value(seed)} is too large; seeds are 0 to {MAX_SEED}")
