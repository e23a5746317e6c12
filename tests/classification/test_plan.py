"""What a plan of a fine-tuning says of the backbone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import timm

from backbones.architectures import rpe
from classification.plan import RELATIVE_POSITION_MODELS
from foundation.errors import ConfigError
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


@pytest.mark.parametrize(
    ("backbone", "word", "sentence"),
    [
        ("vit_pico", "beit_init=false", "vit_pico has no tables of relative positions"),
        ("vit_pico", "fresh_norm=true", "from random weights the final norm starts at 1 and 0 in any case"),
        ("vit_pico", "optimizer.swin_layers=mae_lite", "vit_pico is no Swin"),
    ],
)
def test_changes_that_a_backbone_does_not_heed(backbone: str, word: str, sentence: str) -> None:
    """One number would have two ids; a plan from a record, which may be older, goes on."""
    request = make_request(backbone, word, "optimizer.layer_decay=0.5", protocol="finetune")
    with pytest.raises(ConfigError, match=sentence):
        plan(request)
    assert plan(replace(request, reads_weights=False)).config["recipe"]["optimizer"]["layer_decay"] == 0.5
