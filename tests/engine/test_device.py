from __future__ import annotations

import pytest
import torch

from engine.device import decide_on_rank0, get_dist_info, resolve_device
from foundation.errors import UserError


def test_auto_takes_what_is_there() -> None:
    assert resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_cuda_without_a_gpu_is_refused() -> None:
    with pytest.raises(UserError, match="no CUDA device is visible; use --device cpu"):
        resolve_device("cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_unknown_device() -> None:
    with pytest.raises(UserError, match="unknown device 'tpu'"):
        resolve_device("tpu")


def test_one_process_agrees_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert get_dist_info() == (0, 1)
    assert decide_on_rank0(lambda: 3) == 3
