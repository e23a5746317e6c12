"""Every card with weights loads a file in the layout of its authors' code, for every use.

The files hold random numbers. Their names and shapes follow wangsr126/MAE-Lite (arXiv 2205.14443, 2404.12210) and
timm; the models are narrow, the structure is the cards' own.
"""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from backbones.cards.common import ARCHITECTURES_MODULE
from backbones.conformance.backbone_under_test import make_backbone_under_test
from backbones.conformance.protocol_use import check_card_weights
from backbones.create import create_backbone
from backbones.registry import BACKBONES, get_card
from tests.backbones.checkpoints.weights import add_prefix, block_state, mae_decoder_state, random_state, random_tensor

WIDTH = 48
NARROW = {
    "deit_tiny_patch16_224": {"embed_dim": WIDTH},
    "vit_cifar": {"embed_dim": WIDTH, "depth": 2},
    "hiera_lite": {"embed_dim": 24},
    "swin_lite": {"embed_dim": 24},
}
PLAIN = {"embed_dim": WIDTH, "depth": 3}

CARDS = [name for name in BACKBONES.list_names() if get_card(name).weights is not None]


def narrow(name):
    card = get_card(name)
    arguments = NARROW.get(card.architecture, PLAIN)
    return dataclasses.replace(card, arguments={**card.arguments, **arguments})


def authors_trunk(card, **arguments):
    """The trunk as the authors' class has it: the card's own structure, with 1000 classes if it was fine-tuned."""
    return random_state(create_backbone(card, checkpoint="random", num_classes=1000, **arguments).model)


def without_head(state):
    return {name: value for name, value in state.items() if not name.startswith(("head.", "fc_norm."))}


def mae(card):
    return {"model": add_prefix("module.model.", without_head(authors_trunk(card)) | mae_decoder_state(WIDTH, 197))}


def distilled(card):
    teacher = add_prefix("module.tch_model.", {"cls_token": random_tensor(1, 1, 96)} | block_state("blocks.0", 96))
    adapter = {"module.attn_adapter.adapter11.weight": random_tensor(12, 12, 1, 1)}
    return {"model": mae(card)["model"] | teacher | adapter}


def decoupled(card):
    tail = {name: value for name, value in block_state("blocks.3", WIDTH).items() if "norm1" in name or "qkv" in name}
    return {"model": distilled(card)["model"] | add_prefix("module.model.", tail)}


def query_and_value_bias(card):
    """BEiT's attention, whose keys have no bias."""
    state = {}
    for name, value in without_head(authors_trunk(card)).items():
        if name.endswith("qkv.bias"):
            query, _, value_bias = value.chunk(3)
            state[name.replace("qkv.bias", "q_bias")] = query
            state[name.replace("qkv.bias", "v_bias")] = value_bias
        else:
            new = name.replace(".ls1.gamma", ".gamma_1").replace(".ls2.gamma", ".gamma_2")
            state[new] = value
    return {"model": state | {"mask_token": random_tensor(1, 1, WIDTH)}}


def moco(card):
    encoder = without_head(authors_trunk(card))
    projector = {"head.0.weight": random_tensor(64, WIDTH), "head.1.running_mean": random_tensor(64)}
    both = add_prefix("module.base_encoder.", encoder | projector) | add_prefix("module.momentum_encoder.", encoder)
    return {"state_dict": both | {"module.predictor.0.weight": random_tensor(64, 16)}}


def finetuned(card):
    """A classifier on the norm of the mean: ``fc_norm`` and no ``norm``, under the experiment's prefix."""
    state = authors_trunk(card, global_pool="avg")
    assert "fc_norm.weight" in state and "norm.weight" not in state
    return {"model": add_prefix("module.model.", state)}


def hiera(card):
    state = {name: value for name, value in authors_trunk(card).items() if not name.startswith("head.")}
    top = 8 * 24
    rest = {"encoder_norm.weight": random_tensor(top), "encoder_norm.bias": random_tensor(top)}
    rest |= {"mask_token": random_tensor(1, 1, 24), "decoder_embed.weight": random_tensor(24, top)}
    return {"model": add_prefix("module.model.", state | rest | block_state("decoder_blocks.0", 24))}


def swin_names(state):
    """Microsoft's names: the patches are merged at the end of a stage."""
    renamed = {}
    for name, value in state.items():
        if ".downsample." in name:
            stage = int(name.split(".")[1])
            name = name.replace(f"layers.{stage}.", f"layers.{stage - 1}.")
        if not name.startswith("head."):
            renamed[name] = value
    return renamed


def simmim(card):
    state = swin_names(authors_trunk(card)) | {"mask_token": random_tensor(1, 1, 24)}
    decoder = {"module.model.decoder.0.weight": random_tensor(3072, 8 * 24, 1, 1)}
    return {"model": add_prefix("module.model.encoder.", state) | decoder}


def simmim_decoupled(card):
    """The decoder reads the second stage after its merging, 4 times the first width, and so does the final norm."""
    state = simmim(card)["model"]
    encoder = "module.model.encoder."
    tail = f"{encoder}layers.3.blocks.2."
    state[f"{encoder}norm.weight"], state[f"{encoder}norm.bias"] = random_tensor(4 * 24), random_tensor(4 * 24)
    state |= {f"{tail}norm1.weight": random_tensor(192), f"{tail}norm1.bias": random_tensor(192)}
    state |= {f"{tail}attn.qkv.weight": random_tensor(576, 192), f"{tail}attn.qkv.bias": random_tensor(576)}
    state |= {f"{tail}attn.relative_position_bias_table": random_tensor(169, 24)}
    return {"model": state | {"module.attn_adapter.adapter11.weight": random_tensor(24, 24, 1, 1)}}


def published_by_timm(card):
    return authors_trunk(card)


WRITERS = {
    "deit_tiny": published_by_timm,
    "mae_base": published_by_timm,
    "mae_vit_cifar": lambda card: without_head(authors_trunk(card)),
    "mae_tiny": mae,
    "mae_small": mae,
    "maskfeat_tiny": mae,
    "mae_distill_tiny": distilled,
    "mae_distill_small": distilled,
    "mae_d2_tiny": decoupled,
    "beit_tiny": query_and_value_bias,
    "bootmae_tiny": query_and_value_bias,
    "mocov3_tiny": moco,
    "deit_tiny_12h": finetuned,
    "mae_d2_tiny_ft_rpe": finetuned,
    "mae_hiera": hiera,
    "mae_distill_hiera": hiera,
    "simmim_swin": simmim,
    "simmim_d2_swin": simmim_decoupled,
}


def write_card_file(name, folder):
    """Write a file for a narrow version of a card; return that card, which finds it in ``folder``."""
    card = narrow(name)
    content = WRITERS[name](card)
    scheme, _, file = card.weights.uri.partition(":")
    if scheme == "hf-hub":
        file = f"{name}.safetensors"
        save_file(content, folder / file)
    else:
        torch.save(content, folder / file)
    return dataclasses.replace(card, weights=dataclasses.replace(card.weights, uri=f"file:{file}", sha256=None))


def test_there_is_a_writer_for_every_card():
    own = [name for name in CARDS if get_card(name).module == ARCHITECTURES_MODULE or name == "deit_tiny"]
    assert sorted(own) == sorted(WRITERS)


@pytest.fixture
def weights_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", WRITERS)
def test_a_card_loads_its_own_file(name, weights_dir):
    said = check_card_weights(make_backbone_under_test(write_card_file(name, weights_dir)))
    supervised = name in ("deit_tiny_12h", "mae_d2_tiny_ft_rpe")
    hierarchical = "hiera" in name or "swin" in name
    assert "fine-tuning (avg), frozen features (avg) and dense features" in said
    assert ("(token)" in said) == (not supervised and not hierarchical)
