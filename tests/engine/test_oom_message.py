"""Failures of a training as sentences."""

from __future__ import annotations

import pytest
import torch

from engine.device import translate_oom_error
from foundation.errors import UserError


def test_memory_that_ran_out() -> None:
    with (
        pytest.raises(UserError, match="out of memory: split each batch into more micro-batches"),
        translate_oom_error(),
    ):
        torch.empty(10**14)


def test_other_failures_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), translate_oom_error():
        torch.ones(2, 3) @ torch.ones(2, 3)
