"""What a plan of a fine-tuning says of the backbone."""

from __future__ import annotations

import timm

from backbones.architectures import rpe
from classification.plan import RELATIVE_POSITION_MODELS
from tests.classification.test_pooling import make_request, plan


def test_relative_positions_start_as_the_authors() -> None:
    """Fine-tuned models alone, so that ids of other runs stay; every architecture with tables is meant."""
    ours = make_request("vit_tiny_rpe", "beit_init=false", protocol="finetune")  # as digits, which keeps its version
    assert plan(make_request("vit_tiny_rpe", protocol="finetune")).backbone_kwargs["beit_init"] is True
    assert "beit_init" not in plan(ours).backbone_kwargs
    assert "beit_init" not in plan(make_request("vit_tiny", protocol="finetune")).backbone_kwargs
    assert "beit_init" not in plan(make_request("vit_tiny_rpe", protocol="linear")).backbone_kwargs
    made = {name for name in timm.list_models("*_rpe") if timm.model_entrypoint(name).__module__ == rpe.__name__}
    assert made == set(RELATIVE_POSITION_MODELS)
