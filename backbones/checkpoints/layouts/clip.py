"""CLIP's visual tower: OpenAI, open_clip (its own tower, or a timm model) and ``transformers``; and SigLIP's.

The names are those of ``clip/model.py``, ``open_clip/transformer.py`` and ``timm_model.py``, ``modeling_clip.py`` and
``modeling_siglip.py``.
"""

from __future__ import annotations

from backbones.checkpoints.layouts.layout import PREFIX, Layout, Rename, Trunk, add_batch_axis, fuse_attention

CLIP_TOWER = "CLIP (OpenAI, open_clip)"
CLIP_TRANSFORMERS = "transformers CLIP"
SIGLIP_TRANSFORMERS = "transformers SigLIP"

_TEXT = "the text side of the pre-training"
_PROJECTION = "projection to the space that images and texts share"
_OUTSIDE = (
    (r"(text|text_model|text_decoder|transformer|token_embedding|ln_final)\.", _TEXT),
    (r"(positional_embedding|cls_emb|attn_mask)$", _TEXT),
    (r"text_projection(\.(weight|bias))?$", _TEXT),
    (r"logit_(scale|bias)$", "temperature of the contrastive loss"),
    (r"visual_projection\.", _PROJECTION),
    (r"visual\.head\.", _PROJECTION),
    (r"classifier\.", "classifier"),
)
OPENAI_CONSTANTS = ("input_resolution", "context_length", "vocab_size")
"""Constants that OpenAI's program files have beside the weights; they stay until the activation was checked."""
_HF_RENAMES: tuple[Rename, ...] = (
    (r"^embeddings\.patch_embedding\.", "patch_embed.proj."),
    (r"^embeddings\.class_embedding$", "cls_token"),
    (r"^embeddings\.position_embedding\.weight$", "pos_embed"),
    (r"^embeddings\.position_ids$", "position_ids"),
    (r"^encoder\.layers\.(\d+)\.", r"blocks.\1."),
    (r"\.self_attn\.out_proj\.", ".attn.proj."),
    (r"\.self_attn\.([qkv])_proj\.", r".attn.\1."),
    (r"\.layer_norm([12])\.", r".norm\1."),
    (r"^post_layernorm\.", "norm."),
)
_HF_REMOVED = ((r"embeddings\.position_ids$", "computed by the model"),)


def _adjust_clip(trunk: Trunk) -> None:
    """Fuse separate q, k and v layers, and give tokens and positions timm's axes."""
    fuse_attention(trunk)
    add_batch_axis(trunk, "cls_token", "pos_embed")


def _adjust_siglip(trunk: Trunk) -> None:
    """Fuse the blocks' attention, and split that of the pooling: timm has its query apart from key and value."""
    _adjust_clip(trunk)
    for kind in ("weight", "bias"):
        fused = trunk.tensors.pop(f"attn_pool.in_proj_{kind}", None)
        if fused is not None:
            query = len(fused) // 3
            trunk.tensors.update({f"attn_pool.q.{kind}": fused[:query], f"attn_pool.kv.{kind}": fused[query:]})


CLIP_LAYOUTS = (
    Layout("open_clip timm tower", r"^((?:\w+\.)*?visual\.trunk\.)", (), _OUTSIDE),
    Layout(
        CLIP_TOWER,
        PREFIX + r"ln_pre\.weight$",
        (
            (r"^conv1\.", "patch_embed.proj."),
            (r"^class_embedding$", "cls_token"),
            (r"^positional_embedding$", "pos_embed"),
            (r"^ln_pre\.", "norm_pre."),
            (r"^ln_post\.", "norm."),
            (r"^transformer\.resblocks\.(\d+)\.", r"blocks.\1."),
            (r"\.ln_([12])\.", r".norm\1."),
            (r"\.ls_([12])\.gamma$", r".ls\1.gamma"),
            (r"\.attn\.in_proj_", ".attn.qkv."),
            (r"\.attn\.out_proj\.", ".attn.proj."),
            (r"\.mlp\.c_fc\.", ".mlp.fc1."),
            (r"\.mlp\.c_proj\.", ".mlp.fc2."),
        ),
        _OUTSIDE,
        _adjust_clip,
        ((r"proj$", _PROJECTION), (rf"({'|'.join(OPENAI_CONSTANTS)})$", "constant of OpenAI's program")),
        1e-5,
    ),
    # "layrnorm" is how transformers spells it
    Layout(
        CLIP_TRANSFORMERS,
        PREFIX + r"pre_layrnorm\.weight$",
        (*_HF_RENAMES, (r"^pre_layrnorm\.", "norm_pre.")),
        _OUTSIDE,
        _adjust_clip,
        _HF_REMOVED,
        1e-5,
    ),
    Layout(
        SIGLIP_TRANSFORMERS,
        r"^((?:\w+\.)*?(?:vision_model\.)?)head\.probe$",
        (
            *_HF_RENAMES,
            (r"^head\.probe$", "attn_pool.latent"),
            (r"^head\.attention\.in_proj_", "attn_pool.in_proj_"),
            (r"^head\.attention\.out_proj\.", "attn_pool.proj."),
            (r"^head\.layernorm\.", "attn_pool.norm."),
            (r"^head\.mlp\.", "attn_pool.mlp."),
        ),
        _OUTSIDE,
        _adjust_siglip,
        _HF_REMOVED,
        1e-6,
    ),
)
