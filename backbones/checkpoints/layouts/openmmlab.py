"""The Swin of mmpretrain, mmsegmentation and mmdetection.

The names are those of ``mmseg/models/backbones/swin.py``. Its patch merging takes the four neighbours with
``nn.Unfold``, so that channels come in another order than in Microsoft's and timm's code.
"""

from __future__ import annotations

import re

from torch import Tensor

from backbones.checkpoints.layouts.layout import PREFIX, Layout, Trunk, next_stage
from foundation.errors import CheckpointError

_MERGING = re.compile(r"^layers\.\d+\.downsample\.(norm\.weight|norm\.bias|reduction\.weight)$")


def _reorder_merging(trunk: Trunk) -> None:
    """Give the inputs of the patch merging timm's order.

    ``nn.Unfold`` has the channel outside and the place inside (channel, row, column); timm the place outside, columns
    before rows (column, row, channel). Norm and reduction are applied to this axis, the last one of each tensor.
    """
    for name, value in trunk.tensors.items():
        if _MERGING.match(name):
            trunk.tensors[name] = reorder_unfolded(value)


def reorder_unfolded(value: Tensor) -> Tensor:
    """Reorder the last axis of a tensor from (channel, row, column) to (column, row, channel).

    Args:
        value: shape (..., 4 * channels).

    Raises:
        CheckpointError: the axis is not made of four places.
    """
    if value.shape[-1] % 4:
        raise CheckpointError(
            f"the checkpoint's patch merging has {value.shape[-1]} input channels, which are not those of 2 x 2 "
            "places; choose a backbone whose patches are merged in another way"
        )
    places = value.reshape(*value.shape[:-1], value.shape[-1] // 4, 2, 2)
    return places.transpose(-3, -1).flatten(-3)


OPENMMLAB_LAYOUTS = (
    Layout(
        "OpenMMLab Swin",
        PREFIX + r"stages\.0\.blocks\.0\.attn\.w_msa\.relative_position_bias_table$",
        (
            (r"^patch_embed\.projection\.", "patch_embed.proj."),
            (r"^stages\.", "layers."),
            (r"^layers\.(\d+)\.downsample\.", next_stage),
            (r"\.attn\.w_msa\.", ".attn."),
            (r"\.ffn\.layers\.0\.0\.", ".mlp.fc1."),
            (r"\.ffn\.layers\.1\.", ".mlp.fc2."),
            # the norm after the last stage; those after the other stages are a dense head's
            (r"^norm3\.", "norm."),
        ),
        (
            (
                r"(decode_head|auxiliary_head|neck|data_preprocessor|rpn_head|roi_head|bbox_head)\.",
                "not part of the backbone",
            ),
            (r"head\.", "classifier"),
        ),
        _reorder_merging,
        ((r"norm[012]\.", "norm of a pyramid level for a dense head"),),
    ),
)
