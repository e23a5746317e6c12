"""Synthetic checkpoints with the key names and shapes that the papers' public code writes."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

State = dict[str, Tensor]
SMALL = {"img_size": 64, "embed_dim": 48, "depth": 3, "num_heads": 3, "num_classes": 10}


def make_vit(**arguments: Any) -> nn.Module:
    model: nn.Module = timm.create_model("vit_tiny_patch16_224", **{**SMALL, **arguments})
    return model


def make_beit(**arguments: Any) -> nn.Module:
    model: nn.Module = timm.create_model("beit_base_patch16_224", **{**SMALL, **arguments})
    return model


def make_hiera(**arguments: Any) -> nn.Module:
    settings = {"embed_dim": 24, "stages": (1, 1, 2, 1), "num_classes": 10, **arguments}
    model: nn.Module = timm.create_model("hiera_tiny_224", **settings)
    return model


def make_swin(**arguments: Any) -> nn.Module:
    settings = {"embed_dim": 24, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 4, 8), "num_classes": 10, **arguments}
    model: nn.Module = timm.create_model("swin_tiny_patch4_window7_224", **settings)
    return model


def random_state(model: nn.Module, seed: int = 0) -> State:
    """The model's state with a random number everywhere, biases and norms too."""
    generator = torch.Generator().manual_seed(seed)
    return {k: torch.randn(v.shape, generator=generator) * 0.05 for k, v in model.state_dict().items()}


def random_tensor(*shape: int) -> Tensor:
    return torch.randn(*shape) * 0.05


def block_state(prefix: str, width: int) -> State:
    """One transformer block as timm 0.4's and MAE's code names it."""
    shapes = {
        "norm1.weight": (width,),
        "norm1.bias": (width,),
        "attn.qkv.weight": (3 * width, width),
        "attn.qkv.bias": (3 * width,),
        "attn.proj.weight": (width, width),
        "attn.proj.bias": (width,),
        "norm2.weight": (width,),
        "norm2.bias": (width,),
        "mlp.fc1.weight": (4 * width, width),
        "mlp.fc1.bias": (4 * width,),
        "mlp.fc2.weight": (width, 4 * width),
        "mlp.fc2.bias": (width,),
    }
    return {f"{prefix}.{name}": random_tensor(*shape) for name, shape in shapes.items()}


def mae_decoder_state(width: int, rows: int) -> State:
    return {
        "mask_token": random_tensor(1, 1, 24),
        "decoder_pos_embed": random_tensor(1, rows, 24),
        "decoder_embed.weight": random_tensor(24, width),
        "decoder_embed.bias": random_tensor(24),
        **block_state("decoder_blocks.0", 24),
        "decoder_norm.weight": random_tensor(24),
        "decoder_norm.bias": random_tensor(24),
        "decoder_pred.weight": random_tensor(768, 24),
        "decoder_pred.bias": random_tensor(768),
    }


def backbone_state(model: nn.Module) -> State:
    """The filled state without the classifier."""
    return {k: v for k, v in random_state(model).items() if not k.startswith(("head.", "fc_norm."))}


def add_prefix(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def mae_lite_checkpoint() -> dict[str, Any]:
    state = backbone_state(make_vit()) | mae_decoder_state(48, 17)
    return {
        "start_epoch": 400,
        "model": add_prefix("module.model.", state),
        "optimizer": {"state": {}, "param_groups": []},
    }


def mae_lite_d2_checkpoint() -> dict[str, Any]:
    state = backbone_state(make_vit()) | mae_decoder_state(48, 17)
    state |= {k: v for k, v in block_state("blocks.3", 48).items() if "norm1" in k or "qkv" in k}
    teacher = {k: v for i in range(12) for k, v in block_state(f"blocks.{i}", 96).items()} | {
        "cls_token": random_tensor(1, 1, 96)
    }
    adapter = {
        "module.attn_adapter.adapter11.weight": random_tensor(12, 3, 1, 1),
        "module.hidden_adapter.adapter3.weight": random_tensor(96, 48),
    }
    return {"model": add_prefix("module.model.", state) | add_prefix("module.tch_model.", teacher) | adapter}


def mae_checkpoint() -> dict[str, Any]:
    args = argparse.Namespace(model="mae_vit_base_patch16", num_heads=3, batch_size=64, lr=None)
    return {"model": backbone_state(make_vit()) | mae_decoder_state(48, 17), "epoch": 1599, "args": args}


def deit_checkpoint() -> dict[str, Any]:
    return {"model": random_state(make_vit())}


def moco_checkpoint() -> dict[str, Any]:
    def mlp(place: str, first: int) -> State:
        inside = {
            f"{place}.0.weight": random_tensor(64, first),
            f"{place}.1.running_mean": random_tensor(64),
            f"{place}.1.weight": random_tensor(64),
        }
        return inside | {f"{place}.1.num_batches_tracked": torch.tensor(3), f"{place}.3.weight": random_tensor(16, 64)}

    encoder = backbone_state(make_vit()) | mlp("head", 48)
    state = add_prefix("module.base_encoder.", encoder) | add_prefix("module.momentum_encoder.", encoder)
    return {"epoch": 300, "arch": "vit_tiny", "state_dict": state | add_prefix("module.", mlp("predictor", 16))}


def beit_checkpoint() -> dict[str, Any]:
    state = backbone_state(make_beit())
    for i in range(3):
        state[f"blocks.{i}.attn.relative_position_index"] = torch.zeros(17, 17, dtype=torch.long)
    return {
        "model": state
        | {
            "norm.weight": random_tensor(48),
            "norm.bias": random_tensor(48),
            "mask_token": random_tensor(1, 1, 48),
            "lm_head.weight": random_tensor(8, 48),
        }
    }


def hiera_checkpoint() -> dict[str, Any]:
    state = {k: v for k, v in random_state(make_hiera()).items() if not k.startswith("head.")}
    state |= {
        "encoder_norm.weight": random_tensor(192),
        "encoder_norm.bias": random_tensor(192),
        "mask_token": random_tensor(1, 1, 24),
    }
    state |= {
        "decoder_embed.weight": random_tensor(24, 192),
        "decoder_pos_embed": random_tensor(1, 49, 24),
        **block_state("decoder_blocks.0", 24),
    }
    state |= {
        "multi_scale_fusion_heads.0.weight": random_tensor(192, 24, 8, 8),
        "decoder_norm.weight": random_tensor(24),
    }
    return {"model_state": state}


def hiera_finetuned_checkpoint() -> dict[str, Any]:
    state = random_state(make_hiera())
    return {
        "model_state": {
            k.replace("head.norm", "norm").replace("head.fc", "head.projection"): v for k, v in state.items()
        }
    }


def swin_state(**arguments: Any) -> State:
    """Microsoft's names: patch merging at the end of a stage, a plain head, buffers."""
    state = {}
    for name, value in random_state(make_swin(**arguments)).items():
        new = re.sub(r"layers\.(\d+)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", name)
        state[new.replace("head.fc.", "head.")] = value
    for i in range(4):
        state[f"layers.{i}.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.long)
        state[f"layers.{i}.blocks.1.attn_mask"] = torch.zeros(4, 49, 49)
    return state


def simmim_checkpoint() -> dict[str, Any]:
    state = {k: v for k, v in swin_state().items() if not k.startswith("head.")} | {
        "mask_token": random_tensor(1, 1, 24)
    }
    return {
        "model": add_prefix("encoder.", state)
        | {"decoder.0.weight": random_tensor(3072, 192, 1, 1), "decoder.0.bias": random_tensor(3072)}
    }


def simmim_d2_checkpoint() -> dict[str, Any]:
    """MAE-Lite's Swin distillation: one block more in the last stage, queries and keys only."""
    state = simmim_checkpoint()["model"]
    tail = "encoder.layers.3.blocks.2."
    state |= {
        tail + "norm1.weight": random_tensor(192),
        tail + "norm1.bias": random_tensor(192),
        tail + "attn.qkv.weight": random_tensor(576, 192),
    }
    state |= {
        tail + "attn.qkv.bias": random_tensor(576),
        tail + "attn.relative_position_bias_table": random_tensor(169, 8),
    }
    teacher = add_prefix("module.tch_model.", {"encoder.patch_embed.proj.weight": random_tensor(96, 3, 4, 4)})
    return {
        "model": add_prefix("module.model.", state)
        | teacher
        | {"module.attn_adapter.adapter11.weight": random_tensor(8, 8, 1, 1)}
    }


def run_checkpoint() -> dict[str, Any]:
    return {"state_dict": add_prefix("backbone.", random_state(make_vit())), "step": 40}


def _mmseg_name(name: str, plain: bool) -> str:
    name = name.replace("patch_embed.proj.", "patch_embed.projection.").replace("blocks.", "layers.")
    name = re.sub(r"norm([12])", r"ln\1", name).replace("mlp.fc1", "ffn.layers.0.0").replace("mlp.fc2", "ffn.layers.1")
    if plain:
        name = name.replace("attn.qkv.", "attn.attn.in_proj_").replace("attn.proj.", "attn.attn.out_proj.")
    return re.sub(r"^norm\.", "ln1.", name)


def mmseg_vit_checkpoint() -> dict[str, Any]:
    state = add_prefix("backbone.", {_mmseg_name(k, True): v for k, v in backbone_state(make_vit()).items()})
    rest = {
        "decode_head.conv_seg.weight": random_tensor(10, 48, 1, 1),
        "neck.upsample_4x.0.weight": random_tensor(48, 48, 2, 2),
    }
    return {
        "meta": {"epoch": 1},
        "state_dict": state | rest | {"auxiliary_head.conv_seg.weight": random_tensor(10, 48, 1, 1)},
    }


def mmseg_mae_checkpoint() -> dict[str, Any]:
    return {
        "state_dict": add_prefix(
            "backbone.", {_mmseg_name(k, False): v for k, v in backbone_state(make_beit()).items()}
        )
    }


def ostrack_checkpoint() -> dict[str, Any]:
    state = backbone_state(make_vit()) | {
        "pos_embed_z": random_tensor(1, 64, 48),
        "pos_embed_x": random_tensor(1, 256, 48),
    }
    head = {
        "box_head.conv1_ctr.0.weight": random_tensor(16, 48, 3, 3),
        "box_head.conv1_ctr.1.num_batches_tracked": torch.tensor(1),
    }
    return {"epoch": 300, "net": add_prefix("backbone.", state) | head, "net_type": "OSTrack"}


class FormatCase(NamedTuple):
    """A format: what is written, the model it goes into, the family it is, and a tensor to rename."""

    make_content: Callable[[], dict[str, Any]]
    make_model: Callable[[], nn.Module]
    family: str
    renamed: str
    dropped: str = ""
    safetensors: bool = False


def make_norm_beit() -> nn.Module:
    return make_beit(global_pool="token")


FORMATS = {
    "mae-lite": FormatCase(
        mae_lite_checkpoint, make_vit, "MAE-Lite", "module.model.blocks.1.attn.proj.weight", "decoder_blocks.0"
    ),
    "mae-lite-d2": FormatCase(
        mae_lite_d2_checkpoint, make_vit, "MAE-Lite", "module.model.blocks.2.norm1.bias", "blocks.3.attn.qkv.weight"
    ),
    "mae": FormatCase(mae_checkpoint, make_vit, "MAE", "blocks.0.mlp.fc1.bias", "mask_token"),
    "deit": FormatCase(deit_checkpoint, make_vit, "DeiT", "blocks.0.attn.qkv.weight", "head.weight"),
    "moco": FormatCase(
        moco_checkpoint, make_vit, "MoCo-v3", "module.base_encoder.blocks.0.norm2.weight", "momentum_encoder.cls_token"
    ),
    "beit": FormatCase(beit_checkpoint, make_norm_beit, "BEiT", "blocks.1.attn.q_bias", "lm_head.weight"),
    "hiera-mae": FormatCase(
        hiera_checkpoint, make_hiera, "Hiera", "blocks.1.proj.weight", "multi_scale_fusion_heads.0"
    ),
    "hiera": FormatCase(hiera_finetuned_checkpoint, make_hiera, "Hiera", "norm.bias", "head.fc.weight"),
    "swin": FormatCase(
        lambda: {"model": swin_state()},
        make_swin,
        "Swin",
        "layers.0.downsample.norm.bias",
        "layers.0.blocks.1.attn_mask",
    ),
    "simmim": FormatCase(
        simmim_checkpoint,
        make_swin,
        "SimMIM",
        "encoder.layers.1.blocks.0.attn.relative_position_bias_table",
        "decoder.0.bias",
    ),
    "simmim-d2": FormatCase(
        simmim_d2_checkpoint,
        make_swin,
        "MAE-Lite SimMIM",
        "module.model.encoder.norm.bias",
        "layers.3.blocks.2.norm1.bias",
    ),
    "timm": FormatCase(lambda: random_state(make_vit()), make_vit, "timm", "cls_token", "head.bias"),
    "timm-train": FormatCase(
        lambda: {"arch": "x", "state_dict": random_state(make_vit())}, make_vit, "timm", "pos_embed", "head.bias"
    ),
    "safetensors": FormatCase(lambda: random_state(make_vit()), make_vit, "timm", "norm.weight", "head.bias", True),
    "run": FormatCase(run_checkpoint, make_vit, "bench run", "backbone.patch_embed.proj.bias", "head.bias"),
    "mmseg-vit": FormatCase(
        mmseg_vit_checkpoint,
        make_vit,
        "mmsegmentation",
        "backbone.layers.1.ffn.layers.0.0.weight",
        "decode_head.conv_seg.weight",
    ),
    "mmseg-mae": FormatCase(mmseg_mae_checkpoint, make_beit, "mmsegmentation", "backbone.layers.2.gamma_1"),
    "ostrack": FormatCase(ostrack_checkpoint, make_vit, "OSTrack", "backbone.blocks.1.attn.qkv.bias", "pos_embed_x"),
}


def write_checkpoint(content: dict[str, Any], path: Path, *, safetensors: bool = False, rename: str = "") -> Path:
    """Write a checkpoint; ``rename`` names a tensor that gets another name."""
    for place in (content, *(inside for inside in content.values() if isinstance(inside, dict))):
        if rename and rename in place:
            place[f"{rename}_old"] = place.pop(rename)
            rename = ""
    assert not rename, f"nothing to rename: {rename}"
    if safetensors:
        save_file(content, path)
    else:
        torch.save(content, path)
    return path
