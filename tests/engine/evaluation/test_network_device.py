"""The device that a record names is the one that computed: an exported network leaves the GPU alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from classification.digits_task import DIGITS
from engine.evaluation.model_source import ModelSource
from engine.evaluation.network_device import resolve_network_device
from foundation.errors import UserError
from tests.classification.as_is import make


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.mark.usefixtures("gpu")
def test_an_exported_network_computes_on_the_cpu() -> None:
    assert resolve_network_device(ModelSource(backbone="vit_pico")) == "cuda"
    assert resolve_network_device(ModelSource(backbone="vit_pico", runtime="openvino")) == "cpu"
    with pytest.raises(UserError, match="an exported model computes on the CPU; leave out --device cuda"):
        resolve_network_device(ModelSource(backbone="vit_pico", runtime="onnxruntime", device="cuda"))


def test_an_evaluation_names_the_cpu_for_an_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make.train(tmp_path, Path(), "digits", "epochs=1", "schedule.warmup=0", tier="smoke")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    exported, plain = (
        DIGITS.open_evaluation(ModelSource(run=run, runtime=runtime), Path())  # type: ignore[arg-type]
        for runtime in ("openvino", "torch")
    )
    assert (exported.device, plain.device) == ("cpu", "cuda")
