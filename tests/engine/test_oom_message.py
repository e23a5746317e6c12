"""Failures of a training as sentences."""

from __future__ import annotations

import pytest
import torch

from engine.oom_message import in_a_sentence
from foundation.errors import UserError


def test_memory_that_ran_out() -> None:
    with pytest.raises(UserError, match="out of memory: take each batch in more pieces"), in_a_sentence():
        torch.empty(10**14)


def test_other_failures_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), in_a_sentence():
        torch.ones(2, 3) @ torch.ones(2, 3)
