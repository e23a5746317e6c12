"""torchvision's ViT, Swin and ConvNeXt.

The names are those of ``vision_transformer.py``, ``swin_transformer.py`` and ``convnext.py`` there. The ResNets of
torchvision itself have the same names as timm's.
"""

from __future__ import annotations

import re

from backbones.checkpoints.layouts.layout import PREFIX, Layout, Trunk, reshape_to_model


def _stage(found: re.Match[str]) -> str:
    """Return the stage of ``features.1``, ``features.3`` ...: every second entry is a stage."""
    return f"stages.{(int(found[1]) - 1) // 2}.blocks."


def _swin_stage(found: re.Match[str]) -> str:
    return f"layers.{(int(found[1]) - 1) // 2}.blocks."


def _swin_merging(found: re.Match[str]) -> str:
    """Return timm's name of ``features.2`` ...: the patch merging belongs to the stage that follows."""
    return f"layers.{int(found[1]) // 2}.downsample."


def _downsampling(found: re.Match[str]) -> str:
    return f"stages.{int(found[1]) // 2}.downsample."


def _adjust_convnext(trunk: Trunk) -> None:
    """Drop the axes that torchvision's LayerScale has, and fit the pointwise layers."""
    reshape_to_model(trunk, r"stages\.\d+\.blocks\.\d+\.(gamma|mlp\.fc[12]\.weight)")


TORCHVISION_LAYOUTS = (
    Layout(
        "torchvision ViT",
        PREFIX + r"(?:encoder\.)?layers\.encoder_layer_0\.self_attention\.in_proj_weight$",
        (
            (r"^class_token$", "cls_token"),
            (r"^conv_proj\.", "patch_embed.proj."),
            (r"^encoder\.pos_embedding$", "pos_embed"),
            (r"^encoder\.ln\.", "norm."),
            (r"^(?:encoder\.)?layers\.encoder_layer_(\d+)\.", r"blocks.\1."),
            (r"\.ln_([12])\.", r".norm\1."),
            (r"\.self_attention\.in_proj_", ".attn.qkv."),
            (r"\.self_attention\.out_proj\.", ".attn.proj."),
            # "linear_1" up to torchvision 0.12, and a sequence since
            (r"\.mlp\.(linear_1|0)\.", ".mlp.fc1."),
            (r"\.mlp\.(linear_2|3)\.", ".mlp.fc2."),
        ),
    ),
    Layout(
        "torchvision Swin",
        PREFIX + r"features\.1\.0\.attn\.relative_position_bias_table$",
        (
            (r"^features\.0\.0\.", "patch_embed.proj."),
            (r"^features\.0\.2\.", "patch_embed.norm."),
            (r"^features\.([1357])\.(?=\d+\.)", _swin_stage),
            (r"^features\.([246])\.", _swin_merging),
            (r"\.mlp\.0\.", ".mlp.fc1."),
            (r"\.mlp\.3\.", ".mlp.fc2."),
        ),
    ),
    Layout(
        "torchvision ConvNeXt",
        PREFIX + r"features\.1\.0\.layer_scale$",
        (
            (r"^features\.0\.0\.", "stem.0."),
            (r"^features\.0\.1\.", "stem.1."),
            (r"^features\.([1357])\.(?=\d+\.(?:block|layer_scale))", _stage),
            (r"^features\.([246])\.", _downsampling),
            (r"\.block\.0\.", ".conv_dw."),
            (r"\.block\.2\.", ".norm."),
            (r"\.block\.3\.", ".mlp.fc1."),
            (r"\.block\.5\.", ".mlp.fc2."),
            (r"\.layer_scale$", ".gamma"),
            (r"^classifier\.0\.", "head.norm."),
        ),
        (),
        _adjust_convnext,
        ((r"classifier\.2\.", "classifier"),),
    ),
)
