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


def vit(**arguments: Any) -> nn.Module:
    model: nn.Module = timm.create_model("vit_tiny_patch16_224", **{**SMALL, **arguments})
    return model


def beit(**arguments: Any) -> nn.Module:
    model: nn.Module = timm.create_model("beit_base_patch16_224", **{**SMALL, **arguments})
    return model


def hiera(**arguments: Any) -> nn.Module:
    settings = {"embed_dim": 24, "stages": (1, 1, 2, 1), "num_classes": 10, **arguments}
    model: nn.Module = timm.create_model("hiera_tiny_224", **settings)
    return model


def swin(**arguments: Any) -> nn.Module:
    settings = {"embed_dim": 24, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 4, 8), "num_classes": 10, **arguments}
    model: nn.Module = timm.create_model("swin_tiny_patch4_window7_224", **settings)
    return model


def filled(model: nn.Module, seed: int = 0) -> State:
    """The model's state with a random number everywhere, biases and norms too."""
    generator = torch.Generator().manual_seed(seed)
    return {k: torch.randn(v.shape, generator=generator) * 0.05 for k, v in model.state_dict().items()}


def r(*shape: int) -> Tensor:
    return torch.randn(*shape) * 0.05


def block(prefix: str, width: int) -> State:
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
    return {f"{prefix}.{name}": r(*shape) for name, shape in shapes.items()}


def mae_decoder(width: int, rows: int) -> State:
    return {
        "mask_token": r(1, 1, 24),
        "decoder_pos_embed": r(1, rows, 24),
        "decoder_embed.weight": r(24, width),
        "decoder_embed.bias": r(24),
        **block("decoder_blocks.0", 24),
        "decoder_norm.weight": r(24),
        "decoder_norm.bias": r(24),
        "decoder_pred.weight": r(768, 24),
        "decoder_pred.bias": r(768),
    }


def trunk(model: nn.Module) -> State:
    """The filled state without the classifier."""
    return {k: v for k, v in filled(model).items() if not k.startswith(("head.", "fc_norm."))}


def prefixed(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def mae_lite() -> dict[str, Any]:
    state = trunk(vit()) | mae_decoder(48, 17)
    return {
        "start_epoch": 400,
        "model": prefixed("module.model.", state),
        "optimizer": {"state": {}, "param_groups": []},
    }


def mae_lite_d2() -> dict[str, Any]:
    state = trunk(vit()) | mae_decoder(48, 17)
    state |= {k: v for k, v in block("blocks.3", 48).items() if "norm1" in k or "qkv" in k}
    teacher = {k: v for i in range(12) for k, v in block(f"blocks.{i}", 96).items()} | {"cls_token": r(1, 1, 96)}
    adapter = {
        "module.attn_adapter.adapter11.weight": r(12, 3, 1, 1),
        "module.hidden_adapter.adapter3.weight": r(96, 48),
    }
    return {"model": prefixed("module.model.", state) | prefixed("module.tch_model.", teacher) | adapter}


def mae() -> dict[str, Any]:
    args = argparse.Namespace(model="mae_vit_base_patch16", num_heads=3, batch_size=64, lr=None)
    return {"model": trunk(vit()) | mae_decoder(48, 17), "epoch": 1599, "args": args}


def deit() -> dict[str, Any]:
    return {"model": filled(vit())}


def moco() -> dict[str, Any]:
    def mlp(place: str, first: int) -> State:
        inside = {f"{place}.0.weight": r(64, first), f"{place}.1.running_mean": r(64), f"{place}.1.weight": r(64)}
        return inside | {f"{place}.1.num_batches_tracked": torch.tensor(3), f"{place}.3.weight": r(16, 64)}

    encoder = trunk(vit()) | mlp("head", 48)
    state = prefixed("module.base_encoder.", encoder) | prefixed("module.momentum_encoder.", encoder)
    return {"epoch": 300, "arch": "vit_tiny", "state_dict": state | prefixed("module.", mlp("predictor", 16))}


def beit_file() -> dict[str, Any]:
    state = trunk(beit())
    for i in range(3):
        state[f"blocks.{i}.attn.relative_position_index"] = torch.zeros(17, 17, dtype=torch.long)
    return {
        "model": state
        | {"norm.weight": r(48), "norm.bias": r(48), "mask_token": r(1, 1, 48), "lm_head.weight": r(8, 48)}
    }


def hiera_file() -> dict[str, Any]:
    state = {k: v for k, v in filled(hiera()).items() if not k.startswith("head.")}
    state |= {"encoder_norm.weight": r(192), "encoder_norm.bias": r(192), "mask_token": r(1, 1, 24)}
    state |= {"decoder_embed.weight": r(24, 192), "decoder_pos_embed": r(1, 49, 24), **block("decoder_blocks.0", 24)}
    state |= {"multi_scale_fusion_heads.0.weight": r(192, 24, 8, 8), "decoder_norm.weight": r(24)}
    return {"model_state": state}


def hiera_finetuned() -> dict[str, Any]:
    state = filled(hiera())
    return {
        "model_state": {
            k.replace("head.norm", "norm").replace("head.fc", "head.projection"): v for k, v in state.items()
        }
    }


def swin_state(**arguments: Any) -> State:
    """Microsoft's names: patch merging at the end of a stage, a plain head, buffers."""
    state = {}
    for name, value in filled(swin(**arguments)).items():
        new = re.sub(r"layers\.(\d+)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", name)
        state[new.replace("head.fc.", "head.")] = value
    for i in range(4):
        state[f"layers.{i}.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.long)
        state[f"layers.{i}.blocks.1.attn_mask"] = torch.zeros(4, 49, 49)
    return state


def simmim() -> dict[str, Any]:
    state = {k: v for k, v in swin_state().items() if not k.startswith("head.")} | {"mask_token": r(1, 1, 24)}
    return {"model": prefixed("encoder.", state) | {"decoder.0.weight": r(3072, 192, 1, 1), "decoder.0.bias": r(3072)}}


def simmim_d2() -> dict[str, Any]:
    """MAE-Lite's Swin distillation: one block more in the last stage, queries and keys only."""
    state = simmim()["model"]
    tail = "encoder.layers.3.blocks.2."
    state |= {tail + "norm1.weight": r(192), tail + "norm1.bias": r(192), tail + "attn.qkv.weight": r(576, 192)}
    state |= {tail + "attn.qkv.bias": r(576), tail + "attn.relative_position_bias_table": r(169, 8)}
    teacher = prefixed("module.tch_model.", {"encoder.patch_embed.proj.weight": r(96, 3, 4, 4)})
    return {
        "model": prefixed("module.model.", state) | teacher | {"module.attn_adapter.adapter11.weight": r(8, 8, 1, 1)}
    }


def run_checkpoint() -> dict[str, Any]:
    return {"state_dict": prefixed("backbone.", filled(vit())), "step": 40}


def _mmseg_name(name: str, plain: bool) -> str:
    name = name.replace("patch_embed.proj.", "patch_embed.projection.").replace("blocks.", "layers.")
    name = re.sub(r"norm([12])", r"ln\1", name).replace("mlp.fc1", "ffn.layers.0.0").replace("mlp.fc2", "ffn.layers.1")
    if plain:
        name = name.replace("attn.qkv.", "attn.attn.in_proj_").replace("attn.proj.", "attn.attn.out_proj.")
    return re.sub(r"^norm\.", "ln1.", name)


def mmseg_vit() -> dict[str, Any]:
    state = prefixed("backbone.", {_mmseg_name(k, True): v for k, v in trunk(vit()).items()})
    rest = {"decode_head.conv_seg.weight": r(10, 48, 1, 1), "neck.upsample_4x.0.weight": r(48, 48, 2, 2)}
    return {"meta": {"epoch": 1}, "state_dict": state | rest | {"auxiliary_head.conv_seg.weight": r(10, 48, 1, 1)}}


def mmseg_mae() -> dict[str, Any]:
    return {"state_dict": prefixed("backbone.", {_mmseg_name(k, False): v for k, v in trunk(beit()).items()})}


def ostrack() -> dict[str, Any]:
    state = trunk(vit()) | {"pos_embed_z": r(1, 64, 48), "pos_embed_x": r(1, 256, 48)}
    head = {"box_head.conv1_ctr.0.weight": r(16, 48, 3, 3), "box_head.conv1_ctr.1.num_batches_tracked": torch.tensor(1)}
    return {"epoch": 300, "net": prefixed("backbone.", state) | head, "net_type": "OSTrack"}


class Case(NamedTuple):
    """A format: what is written, the model it goes into, the family it is, and a tensor to rename."""

    content: Callable[[], dict[str, Any]]
    model: Callable[[], nn.Module]
    family: str
    renamed: str
    dropped: str = ""
    safetensors: bool = False


def norm_beit() -> nn.Module:
    return beit(global_pool="token")


FORMATS = {
    "mae-lite": Case(mae_lite, vit, "MAE-Lite", "module.model.blocks.1.attn.proj.weight", "decoder_blocks.0"),
    "mae-lite-d2": Case(mae_lite_d2, vit, "MAE-Lite", "module.model.blocks.2.norm1.bias", "blocks.3.attn.qkv.weight"),
    "mae": Case(mae, vit, "MAE", "blocks.0.mlp.fc1.bias", "mask_token"),
    "deit": Case(deit, vit, "DeiT", "blocks.0.attn.qkv.weight", "head.weight"),
    "moco": Case(moco, vit, "MoCo-v3", "module.base_encoder.blocks.0.norm2.weight", "momentum_encoder.cls_token"),
    "beit": Case(beit_file, norm_beit, "BEiT", "blocks.1.attn.q_bias", "lm_head.weight"),
    "hiera-mae": Case(hiera_file, hiera, "Hiera", "blocks.1.proj.weight", "multi_scale_fusion_heads.0"),
    "hiera": Case(hiera_finetuned, hiera, "Hiera", "norm.bias", "head.fc.weight"),
    "swin": Case(
        lambda: {"model": swin_state()}, swin, "Swin", "layers.0.downsample.norm.bias", "layers.0.blocks.1.attn_mask"
    ),
    "simmim": Case(
        simmim, swin, "SimMIM", "encoder.layers.1.blocks.0.attn.relative_position_bias_table", "decoder.0.bias"
    ),
    "simmim-d2": Case(
        simmim_d2, swin, "MAE-Lite SimMIM", "module.model.encoder.norm.bias", "layers.3.blocks.2.norm1.bias"
    ),
    "timm": Case(lambda: filled(vit()), vit, "timm", "cls_token", "head.bias"),
    "timm-train": Case(lambda: {"arch": "x", "state_dict": filled(vit())}, vit, "timm", "pos_embed", "head.bias"),
    "safetensors": Case(lambda: filled(vit()), vit, "timm", "norm.weight", "head.bias", True),
    "run": Case(run_checkpoint, vit, "bench run", "backbone.patch_embed.proj.bias", "head.bias"),
    "mmseg-vit": Case(
        mmseg_vit, vit, "mmsegmentation", "backbone.layers.1.ffn.layers.0.0.weight", "decode_head.conv_seg.weight"
    ),
    "mmseg-mae": Case(mmseg_mae, beit, "mmsegmentation", "backbone.layers.2.gamma_1"),
    "ostrack": Case(ostrack, vit, "OSTrack", "backbone.blocks.1.attn.qkv.bias", "pos_embed_x"),
}


def write(content: dict[str, Any], path: Path, *, safetensors: bool = False, rename: str = "") -> Path:
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
