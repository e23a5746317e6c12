"""Meta's DINOv2 and ConvNeXt.

The names are those of ``dinov2/models/vision_transformer.py`` (blocks in chunks, as the training saves them, or one
after the other, as the hub's files have them), and of ``models/convnext(v2).py`` of ConvNeXt and ConvNeXt-V2.
"""

from __future__ import annotations

from backbones.checkpoints.layouts.layout import PREFIX, Layout, Rename, Trunk, fit_gated_layer, reshape_to_model

_HEADS = ((r"(dino_head|ibot_head|dino_loss|ibot_patch_loss)\.", "projection head or loss of the self-distillation"),)
_DINOV2_RENAMES: tuple[Rename, ...] = (
    # the second number counts over all chunks
    (r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),
    (r"^register_tokens$", "reg_token"),
    (r"\.mlp\.w12\.", ".mlp.fc1."),
    (r"\.mlp\.w3\.", ".mlp.fc2."),
)


def _adjust_convnext(trunk: Trunk) -> None:
    """Drop the axes that the response normalization of V2 has, and fit the pointwise layers."""
    reshape_to_model(trunk, r"stages\.\d+\.blocks\.\d+\.mlp\.(grn\.(weight|bias)|fc[12]\.weight)")


META_LAYOUTS = (
    Layout(
        "DINOv2",
        PREFIX + r"(?:blocks\.\d+\.\d+\.ls1\.gamma|register_tokens|blocks\.0\.mlp\.w12\.weight)$",
        _DINOV2_RENAMES,
        _HEADS,
        fit_gated_layer,
    ),
    Layout(
        "ConvNeXt",
        PREFIX + r"downsample_layers\.0\.0\.weight$",
        (
            (r"^downsample_layers\.0\.", "stem."),
            (r"^downsample_layers\.(\d+)\.", r"stages.\1.downsample."),
            (r"^stages\.(\d+)\.(\d+)\.", r"stages.\1.blocks.\2."),
            # mmpretrain writes the names in full
            (r"\.(dwconv|depthwise_conv)\.", ".conv_dw."),
            (r"\.(pwconv|pointwise_conv)([12])\.", r".mlp.fc\2."),
            (r"\.grn\.gamma$", ".mlp.grn.weight"),
            (r"\.grn\.beta$", ".mlp.grn.bias"),
            (r"^norm3?\.", "head.norm."),
        ),
        (),
        _adjust_convnext,
        ((r"head\.(fc\.)?(weight|bias)$", "classifier"), (r"norm[012]\.", "norm of a pyramid level for a dense head")),
    ),
)
