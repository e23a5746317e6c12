"""The GPU of a Mac, without a Mac: what is decided about it, and what must not reach it."""

from __future__ import annotations

from functools import cache  # torch's own function is cached, and torch looks behind its cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.device import utils

from benchmarks.cli.main import main
from engine.device import (
    choose_float64_device,
    convert_to_float64,
    describe_device,
    keep_mmengine_off_mps,
    require_training_device,
    resolve_device,
)
from foundation.errors import UserError


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with MPS and without CUDA."""
    monkeypatch.setattr(torch.backends.mps, "is_available", cache(lambda: True))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("mac")
def test_mps_is_taken_only_where_it_is_asked_for() -> None:
    assert (resolve_device("mps"), resolve_device("auto"), resolve_device("cpu")) == ("mps", "cpu", "cpu")
    assert describe_device("mps").startswith("mps (")


def test_without_mps_a_sentence_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", cache(lambda: False))
    words = ["run", "digits", "--backbone", "vit_pico", "--protocol", "knn", "--device", "mps", "--out", str(tmp_path)]
    assert main(words) == 2
    assert "no GPU of a Mac (MPS) is available to torch here; use --device cpu" in capsys.readouterr().err


@pytest.mark.usefixtures("mac")
def test_a_training_on_mps_is_refused_before_it_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "digits", "--backbone", "vit_pico", "--tier", "smoke", "--device", "mps", "--out", str(tmp_path)]
    assert main([*words, "--protocol", "finetune"]) == 2
    assert "a training does not run on MPS" in capsys.readouterr().err
    require_training_device("cpu")
    with pytest.raises(UserError, match="knn, linear, linear_sgd, lowshot"):
        require_training_device("mps")


def test_mmengine_leaves_models_on_the_cpu_of_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Runner would move every model to MPS, and the record of the run would say cpu."""
    monkeypatch.setattr(utils, "DEVICE", "mps")
    keep_mmengine_off_mps()
    assert utils.get_device() == "cpu"
    monkeypatch.setattr(utils, "DEVICE", "cuda")
    keep_mmengine_off_mps()
    assert utils.get_device() == "cuda"


def test_no_float64_is_made_on_mps() -> None:
    def refuse() -> torch.Tensor:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype")

    values: Any = SimpleNamespace(device=torch.device("mps"), cpu=lambda: torch.ones(2), double=refuse)
    assert convert_to_float64(values).dtype == torch.float64
    assert convert_to_float64(torch.ones(2)).dtype == torch.float64
    assert [choose_float64_device(name) for name in ("mps", "cuda", "cpu")] == ["cpu", "cuda", "cpu"]
