"""Equal runs on one machine: deterministic algorithms, and the names of operations that have none."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import torch

# torch's words for both kinds: no such algorithm at all, or one that only its strict mode uses. The strict mode ends a
# training at the first operation of the first kind, so it is no choice for models that are not known beforehand.
_SENTENCE = re.compile(r"^([\w ]+?) (?:does not have a deterministic implementation|defaults to a non-deterministic)")

_found: set[str] = set()


def make_deterministic() -> None:
    """Make runs with the same seed on the same machine give the same result.

    Operations without a deterministic implementation are noted instead of warned of: see
    ``list_nondeterministic_operations``.
    """
    torch.use_deterministic_algorithms(True, warn_only=True)
    # the deterministic mode also fills every new tensor with NaN, a debugging aid that costs time
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False  # timing could choose another algorithm in each run
    if not isinstance(warnings.showwarning, _Notebook):
        warnings.showwarning = _Notebook(warnings.showwarning)


def list_nondeterministic_operations() -> list[str]:
    """Return the operations that add numbers in another order each time, as torch has said so far in this process.

    A GPU has some (the backward pass of RoIAlign, of adaptive pooling, of fused attention); a CPU has none. torch
    speaks once in a process, so later runs of the process get the names of earlier ones too.
    """
    return sorted(_found)


class _Notebook:
    """Shows warnings as before, and notes those of nondeterministic operations."""

    def __init__(self, show: Callable[..., Any]) -> None:
        self._show = show

    def __call__(self, message: Warning | str, *args: Any, **kwargs: Any) -> None:
        if match := _SENTENCE.match(str(message)):
            _found.add(match[1])
        else:
            self._show(message, *args, **kwargs)
