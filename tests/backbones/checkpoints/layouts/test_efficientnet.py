"""EfficientNet in the layout of its PyTorch authors, written here from timm's model by the names alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from backbones.create import create_backbone
from foundation.errors import CheckpointError

# of a block with and without expansion, timm's name and the authors', in the order of the layers
PLAIN = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
EXPANDED = {
    "conv_pw": "_expand_conv",
    "bn1": "_bn0",
    "conv_dw": "_depthwise_conv",
    "bn2": "_bn1",
    "conv_pwl": "_project_conv",
    "bn3": "_bn2",
}
SQUEEZE = {"se.conv_reduce": "_se_reduce", "se.conv_expand": "_se_expand"}
OUTER = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}


def write_authors_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    places = list(dict.fromkeys(tuple(name.split(".")[1:3]) for name in state if name.startswith("blocks.")))
    written = {}
    for name, value in state.items():
        layer, _, rest = name.partition(".")
        if layer != "blocks":
            written[f"{OUTER[layer]}.{rest}"] = value
            continue
        stage, block, rest = rest.split(".", 2)
        names = EXPANDED if f"blocks.{stage}.{block}.conv_pwl.weight" in state else PLAIN
        inner, kind = rest.rsplit(".", 1)
        written[f"_blocks.{places.index((stage, block))}.{({**names, **SQUEEZE})[inner]}.{kind}"] = value
    return written


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "tf_efficientnet_b0"])
def test_the_features_are_those_of_the_model_that_was_saved(name: str, tmp_path: Path) -> None:
    saved = create_backbone(f"timm/{name}", checkpoint="random").model.eval()
    torch.save(write_authors_names(saved.state_dict()), tmp_path / "a.pth")
    loaded, _, _, report = create_backbone(f"timm/{name}", checkpoint=str(tmp_path / "a.pth"))
    assert report is not None and report.is_complete and len(report.dropped) == 2
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        difference = saved.forward_features(images) - loaded.eval().forward_features(images)  # type: ignore[operator]
    assert difference.abs().max() < 1e-6


def test_a_model_with_other_padding_is_refused(tmp_path: Path) -> None:
    """All names and shapes of ``efficientnet_b0`` are the same, and its features would be others."""
    state = create_backbone("timm/tf_efficientnet_b0", checkpoint="random").model.state_dict()
    torch.save(write_authors_names(state), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="choose timm/tf_efficientnet_b0"):
        create_backbone("timm/efficientnet_b0", checkpoint=str(tmp_path / "a.pth"))
