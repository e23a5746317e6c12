"""Other projects' names and shapes, written from a timm model: the way back from ``backbones.checkpoints.layouts``.

The names are written down here a second time, from the projects' public code, so that a slip in one direction shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor

State = dict[str, Tensor]
Names = tuple[tuple[str, str], ...]


def rename(state: State, names: Names) -> State:
    """Apply all patterns to each name; the tensors stay."""
    result = {}
    for name, value in state.items():
        for pattern, replacement in names:
            name = re.sub(pattern, replacement, name)
        result[name] = value
    return result


def add_prefix(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def trunk_of(state: State) -> State:
    """The state without timm's classifiers."""
    heads = ("head.weight", "head.bias", "head.fc.", "head_dist.", "fc.")
    return {name: value for name, value in state.items() if not name.startswith(heads)}


def split_rows(state: State, pattern: str, parts: tuple[str, ...]) -> State:
    """Split tensors along their rows; ``pattern`` has two groups around the name that the parts get."""
    result = {}
    for name, value in state.items():
        if found := re.fullmatch(pattern, name):
            rows = len(value) // len(parts)
            for i, part in enumerate(parts):
                result[f"{found[1]}{part}{found[2]}"] = value[i * rows : (i + 1) * rows].clone()
        else:
            result[name] = value
    return result


QKV = r"(.*attn\.)qkv(\.(?:weight|bias))"
HF_BLOCK: Names = (
    (r"attn\.(query|key|value)", r"attention.attention.\1"),
    (r"attn\.proj", "attention.output.dense"),
    (r"mlp\.fc1", "intermediate.dense"),
    (r"mlp\.fc2", "output.dense"),
    (r"\.norm1", ".layernorm_before"),
    (r"\.norm2", ".layernorm_after"),
    (r"^blocks\.", "encoder.layer."),
)
HF_ENDS: Names = (
    (r"^patch_embed\.proj", "embeddings.patch_embeddings.projection"),
    (r"^cls_token", "embeddings.cls_token"),
    (r"^dist_token", "embeddings.distillation_token"),
    (r"^pos_embed", "embeddings.position_embeddings"),
    (r"^norm\.", "layernorm."),
)


def hf_vit(state: State) -> State:
    """ViTModel, ViTMAEModel, DeiTModel."""
    return rename(split_rows(trunk_of(state), QKV, ("query", "key", "value")), (*HF_BLOCK, *HF_ENDS))


def hf_vit_model(state: State) -> State:
    width = state["cls_token"].shape[-1]
    return hf_vit(state) | {"pooler.dense.weight": torch.zeros(width, width), "pooler.dense.bias": torch.zeros(width)}


def hf_vit_classifier(state: State) -> State:
    classifier = {"classifier.weight": state["head.weight"], "classifier.bias": state["head.bias"]}
    return add_prefix("vit.", hf_vit(state)) | classifier


def hf_vit_mae(state: State) -> State:
    decoder = {
        "decoder.mask_token": torch.zeros(1, 1, 16),
        "decoder.decoder_pos_embed": torch.zeros(1, 17, 16),
        "decoder.decoder_embed.weight": torch.zeros(16, 48),
        "decoder.decoder_layers.0.attention.attention.query.weight": torch.zeros(16, 16),
        "decoder.decoder_norm.weight": torch.zeros(16),
        "decoder.decoder_pred.bias": torch.zeros(768),
    }
    return add_prefix("vit.", hf_vit(state)) | decoder


def hf_deit(state: State) -> State:
    heads = {
        "cls_classifier.weight": state["head.weight"],
        "cls_classifier.bias": state["head.bias"],
        "distillation_classifier.weight": state["head_dist.weight"],
        "distillation_classifier.bias": state["head_dist.bias"],
    }
    return add_prefix("deit.", hf_vit(state)) | heads


def hf_beit(state: State) -> State:
    """BeitForMaskedImageModeling: no key bias, a table in each block, a norm outside the model."""
    state = split_rows(trunk_of(state), r"(.*attn\.)qkv(\.weight)", ("query", "key", "value"))
    names: Names = (
        (r"attn\.q_bias", "attn.query.bias"),
        (r"attn\.v_bias", "attn.value.bias"),
        (
            r"attn\.relative_position_bias_table",
            "attention.attention.relative_position_bias.relative_position_bias_table",
        ),
        (r"gamma_", "lambda_"),
        *HF_BLOCK,
        *HF_ENDS,
    )
    result = add_prefix("beit.", rename(state, names))
    head = {name.removeprefix("beit."): result.pop(name) for name in list(result) if name.startswith("beit.layernorm.")}
    mask = {"beit.embeddings.mask_token": torch.zeros(1, 1, 48), "lm_head.weight": torch.zeros(8, 48)}
    return result | head | mask


def hf_beit_pooled(state: State) -> State:
    """BeitForImageClassification norms the mean of the patch tokens."""
    names: Names = ((r"^beit\.fc_norm\.", "beit.pooler.layernorm."),)
    result = {name: value for name, value in hf_beit(state).items() if not name.startswith("lm_head")}
    return rename(result, names) | {"classifier.weight": torch.zeros(10, 48)}


def hf_dinov2(state: State) -> State:
    names: Names = (
        (r"attn\.(query|key|value)", r"attention.attention.\1"),
        (r"attn\.proj", "attention.output.dense"),
        (r"ls([12])\.gamma", r"layer_scale\1.lambda1"),
        (r"^blocks\.", "encoder.layer."),
        (r"^reg_token", "embeddings.register_tokens"),
        *HF_ENDS,
    )
    state = rename(split_rows(trunk_of(state), QKV, ("query", "key", "value")), names)
    return state | {"embeddings.mask_token": torch.zeros(1, 48)}


def hf_dinov2_swiglu(state: State) -> State:
    return rename(hf_dinov2(state), ((r"mlp\.fc1", "mlp.weights_in"), (r"mlp\.fc2", "mlp.weights_out")))


def with_class_row(state: State) -> State:
    """DINOv2's files have a position for the class token, which timm's models with registers have not."""
    row = torch.full((1, 1, state["pos_embed"].shape[-1]), 0.25)
    return state | {"pos_embed": torch.cat([row, state["pos_embed"]], 1), "cls_token": state["cls_token"] - row}


def earlier_downsample(names: State) -> State:
    """Patch merging at the end of a stage."""
    return {
        re.sub(r"layers\.(\d)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", name): value
        for name, value in names.items()
    }


def hf_swin(state: State) -> State:
    names: Names = (
        (r"attn\.(query|key|value)", r"attention.self.\1"),
        (r"attn\.relative_position_bias_table", "attention.self.relative_position_bias_table"),
        *HF_BLOCK,
        (r"^layers\.", "encoder.layers."),
        (r"^patch_embed\.norm", "embeddings.norm"),
        *HF_ENDS,
    )
    state = earlier_downsample(split_rows(trunk_of(state), QKV, ("query", "key", "value")))
    index = {"swin.encoder.layers.0.blocks.0.attention.self.relative_position_index": torch.zeros(49, 49).long()}
    return add_prefix("swin.", rename(state, names)) | index | {"classifier.weight": torch.zeros(10, 192)}


def hf_convnext(state: State) -> State:
    names: Names = (
        (r"^stem\.0", "embeddings.patch_embeddings"),
        (r"^stem\.1", "embeddings.layernorm"),
        (r"^stages\.(\d)\.downsample", r"encoder.stages.\1.downsampling_layer"),
        (r"^stages\.(\d)\.blocks", r"encoder.stages.\1.layers"),
        (r"conv_dw", "dwconv"),
        (r"mlp\.fc", "pwconv"),
        (r"mlp\.grn", "grn"),
        (r"\.gamma$", ".layer_scale_parameter"),
        (r"(\d)\.norm\.", r"\1.layernorm."),
        (r"^head\.norm", "layernorm"),
    )
    state = rename(flat_pointwise(trunk_of(state)), names)
    state = {name: value[None, None, None] if ".grn." in name else value for name, value in state.items()}
    return add_prefix("convnext.", state) | {"classifier.bias": torch.zeros(10)}


def flat_pointwise(state: State) -> State:
    """Linear layers in place of 1 x 1 convolutions."""
    return {
        name: value.flatten(1) if re.search(r"mlp\.fc[12]\.weight", name) else value for name, value in state.items()
    }


def hf_clip_blocks(state: State) -> State:
    names: Names = (
        (r"^patch_embed\.proj", "embeddings.patch_embedding"),
        (r"^pos_embed", "embeddings.position_embedding.weight"),
        (r"^cls_token", "embeddings.class_embedding"),
        (r"attn\.([qkv]_proj)", r"self_attn.\1"),
        (r"attn\.proj", "self_attn.out_proj"),
        (r"\.norm([12])", r".layer_norm\1"),
        (r"^norm_pre", "pre_layrnorm"),
        (r"^norm\.", "post_layernorm."),
        (r"^blocks\.", "encoder.layers."),
    )
    state = rename(split_rows(trunk_of(state), QKV, ("q_proj", "k_proj", "v_proj")), names)
    state["embeddings.position_embedding.weight"] = state["embeddings.position_embedding.weight"][0]
    state["embeddings.position_ids"] = torch.arange(17)[None]
    return state


HF_TEXT: State = {
    "text_model.embeddings.token_embedding.weight": torch.zeros(8, 4),
    "text_model.encoder.layers.0.self_attn.q_proj.weight": torch.zeros(4, 4),
    "logit_scale": torch.tensor(1.0),
}


def hf_clip(state: State) -> State:
    state = hf_clip_blocks(state)
    state["embeddings.class_embedding"] = state["embeddings.class_embedding"][0, 0]
    projections = {"visual_projection.weight": torch.zeros(8, 48), "text_projection.weight": torch.zeros(8, 4)}
    return add_prefix("vision_model.", state) | HF_TEXT | projections


def hf_siglip(state: State) -> State:
    pool = {name: value for name, value in state.items() if name.startswith("attn_pool.")}
    result = hf_clip_blocks({name: value for name, value in state.items() if name not in pool})
    for kind in ("weight", "bias"):
        fused = torch.cat([pool.pop(f"attn_pool.q.{kind}"), pool.pop(f"attn_pool.kv.{kind}")])
        pool[f"attn_pool.attention.in_proj_{kind}"] = fused
    names: Names = (
        (r"attn_pool\.latent", "head.probe"),
        (r"attn_pool\.proj", "head.attention.out_proj"),
        (r"attn_pool\.norm", "head.layernorm"),
        (r"attn_pool\.", "head."),
    )
    state = add_prefix("vision_model.", result | rename(pool, names))
    return state | HF_TEXT | {"logit_bias": torch.tensor(-10.0)}


def clip_tower(state: State) -> State:
    """OpenAI's and open_clip's own tower, with the text side beside it."""
    names: Names = (
        (r"^patch_embed\.proj", "conv1"),
        (r"^cls_token", "class_embedding"),
        (r"^pos_embed", "positional_embedding"),
        (r"^norm_pre", "ln_pre"),
        (r"^norm\.", "ln_post."),
        (r"\.norm([12])", r".ln_\1"),
        (r"attn\.qkv\.", "attn.in_proj_"),
        (r"attn\.proj", "attn.out_proj"),
        (r"mlp\.fc1", "mlp.c_fc"),
        (r"mlp\.fc2", "mlp.c_proj"),
        (r"^blocks\.", "transformer.resblocks."),
    )
    state = rename(trunk_of(state), names)
    state["class_embedding"] = state["class_embedding"][0, 0]
    state["positional_embedding"] = state["positional_embedding"][0]
    text = {
        "positional_embedding": torch.zeros(7, 4),
        "transformer.resblocks.0.attn.in_proj_weight": torch.zeros(12, 4),
        "token_embedding.weight": torch.zeros(8, 4),
        "ln_final.weight": torch.zeros(4),
        "text_projection": torch.zeros(4, 8),
        "logit_scale": torch.tensor(1.0),
    }
    return add_prefix("visual.", state | {"proj": torch.zeros(48, 8)}) | text


def openai_clip(state: State) -> State:
    constants = {"input_resolution": 64, "context_length": 7, "vocab_size": 8}
    return clip_tower(state) | {name: torch.tensor(value) for name, value in constants.items()}


def timm_tower(state: State) -> State:
    text = {"text.transformer.resblocks.0.ln_1.weight": torch.zeros(4), "logit_scale": torch.tensor(1.0)}
    return add_prefix("visual.trunk.", trunk_of(state)) | {"visual.head.proj.weight": torch.zeros(8, 48)} | text


def dino_teacher(state: State) -> State:
    """facebookresearch/dino: the teacher of a training run, and its head."""
    head = {"head.mlp.0.weight": torch.zeros(8, 48), "head.last_layer.weight_g": torch.zeros(8, 1)}
    return add_prefix("backbone.", trunk_of(state)) | head


def dinov2_hub(state: State) -> State:
    names: Names = ((r"^reg_token", "register_tokens"), (r"mlp\.fc1", "mlp.w12"), (r"mlp\.fc2", "mlp.w3"))
    gated = (
        "blocks.0.mlp.fc1.weight" in state
        and len(state["blocks.0.mlp.fc1.weight"]) == 2 * state["blocks.0.mlp.fc2.weight"].shape[1]
    )
    return rename(trunk_of(state), names if gated else names[:1]) | {"mask_token": torch.zeros(1, 48)}


def dinov2_teacher(state: State) -> State:
    """The training's teacher: blocks in chunks of two, and the projection heads."""
    chunked = {
        re.sub(r"^blocks\.(\d+)\.", lambda m: f"blocks.{int(m[1]) // 2}.{m[1]}.", name): value
        for name, value in dinov2_hub(state).items()
    }
    heads = {"dino_head.mlp.0.weight": torch.zeros(8, 48), "ibot_head.last_layer.weight_v": torch.zeros(8, 4)}
    return add_prefix("backbone.", chunked) | heads


def dinov3_hub(state: State) -> State:
    """One bias for q, k and v with a mask, whose key part has values that do not count; the rotary periods."""
    result = rename(trunk_of(state), ((r"^reg_token", "storage_tokens"), (r"gamma_([12])", r"ls\1.gamma")))
    blocks = sorted({name.split(".")[1] for name in state if name.startswith("blocks.")})
    width = state["cls_token"].shape[-1]
    ones, zeros = torch.ones(width), torch.zeros(width)
    for block in blocks:
        query, value = (result.pop(f"blocks.{block}.attn.{part}_bias", zeros) for part in "qv")
        result[f"blocks.{block}.attn.qkv.bias"] = torch.cat([query, ones, value])
        result[f"blocks.{block}.attn.qkv.bias_mask"] = torch.cat([ones, zeros, ones])
    return result | {"rope_embed.periods": torch.ones(4), "mask_token": torch.zeros(1, width)}


def meta_convnext(state: State) -> State:
    names: Names = (
        (r"^stem\.", "downsample_layers.0."),
        (r"^stages\.(\d)\.downsample", r"downsample_layers.\1"),
        (r"^stages\.(\d)\.blocks\.", r"stages.\1."),
        (r"conv_dw", "dwconv"),
        (r"mlp\.fc", "pwconv"),
        (r"mlp\.grn\.weight", "grn.gamma"),
        (r"mlp\.grn\.bias", "grn.beta"),
        (r"^head\.norm", "norm"),
        (r"^head\.fc", "head"),
    )
    state = rename(flat_pointwise(state), names)
    return {name: value[None, None, None] if ".grn." in name else value for name, value in state.items()}


def mmpretrain_convnext(state: State) -> State:
    names: Names = (
        (r"dwconv", "depthwise_conv"),
        (r"pwconv", "pointwise_conv"),
        (r"^norm\.", "norm3."),
        (r"^head\.", "head.fc."),
    )
    state = rename(meta_convnext(state), names)
    return {name if name.startswith("head.") else f"backbone.{name}": value for name, value in state.items()}


def unfold_order(value: Tensor) -> Tensor:
    """timm's merging reads (column, row, channel); ``nn.Unfold`` gives (channel, row, column)."""
    channels = value.shape[-1] // 4
    order = [(column * 2 + row) * channels + c for c in range(channels) for row in range(2) for column in range(2)]
    return value[..., order]


def mm_swin(state: State) -> State:
    state = {name: unfold_order(value) if "downsample" in name else value for name, value in trunk_of(state).items()}
    names: Names = (
        (r"attn\.", "attn.w_msa."),
        (r"mlp\.fc1", "ffn.layers.0.0"),
        (r"mlp\.fc2", "ffn.layers.1"),
        (r"^layers\.", "stages."),
        (r"^patch_embed\.proj", "patch_embed.projection"),
        (r"^norm\.", "norm3."),
    )
    result = add_prefix("backbone.", rename(earlier_downsample(state), names))
    result["backbone.stages.0.blocks.1.attn.w_msa.relative_position_index"] = torch.zeros(49, 49).long()
    return result


def mmpretrain_swin(state: State) -> State:
    return mm_swin(state) | {"head.fc.weight": torch.zeros(10, 192)}


def mmseg_swin(state: State) -> State:
    levels = {f"backbone.norm{i}.weight": torch.ones(24 * 2**i) for i in range(3)}
    return mm_swin(state) | levels | {"decode_head.conv_seg.weight": torch.zeros(10, 8, 1, 1)}


def mmpretrain_vit(state: State) -> State:
    names: Names = (
        (r"mlp\.fc1", "ffn.layers.0.0"),
        (r"mlp\.fc2", "ffn.layers.1"),
        (r"ls1\.gamma", "attn.gamma1.weight"),
        (r"ls2\.gamma", "ffn.gamma2.weight"),
        (r"\.norm([12])", r".ln\1"),
        (r"^norm\.", "ln1."),
        (r"^blocks\.", "layers."),
        (r"^patch_embed\.proj", "patch_embed.projection"),
    )
    return add_prefix("backbone.", rename(trunk_of(state), names)) | {"head.layers.head.weight": torch.zeros(10, 48)}


def eva02(state: State) -> State:
    """EVA-02: q and v biases apart from their layers, a gate and a value layer, stored rotary tables."""
    names: Names = (
        (r"attn\.q_proj\.bias", "attn.q_bias"),
        (r"attn\.v_proj\.bias", "attn.v_bias"),
        (r"attn\.norm", "attn.inner_attn_ln"),
        (r"mlp\.norm", "mlp.ffn_ln"),
        (r"mlp\.fc1\.", "mlp.w12."),
        (r"mlp\.fc1_g", "mlp.w1"),
        (r"mlp\.fc1_x", "mlp.w2"),
        (r"mlp\.fc2", "mlp.w3"),
    )
    tables = {"rope.freqs_cos": torch.zeros(16, 16), "blocks.0.attn.rope.freqs_sin": torch.zeros(16, 16)}
    return rename(trunk_of(state), names) | tables | {"mask_token": torch.zeros(1, 1, 48)}


def eva02_apart(state: State) -> State:
    """A packed gate, written as two layers."""
    return eva02(split_rows(state, r"(.*mlp\.fc1)(\..*)", ("_g", "_x")))


def lightly_resnet(state: State) -> State:
    """``nn.Sequential`` of a ResNet's children, with the projection head beside it."""
    names: Names = (
        (r"^layer(\d)\.", r"L\1."),
        (r"^conv1", "0"),
        (r"^bn1", "1"),
        *((rf"^L{i}\.", f"{i + 3}.") for i in range(1, 5)),
    )
    head = {"projection_head.layers.0.weight": torch.zeros(8, 512)}
    return add_prefix("backbone.", rename(trunk_of(state), names)) | head


def lightly_vit(state: State) -> State:
    """lightly's wrapper around timm's ViT."""
    return add_prefix("backbone.vit.", trunk_of(state)) | {"backbone.mask_token": torch.zeros(1, 1, 48)}


Writer = Callable[[State], State]
