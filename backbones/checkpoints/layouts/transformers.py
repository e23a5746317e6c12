"""Hugging Face ``transformers``: ViT, ViTMAE, DeiT, BEiT, DINOv2, Swin and ConvNeXt.

The names are those of ``modeling_vit.py``, ``modeling_dinov2.py``, ``modeling_beit.py``, ``modeling_swin.py`` and
``modeling_convnext(v2).py`` there. Models with a head have the trunk under the model's name ("vit.", "beit." ...).
"""

from __future__ import annotations

from backbones.checkpoints.layouts.layout import PREFIX, Layout, Rename, Trunk, fuse_attention, next_stage
from backbones.checkpoints.layouts.layout import reshape_to_model as reshape

_ATTENTION = r"(?:attention|self)"
_BLOCK: tuple[Rename, ...] = (
    (rf"\.attention\.{_ATTENTION}\.(q)uery\.", r".attn.\1."),
    (rf"\.attention\.{_ATTENTION}\.(k)ey\.", r".attn.\1."),
    (rf"\.attention\.{_ATTENTION}\.(v)alue\.", r".attn.\1."),
    (rf"\.attention\.{_ATTENTION}\.(relative_position_bias\.)?(relative_position_)", r".attn.\2"),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
)
_VIT_RENAMES: tuple[Rename, ...] = (
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^embeddings\.(cls_token|mask_token)$", r"\1"),
    (r"^embeddings\.distillation_token$", "dist_token"),
    (r"^embeddings\.register_tokens$", "reg_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^(encoder\.)?layer\.(\d+)\.", r"blocks.\2."),
    # BEiT's table that all blocks share
    (r"^encoder\.relative_position_bias\.", "rel_pos_bias."),
    *_BLOCK,
    (r"\.lambda_([12])$", r".gamma_\1"),  # BEiT
    (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),  # DINOv2
    (r"\.mlp\.weights_in\.", ".mlp.fc1."),
    (r"\.mlp\.weights_out\.", ".mlp.fc2."),
    (r"^layernorm\.", "norm."),
    # BEiT norms the mean of the patch tokens, as timm's fc_norm does
    (r"^pooler\.layernorm\.", "fc_norm."),
)
_CLASSIFIERS = ((r"(cls_|distillation_)?classifier\.", "classifier"),)


def _vit(name: str, anchor: str, norm_eps: float = 1e-12) -> Layout:
    return Layout(
        f"transformers {name}", PREFIX + anchor, _VIT_RENAMES, _CLASSIFIERS, fuse_attention, norm_eps=norm_eps
    )


def _adjust_convnext(trunk: Trunk) -> None:
    """Drop the axes that the response normalization of V2 has, and fit the pointwise layers."""
    reshape(trunk, r"stages\.\d+\.blocks\.\d+\.mlp\.(grn\.(weight|bias)|fc[12]\.weight)")


TRANSFORMERS_LAYOUTS = (
    # the first that fits decides; BEiT, DeiT and DINOv2 have what ViT has, and more
    _vit("BEiT", r"(?:encoder\.)?layer\.0\.lambda_1$"),
    _vit("DINOv2", r"(?:encoder\.)?layer\.0\.layer_scale1\.lambda1$", 1e-6),
    _vit("DeiT", r"embeddings\.distillation_token$"),
    _vit("ViT", r"(?:encoder\.)?layer\.0\.attention\.attention\.query\.weight$"),
    Layout(
        "transformers Swin",
        PREFIX + r"(?:encoder\.)?layers\.0\.blocks\.0\.attention\.self\.query\.weight$",
        (
            (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
            (r"^embeddings\.norm\.", "patch_embed.norm."),
            (r"^embeddings\.mask_token$", "mask_token"),
            (r"^encoder\.layers\.", "layers."),
            (r"^layers\.(\d+)\.downsample\.", next_stage),
            *_BLOCK,
            (r"^layernorm\.", "norm."),
        ),
        _CLASSIFIERS,
        fuse_attention,
    ),
    Layout(
        "transformers ConvNeXt",
        PREFIX + r"(?:encoder\.)?stages\.0\.layers\.0\.dwconv\.weight$",
        (
            (r"^embeddings\.patch_embeddings\.", "stem.0."),
            (r"^embeddings\.layernorm\.", "stem.1."),
            (r"^(?:encoder\.)?stages\.(\d+)\.downsampling_layer\.", r"stages.\1.downsample."),
            (r"^(?:encoder\.)?stages\.(\d+)\.layers\.(\d+)\.", r"stages.\1.blocks.\2."),
            (r"\.dwconv\.", ".conv_dw."),
            (r"\.layernorm\.", ".norm."),
            (r"\.pwconv([12])\.", r".mlp.fc\1."),
            (r"\.layer_scale_parameter$", ".gamma"),
            (r"\.grn\.", ".mlp.grn."),
            (r"^layernorm\.", "head.norm."),
        ),
        _CLASSIFIERS,
        _adjust_convnext,
    ),
)
