"""Tables of relative positions: an independent rule for each kind, and every family at another size."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F  # noqa: N812
from timm.layers import resample_abs_pos_embed, resample_abs_pos_embed_nhwc, resize_rel_pos_bias_table_levit
from timm.models.nest import resize_pos_embed as resize_nest_embed
from torch import Tensor

from backbones.checkpoints.load_weights import FittedTensors, LoadReport, fit_tensors, load_tensors
from backbones.checkpoints.sizes.position_tables import resample_bias_grid, resample_rel_pos_table
from foundation.errors import CheckpointError
from tests.backbones.checkpoints.weights import make_vit, random_state

LEVIT = {"embed_dim": (32, 48, 64), "num_heads": (2, 3, 4), "depth": (1, 1, 1), "key_dim": 16}
# a small model of each family: its name, its arguments, one table that follows the size, and that table's kind
FAMILIES: dict[str, tuple[str, dict[str, Any], str]] = {
    "levit": ("levit_128s", LEVIT, "stages.0.blocks.0.attn.attention_biases"),
    "levit-down": ("levit_128s", LEVIT, "stages.1.downsample.attn_downsample.attention_biases"),
    "efficientformer-v2": ("efficientformerv2_s0", {}, "stages.3.downsample.attn.attention_biases"),
    "pit": ("pit_ti_224", {}, "pos_embed"),
    "maxvit": ("test_maxvit", {}, "stages.0.blocks.0.attn_block.attn.rel_pos.relative_position_bias_table"),
    "coatnet": ("test_coatnet", {}, "stages.3.blocks.0.attn.rel_pos.relative_position_bias_table"),
    "mvit": ("mvitv2_tiny", {}, "stages.1.blocks.0.attn.rel_pos_h"),
    "cait": ("cait_xxs24_224", {"depth": 1}, "pos_embed"),
    "tnt": ("tnt_s_patch16_224", {"depth": 1}, "patch_pos"),
    "crossvit": ("crossvit_tiny_240", {"depth": ((1, 1, 0),) * 2}, "pos_embed_1"),
    "visformer": ("visformer_tiny", {}, "pos_embed2"),
    "volo": ("volo_d1_224", {}, "pos_embed"),
}


def create(name: str, size: int | tuple[int, int] | None = None, **arguments: Any) -> torch.nn.Module:
    sized = {} if size is None else {"img_size": size}
    model: torch.nn.Module = timm.create_model(name, **arguments, **sized)
    return model


def load(model: torch.nn.Module, state: dict[str, Tensor]) -> LoadReport:
    return load_tensors(model, state, allow_partial=False, source="file")


def fit(
    state: dict[str, Tensor], name: str, size: int | tuple[int, int] | None = None, **arguments: Any
) -> FittedTensors:
    """The tensors as a model of a size needs them; it has no numbers of its own."""
    with torch.device("meta"):
        model = create(name, size, **arguments)
    return fit_tensors(model, state, source="file", arguments={})


def fill(model: torch.nn.Module) -> dict[str, Tensor]:
    """The model's state with random numbers in all that follows the size, so that a wrong order shows."""
    state = dict(model.state_dict())
    for name, value in state.items():
        if any(word in name for word in ("attention_biases", "pos_embed", "rel_pos", "patch_pos", "bias_table")):
            state[name] = torch.randn(value.shape, generator=torch.Generator().manual_seed(0))
    return state


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_loads_at_its_own_and_at_another_size(family: str) -> None:
    name, arguments, table = FAMILIES[family]
    state = fill(create(name, **arguments))
    side = timm.get_pretrained_cfg(name).input_size[1]  # type: ignore[union-attr]
    assert fit(state, name, **arguments).resized == []
    fitted = fit(state, name, 2 * side, **arguments)
    assert any(line.startswith(f"{table} ") for line in fitted.resized)
    trunk = [key for key in fitted.own if not key.startswith(("head", "aux_head"))]
    assert all(fitted.tensors[key].shape == fitted.own[key].shape for key in trunk)
    # a constant table stays constant, whatever the kind of interpolation
    new = fit({**state, table: torch.ones_like(state[table])}, name, 2 * side, **arguments).tensors[table]
    assert torch.allclose(new, torch.ones_like(new), atol=1e-5)


def mirror(biases: Tensor, side: tuple[int, int]) -> Tensor:
    """A flat relative-position table, (offsets, heads), of biases for absolute offsets."""
    rows, columns = range(1 - side[0], side[0]), range(1 - side[1], side[1])
    return torch.stack([biases[:, abs(y) * side[1] + abs(x)] for y in rows for x in columns])


@pytest.mark.parametrize(("old", "new"), [((7, 7), (14, 14)), ((14, 14), (4, 4)), ((7, 7), (7, 14)), ((3, 5), (9, 4))])
def test_a_grid_of_biases_is_a_quarter_of_a_symmetric_table(old: tuple[int, int], new: tuple[int, int]) -> None:
    biases = torch.randn(3, old[0] * old[1])
    resampled = resample_bias_grid(biases, old, new)
    assert torch.allclose(mirror(resampled, new), resample_rel_pos_table(mirror(biases, old), old, new), atol=1e-5)


def test_a_grid_of_biases_follows_distances() -> None:
    """On the double grid the same distance has twice the offset; the offset 0 keeps its bias."""
    side = torch.arange(7.0)
    biases = torch.exp(-((side[:, None] / 4) ** 2) - (side / 4) ** 2).reshape(1, 49)
    resampled = resample_bias_grid(biases, (7, 7), (14, 14)).reshape(14, 14)
    side = torch.arange(14.0) * 13 / 27
    expected = torch.exp(-((side[:, None] / 4) ** 2) - (side / 4) ** 2)
    assert torch.allclose(resampled[:12, :12], expected[:12, :12], atol=0.015)  # at the edge it must extrapolate
    assert resampled[0, 0] == pytest.approx(1, abs=1e-3)
    # timm reads the grid as an image, half a cell off: close to it, but not at the offset 0
    timms = resize_rel_pos_bias_table_levit(biases.T, (196, 1)).reshape(14, 14)
    assert torch.allclose(resampled, timms, atol=0.12)
    assert abs(timms[0, 0] - 1) > 10 * abs(resampled[0, 0] - 1)


def test_tables_of_one_side_equal_those_of_mvit() -> None:
    name, arguments, table = FAMILIES["mvit"]
    state = fill(create(name, **arguments))
    new = fit(state, name, 448, **arguments).tensors[table]
    expected = F.interpolate(state[table].T[None], size=len(new), mode="linear")[0].T
    assert torch.equal(new, expected)


@pytest.mark.parametrize(("family", "size"), [("volo", (448, 224)), ("pit", (448, 224)), ("pit", (224, 448))])
def test_embeddings_that_are_images_equal_timms(family: str, size: tuple[int, int]) -> None:
    name, arguments, table = FAMILIES[family]
    state = fill(create(name, **arguments))
    old, new = state[table], fit(state, name, size, **arguments).tensors[table]
    if family == "volo":
        assert torch.equal(new, resample_abs_pos_embed_nhwc(old, list(new.shape[1:3])))
    else:
        expected = resample_abs_pos_embed_nhwc(old.permute(0, 2, 3, 1), list(new.shape[2:])).permute(0, 3, 1, 2)
        assert torch.allclose(new, expected, atol=1e-6)


def test_another_width_is_another_model() -> None:
    name, arguments, _ = FAMILIES["volo"]
    state = fill(create(name, **arguments))
    fitted = fit(state, "volo_d3_224", (224, 448))
    assert fitted.tensors["pos_embed"] is state["pos_embed"]


@pytest.mark.parametrize(("name", "table"), [("patch_pos", "tnt"), ("pos_embed_0", "crossvit")])
def test_flat_embeddings_equal_timms(name: str, table: str) -> None:
    architecture, arguments, _ = FAMILIES[table]
    state, side = fill(create(architecture, **arguments)), 480 if table == "crossvit" else 448
    new = fit(state, architecture, (side, side // 2), **arguments).tensors[name]
    grid = [40, 20] if table == "crossvit" else [28, 14]
    expected = resample_abs_pos_embed(state[name], grid, num_prefix_tokens=1)
    assert torch.equal(new, expected)


def test_blocks_of_nest_equal_timms() -> None:
    state = fill(create("nest_tiny"))
    new = fit(state, "nest_tiny", 448).tensors["levels.0.pos_embed"]
    assert torch.allclose(new, resize_nest_embed(state["levels.0.pos_embed"], new), atol=1e-5)


@pytest.mark.parametrize("name", ["mixer_s32_224", "resmlp_12_224", "gmlp_ti16_224"])
def test_weights_per_token_say_that_only_one_size_is_possible(name: str) -> None:
    with torch.device("meta"):
        state = {key: torch.zeros(value.shape, device="cpu") for key, value in create(name).state_dict().items()}
    with pytest.raises(CheckpointError, match="fit no other input size"):
        load(create(name, 448), state)
    assert fit(state, name).resized == []


def test_bias_grids_that_could_be_square_are_the_models_and_it_is_said() -> None:
    """14x14 and 7x28 have as many offsets; weights made for 224 px say which it is."""
    name, arguments, table = FAMILIES["levit"]
    own = fill(create(name, (112, 448), **arguments))
    model = create(name, (112, 448), **arguments)
    report = load(model, own)
    assert torch.equal(model.state_dict()[table], own[table])
    assert any("read as a grid of 7x28 like the model's" in note for note in report.notes)
    square = fill(create(name, **arguments))
    load_tensors(model, square, allow_partial=False, source="file", card_size=(224, 224))
    expected = resample_bias_grid(square[table], (14, 14), (7, 28))
    assert torch.equal(model.state_dict()[table], expected)


def test_buffers_that_a_model_computes_do_not_count() -> None:
    state = random_state(make_vit())
    model = create("efficientformer_l1")
    own = dict(model.state_dict())
    index = next(name for name in own if name.endswith("attention_bias_idxs"))
    del own[index]
    assert load(create("efficientformer_l1"), own).is_complete
    state["blocks.0.attn.rope.freqs_cos"] = torch.ones(4)
    assert any("computed by the model" in line for line in load(make_vit(), state).dropped)
    batch = {k: v for k, v in create("resnet10t").state_dict().items() if not k.endswith("num_batches_tracked")}
    report = load(create("resnet10t"), batch)
    assert report.is_complete
    assert any("batch counters" in note for note in report.notes)


def test_heads_that_come_first_are_not_tested_as_if_they_did_not() -> None:
    """In MaxViT and CoAtNet each head has its q, k and v together, which the test of the structure cannot read."""
    for name in ("test_maxvit", "test_coatnet"):
        report = load(create(name), fill(create(name)))
        assert not any("structure" in note for note in report.notes)
