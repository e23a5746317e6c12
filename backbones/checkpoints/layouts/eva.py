"""EVA and EVA-02 as their authors save them.

The names are those of ``eva_vit.py`` and ``modeling_finetune.py`` of baaivision/EVA.
"""

from __future__ import annotations

from backbones.checkpoints.layouts.layout import PREFIX, Layout, Trunk, fit_gated_layer, fuse_attention


def _adjust_eva(trunk: Trunk) -> None:
    """Fuse q, k and v where the model has one layer; EVA's layers have biases for q and v apart from the weights."""
    fuse_attention(trunk)
    for name in [name for name in trunk.tensors if name.endswith((".attn.q_bias", ".attn.v_bias"))]:
        stem, kind = name.rsplit(".", 1)
        own = f"{stem}.{kind[0]}_proj.bias"
        if own in trunk.model_state:
            trunk.tensors[own] = trunk.tensors.pop(name)
    fit_gated_layer(trunk)


EVA_LAYOUTS = (
    Layout(
        "EVA-02",
        PREFIX + r"(?:(?:blocks\.0\.attn\.)?rope\.freqs_cos|blocks\.0\.(?:attn\.inner_attn_ln|mlp\.ffn_ln)\.weight)$",
        (
            (r"\.attn\.([qkv])_proj\.", r".attn.\1."),
            (r"\.attn\.inner_attn_ln\.", ".attn.norm."),
            (r"\.mlp\.ffn_ln\.", ".mlp.norm."),
            (r"\.mlp\.w12\.", ".mlp.fc1."),
            (r"\.mlp\.w1\.", ".mlp.fc1_g."),
            (r"\.mlp\.w2\.", ".mlp.fc1_x."),
            (r"\.mlp\.w3\.", ".mlp.fc2."),
        ),
        (),
        _adjust_eva,
        ((r"(blocks\.\d+\.attn\.)?rope\.freqs_(cos|sin)$", "computed by the model"),),
    ),
)
