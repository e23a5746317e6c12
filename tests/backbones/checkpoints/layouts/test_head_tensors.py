"""Known heads are left out with a reason, and a module that the model has itself is never taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from backbones.checkpoints.layouts.head_tensors import find_head_reason
from backbones.checkpoints.load_weights import load_tensors
from foundation.errors import CheckpointError
from tests.backbones.checkpoints.weights import make_vit

HEADS = (
    "classifier.weight",
    "cls_classifier.bias",
    "fc.weight",
    "linear_head.weight",
    "linear.bias",
    "last_linear.weight",
    "pre_logits.fc.weight",
    "heads.head.weight",
    "head.layers.head.weight",
    "head_dist.weight",
    "attn_pool.latent",
    "pooler.dense.weight",
    "lm_head.weight",
    "projection_head.layers.0.weight",
    "dino_head.mlp.0.weight",
    "proj",
    "visual_projection.weight",
    "text_projection",
    "logit_scale",
    "logit_bias",
    "text_model.embeddings.token_embedding.weight",
    "token_embedding.weight",
)
TRUNK = (
    "patch_embed.proj.weight",
    "blocks.0.attn.proj.weight",
    "norm.weight",
    "fc_norm.weight",
    "head.norm.weight",
    "layers.0.blocks.0.attn.logit_scale",
    "projector.weight",
    "stages.0.fc.weight",
)


@pytest.mark.parametrize("name", HEADS)
def test_a_head_beside_a_whole_trunk_is_dropped(name: str) -> None:
    model = make_vit()
    report = load_tensors(
        model, {**model.state_dict(), name: torch.zeros(3, 48)}, allow_partial=False, source="the file"
    )
    assert report.is_complete
    assert sum(line.startswith(f"{name} 3x48 (") for line in report.dropped) == 1


@pytest.mark.parametrize("name", HEADS)
def test_the_models_own_module_is_no_head(name: str) -> None:
    module = name.split(".")[0]
    assert find_head_reason(name, {"blocks.0.norm1.weight"})
    assert not find_head_reason(name, {module if module == name else f"{module}.other.weight"})


@pytest.mark.parametrize("name", TRUNK)
def test_a_part_of_a_trunk_is_no_head(name: str) -> None:
    assert name == "head.norm.weight" or not find_head_reason(name, {"cls_token"})
    assert not find_head_reason(name, {name})


def test_a_stranger_is_still_unexpected(tmp_path: Path) -> None:
    model = make_vit()
    with pytest.raises(CheckpointError, match="unexpected: stranger"):
        load_tensors(model, {**model.state_dict(), "stranger": torch.zeros(3)}, allow_partial=False, source="x")
