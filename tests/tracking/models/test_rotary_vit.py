"""Plain ViTs with rotary positions and registers in the one-stream tracker, against timm's own forward pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from engine.optimizer import build_param_groups
from tests.tracking.make import MEAN, STD, make_images
from tracking.inference.backend import TorchNetwork
from tracking.models.candidate_elimination import CandidateElimination
from tracking.models.one_stream_vit import OneStreamViT, TemplateKV
from tracking.models.tracker_model import TrackerModel
from tracking.protocols import load_protocol_recipe

SMALL: dict[str, Any] = {
    "patch_size": 8, "embed_dim": 48, "depth": 4, "num_heads": 3, "num_classes": 0, "dynamic_img_size": True,
}  # fmt: skip
ROTARY: dict[str, Any] = SMALL | {"use_rot_pos_emb": True}
DINOV3 = ROTARY | {
    "qkv_bias": False, "init_values": 1e-1, "rope_type": "dinov3", "rope_temperature": 100, "rope_rotate_half": True,
    "use_abs_pos_emb": False, "num_reg_tokens": 4, "use_fc_norm": False,
}  # fmt: skip
KINDS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "EVA": (Eva, SMALL | {"init_values": 1e-1}),
    "EVA-02": (Eva, ROTARY | {"swiglu_mlp": True, "mlp_ratio": 8 / 3, "ref_feat_shape": (4, 4)}),
    "EVA-02 sub-norm": (
        Eva,
        ROTARY | {"swiglu_mlp": True, "scale_mlp": True, "scale_attn_inner": True, "qkv_fused": False, "qk_norm": True},
    ),
    "EVA-02 of one size": (Eva, ROTARY | {"dynamic_img_size": False, "ref_feat_shape": (4, 4)}),
    "post-norm": (Eva, ROTARY | {"use_post_norm": True}),
    "DINOv3": (Eva, DINOV3),
    "rope registers": (Eva, ROTARY | {"num_reg_tokens": 2, "attn_type": "rope", "no_embed_class": True}),
    "shared keys": (Eva, ROTARY | {"attn_type": "rope", "qkv_fused": False, "num_kv_heads": 1}),
    "mixed": (Eva, ROTARY | {"rope_type": "mixed", "use_abs_pos_emb": False}),
    "ViT registers": (VisionTransformer, SMALL | {"reg_tokens": 2, "no_embed_class": True, "global_pool": "avg"}),
}


def make_vit(kind: str, **changes: Any) -> Any:
    """A small ViT off its start, where norms are 1 and biases 0; the same weights whatever prefix tokens it has."""
    family, arguments = KINDS[kind]
    torch.manual_seed(0)
    vit = family(img_size=32, **arguments | changes)
    for name, parameter in sorted(vit.named_parameters()):
        torch.manual_seed(sum(name.encode()))
        parameter.data += 0.1 * torch.randn_like(parameter)
    return vit.eval()


def make_stream(kind: str, **settings: Any) -> OneStreamViT:
    return OneStreamViT(make_vit(kind), 32, 64, **settings).eval()


@pytest.mark.parametrize("kind", KINDS)
def test_one_crop_alone_is_timms_forward_pass_without_prefix_tokens(kind: str) -> None:
    """An empty template leaves the search region; timm's model has its size, no class token and no registers."""
    stream = make_stream(kind)
    search = make_images(64)
    empty = torch.zeros(len(search), 3, 0, 16)
    alone: dict[str, Any] = {"class_token": False, "global_pool": "avg", "img_size": 64}
    alone |= {"reg_tokens": 0} if isinstance(stream.vit, VisionTransformer) else {"num_reg_tokens": 0}
    family, arguments = KINDS[kind]
    timms: Any = family(**arguments | alone)
    state = {name: value for name, value in stream.vit.state_dict().items() if name in timms.state_dict()}
    if stream.search_positions is not None:
        state["pos_embed"] = stream.search_positions.detach()
    timms.load_state_dict(state)
    with torch.no_grad():
        expected = timms.eval().fc_norm(timms.forward_features(search))
        found = stream.forward_cached([TemplateKV(empty, empty, empty)] * 4, search)
    assert (found - expected).abs().max() < 1e-5
    if stream.rope is not None:
        assert stream.search_positions is None or "pos_embed" in state
        with torch.no_grad():
            for block in stream.vit.blocks:
                block.attn.rotate_half = not getattr(block.attn, "rotate_half", False)
            other = stream.forward_cached([TemplateKV(empty, empty, empty)] * 4, search)
        assert (other - expected).abs().max() > 1e-3, "without the rotation of timm the result is another"


def run_timms_blocks(stream: OneStreamViT, template: Tensor, search: Tensor, dropped: Tensor, after: int) -> Tensor:
    """Run both crops through timm's blocks in one sequence; some search tokens are masked out after a block."""
    vit = stream.vit
    x = torch.cat([stream._embed_patches(template, True), stream._embed_patches(search, False)], 1)
    count = stream.template_grid**2
    rope = None
    if vit.rope is not None:
        rope = torch.cat([vit.rope.get_embed([4, 4]), vit.rope.get_embed([8, 8])], -2)
    mask = torch.zeros(len(x), 1, 1, x.shape[1])
    for number, block in enumerate(vit.blocks):
        block.attn.num_prefix_tokens = 0
        mine = rope[number] if rope is not None and rope.ndim == 4 else rope
        x = block(x, rope=mine, attn_mask=mask)
        if number == after:
            mask = torch.zeros_like(mask)
            mask[:, 0, 0, count:][dropped] = -torch.inf
    return stream._final_norm(x)[:, count:]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("ViT registers", "EVA-02 of one size")])
def test_two_crops_turn_by_their_own_grids_and_kept_tokens_keep_their_turn(kind: str) -> None:
    """Against timm's blocks with the rotations of both grids side by side, where dropped tokens are masked."""
    template, search = make_images(32), make_images(64, seed=4)
    stream = make_stream(kind, ce_blocks=(1,))
    with torch.no_grad():
        whole = stream(template, search)
        nothing = torch.zeros(2, 64, dtype=torch.bool)
        assert (whole - run_timms_blocks(stream, template, search, nothing, 1)).abs().max() < 1e-5
        stream.keep_ratio = 0.6
        found = stream(template, search)
        dropped = (found == 0).all(-1)
        assert dropped.sum(1).tolist() == [25, 25] and not torch.equal(dropped[0], dropped[1])
        expected = run_timms_blocks(stream, template, search, dropped, 1)
    assert (found - expected)[~dropped].abs().max() < 1e-5


@pytest.mark.parametrize("kind", ["EVA-02", "DINOv3", "mixed", "shared keys", "ViT registers"])
@pytest.mark.parametrize("elimination", [None, CandidateElimination(blocks=[1], keep_ratio=0.7, begin=0, end=1)])
def test_a_remembered_template_is_exact(kind: str, elimination: CandidateElimination | None) -> None:
    vit = make_vit(kind)
    model = TrackerModel(vit, 32, 64, MEAN, STD, candidate_elimination=elimination, asymmetric_attention=True).eval()
    template, search = make_images(32), make_images(64, seed=4)
    with torch.no_grad():
        whole, cached = model(template, search), model.forward_cached(model.encode_template(template), search)
    assert max(float((a - b).abs().max()) for a, b in zip(whole, cached, strict=True)) < 1e-5


@pytest.mark.parametrize("own", [False, True], ids=["joint", "own"])
def test_several_targets_are_tracked_as_one_by_one(own: bool) -> None:
    ce = CandidateElimination(blocks=[1], keep_ratio=0.7, begin=0, end=1)
    model = TrackerModel(make_vit("DINOv3"), 32, 64, MEAN, STD, candidate_elimination=ce, asymmetric_attention=own)
    network = TorchNetwork(model)
    pixels = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), np.uint8)
    memory, crops = [network.encode_template(crop[:32, :32]) for crop in pixels], list(pixels)
    both = network.predict_maps(memory, crops)
    for number in range(2):
        (single,) = network.predict_maps(memory[number : number + 1], crops[number : number + 1])
        assert max(np.abs(a - b).max() for a, b in zip(both[number], single, strict=True)) < 1e-5


def test_the_state_of_a_tracker_has_no_computed_positions() -> None:
    """Old files stay readable, and a backbone with rotary positions alone has no others to train."""
    stream = make_stream("DINOv3")
    assert stream.template_positions is None and not [name for name in stream.state_dict() if "rotation" in name]
    assert [name for name in make_stream("EVA-02").state_dict() if not name.startswith("vit.")] == [
        "template_positions",
        "search_positions",
    ]


def test_learned_and_random_rotations_are_computed_anew() -> None:
    mixed = make_stream("mixed")
    mixed(make_images(32), make_images(64)).sum().backward()
    assert mixed.vit.rope.freqs.grad.abs().sum() > 0
    random = OneStreamViT(make_vit("DINOv3", rope_shift_coords=0.5), 32, 64)
    first, second = (random.train()(make_images(32), make_images(64)) for _ in range(2))
    assert (first - second).abs().max() > 1e-3
    first, second = (random.eval()(make_images(32), make_images(64)) for _ in range(2))
    assert torch.equal(first, second)


def test_learned_rotary_frequencies_get_no_weight_decay() -> None:
    """As timm excludes them."""
    model = TrackerModel(make_vit("mixed"), 32, 64, MEAN, STD)
    assert model.backbone.vit.no_weight_decay() >= {"rope.freqs"}
    groups = build_param_groups(model, load_protocol_recipe("fast64"))
    decay = {name: group["weight_decay"] for group in groups for name in group["names"]}
    assert decay["backbone.vit.rope.freqs"] == 0 < decay["backbone.vit.blocks.0.attn.qkv.weight"]
