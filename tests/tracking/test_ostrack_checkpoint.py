"""OSTrack-style checkpoints: genuine names in, the numbers of a forward pass written out here."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from backbones.checkpoints.read_checkpoint import read_weights
from backbones.checkpoints.reading.pickle_stubs import PICKLE_STUBS
from backbones.create import create_backbone
from foundation.errors import CheckpointError, UnknownNameError
from tests.tracking.make import make_tracker_model
from tests.tracking.ostrack_file import Importable
from tracking.data.crops import crop_window, make_crop_window, make_hann_window
from tracking.models.tracker_model import TrackerModel
from tracking.ostrack_checkpoint import OSTRACK_MEAN, OSTRACK_STD, load_ostrack_tracker, load_ostrack_weights

WIDTH, DEPTH, HEADS, PATCH = 32, 3, 2, 8  # of vit_pico
EPS = 1e-6


def made_up(template: int, search: int, channels: int = 256, depth: int = DEPTH) -> OrderedDict[str, Tensor]:
    """A state dict with every name that OSTrack's code gives a ViT tracker, in its order."""
    rng = torch.Generator().manual_seed(0)

    def noise(*shape: int, scale: float = 0.1, middle: float = 0.0) -> Tensor:
        return middle + scale * torch.randn(shape, generator=rng)

    state: OrderedDict[str, Tensor] = OrderedDict()
    state["backbone.cls_token"] = noise(1, 1, WIDTH)
    state["backbone.pos_embed"] = noise(1, 197, WIDTH)
    state["backbone.pos_embed_z"] = noise(1, (template // PATCH) ** 2, WIDTH)
    state["backbone.pos_embed_x"] = noise(1, (search // PATCH) ** 2, WIDTH)
    state["backbone.patch_embed.proj.weight"] = noise(WIDTH, 3, PATCH, PATCH)
    state["backbone.patch_embed.proj.bias"] = noise(WIDTH)
    for number in range(depth):
        for part, out, into in (
            ("norm1", WIDTH, 0), ("attn.qkv", 3 * WIDTH, WIDTH), ("attn.proj", WIDTH, WIDTH),
            ("norm2", WIDTH, 0), ("mlp.fc1", 4 * WIDTH, WIDTH), ("mlp.fc2", WIDTH, 4 * WIDTH),
        ):  # fmt: skip
            weight = noise(out, into) if into else noise(out, middle=1.0)
            state[f"backbone.blocks.{number}.{part}.weight"] = weight
            state[f"backbone.blocks.{number}.{part}.bias"] = noise(out)
    state["backbone.norm.weight"], state["backbone.norm.bias"] = noise(WIDTH, middle=1.0), noise(WIDTH)
    for tower, outputs in (("ctr", 1), ("offset", 2), ("size", 2)):
        into = WIDTH
        for layer in range(1, 5):
            out, name = channels // 2 ** (layer - 1), f"box_head.conv{layer}_{tower}"
            state[f"{name}.0.weight"], state[f"{name}.0.bias"] = noise(out, into, 3, 3), noise(out)
            state[f"{name}.1.weight"], state[f"{name}.1.bias"] = noise(out, middle=1.0), noise(out)
            state[f"{name}.1.running_mean"] = noise(out)
            state[f"{name}.1.running_var"] = 0.5 + torch.rand(out, generator=rng)
            state[f"{name}.1.num_batches_tracked"] = torch.tensor(7)
            into = out
        state[f"box_head.conv5_{tower}.weight"] = noise(outputs, into, 1, 1)
        state[f"box_head.conv5_{tower}.bias"] = noise(outputs)
    return state


def forward(state: dict[str, Tensor], template: Tensor, search: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Score, size and offset maps as OSTrack computes them, from the state dict alone, with explicit attention."""

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(x: Tensor, name: str) -> Tensor:
        deviation = x - x.mean(-1, keepdim=True)
        scaled = deviation / (deviation.square().mean(-1, keepdim=True) + EPS).sqrt()
        return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]

    def patches(image: Tensor, positions: str) -> Tensor:
        proj = "backbone.patch_embed.proj"
        tokens = functional.conv2d(image, state[f"{proj}.weight"], state[f"{proj}.bias"], stride=PATCH)
        return tokens.flatten(2).transpose(1, 2) + state[f"backbone.{positions}"]

    x = torch.cat([patches(template, "pos_embed_z"), patches(search, "pos_embed_x")], 1)
    for number in range(DEPTH):
        block = f"backbone.blocks.{number}"
        q, k, v = linear(norm(x, f"{block}.norm1"), f"{block}.attn.qkv").split(WIDTH, -1)
        d, heads = WIDTH // HEADS, []
        for head in range(HEADS):
            part = slice(head * d, (head + 1) * d)
            scores = q[..., part] @ k[..., part].transpose(1, 2) / d**0.5
            heads.append(scores.softmax(-1) @ v[..., part])
        x = x + linear(torch.cat(heads, -1), f"{block}.attn.proj")
        hidden = linear(norm(x, f"{block}.norm2"), f"{block}.mlp.fc1")
        x = x + linear(0.5 * hidden * (1 + torch.erf(hidden / 2**0.5)), f"{block}.mlp.fc2")
    grid = search.shape[-1] // PATCH
    chart = norm(x, "backbone.norm")[:, -(grid**2) :].transpose(1, 2).reshape(1, WIDTH, grid, grid)
    maps = {}
    for tower in ("ctr", "size", "offset"):
        y = chart
        for layer in range(1, 5):
            name = f"box_head.conv{layer}_{tower}"
            y = functional.conv2d(y, state[f"{name}.0.weight"], state[f"{name}.0.bias"], padding=1)
            scale = state[f"{name}.1.weight"] / (state[f"{name}.1.running_var"] + 1e-5).sqrt()
            shift = state[f"{name}.1.bias"] - state[f"{name}.1.running_mean"] * scale
            y = (y * scale[:, None, None] + shift[:, None, None]).clamp(min=0)
        name = f"box_head.conv5_{tower}"
        maps[tower] = functional.conv2d(y, state[f"{name}.weight"], state[f"{name}.bias"])
    squash = {tower: maps[tower].sigmoid().clamp(1e-4, 1 - 1e-4) for tower in ("ctr", "size")}
    return squash["ctr"][0, 0], squash["size"][0], maps["offset"][0]


def test_a_checkpoint_with_the_genuine_names_gives_the_reference_maps(tmp_path: Path) -> None:
    """From bytes of an image to maps: ImageNet's mean and std whatever the backbone's own, no candidate elimination."""
    state = made_up(128, 256)
    path = tmp_path / "OSTrack_ep0300.pth.tar"
    torch.save({"epoch": 300, "net_type": "OSTrack", "net": state, "optimizer": {}}, path)
    tracker, report = load_ostrack_tracker(path, "vit_pico", "ostrack256")
    assert (report.matched, report.missing, report.unexpected) == (len(state) - 2, [], [])
    assert [line.split()[0] for line in report.dropped] == ["backbone.cls_token", "backbone.pos_embed"]
    assert report.notes == ["head count cannot be decided from the file; the card's 2 is assumed"]
    frame = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    crops = [
        crop_window(frame, make_crop_window((60, 40, 30, 20), factor), side)
        for factor, side in ((2.0, 128), (4.0, 256))
    ]
    tracker.init(frame, (60, 40, 30, 20))
    (ours,) = tracker.network.predict_maps([tracker.encoded_template], [tracker.crop_search_region(frame)])
    mean, std = torch.tensor(OSTRACK_MEAN).double(), torch.tensor(OSTRACK_STD).double()
    template, search = (((torch.from_numpy(c) / 255.0 - mean) / std).permute(2, 0, 1)[None] for c in crops)
    doubles = {name: value.double() for name, value in state.items()}
    score, *others = (each.numpy() for each in forward(doubles, template, search))
    row, column = divmod(ours.cell, score.shape[1])
    assert ours.cell == (score * make_hann_window(score.shape[1])).argmax() and np.abs(ours.score - score).max() < 2e-4
    for found, expected in zip((ours.size, ours.offset), others, strict=True):
        assert np.abs(found - expected[:, row, column]).max() < 2e-4
    assert ours.score.std() > 1e-3, "a constant map would prove nothing"


def small(**settings: Any) -> Any:
    return make_tracker_model("vit_pico", 32, 64, **settings)


def test_wrappers_and_what_tracking_does_not_read() -> None:
    state = made_up(32, 64)
    wrapped = {f"module.{name}": value.half() for name, value in state.items() if "num_batches" not in name}
    del wrapped["module.backbone.cls_token"]
    wrapped["module.backbone.head.weight"] = torch.zeros(1000, WIDTH)
    model = small()
    report = load_ostrack_weights(model, wrapped, "x.pth")
    assert {line.split()[0] for line in report.dropped} == {"backbone.pos_embed", "backbone.head.weight"}
    assert torch.equal(model.head.size[3].weight, state["box_head.conv2_size.0.weight"].half().float())
    assert torch.equal(model.backbone.search_positions.data, state["backbone.pos_embed_x"].half().float())


def test_a_file_of_another_head_count_is_refused(tmp_path: Path) -> None:
    """As everywhere: all shapes fit, and the tracker would follow nothing. Here the file's own arguments tell."""
    path = tmp_path / "OSTrack.pth.tar"
    torch.save({"net": made_up(128, 256), "args": {"num_heads": 4}}, path)
    with pytest.raises(CheckpointError, match="has 4 attention heads by its own argument") as caught:
        load_ostrack_tracker(path, "vit_pico", "ostrack256")
    assert "--allow-partial" not in str(caught.value), "bench track has no such option"
    torch.save({"net": made_up(128, 256), "args": {"num_heads": 2}}, path)
    _, report = load_ostrack_tracker(path, "vit_pico", "ostrack256")
    assert "num_heads=2" in report.notes[0]


def tracker_state(backbone: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A ViT-Tiny's tensors as the trunk of an OSTrack file, with what our network of that backbone has besides."""
    model = make_tracker_model(backbone, 128, 256)
    head = {
        f"box_head.conv{number}_{tower}.{part}": value
        for tower, ours in (("ctr", "score"), ("offset", "offset"), ("size", "size"))
        for number in range(1, 6)
        for part, value in head_layer(model.head, ours, number)
    }
    positions = {"pos_embed_z": model.backbone.template_positions, "pos_embed_x": model.backbone.search_positions}
    return {f"backbone.{name}": value.detach() for name, value in {**weights, **positions}.items()} | head


def head_layer(head: Any, tower: str, number: int) -> list[tuple[str, Tensor]]:
    """The tensors of one of the five convolutions of a tower with its norm, under OSTrack's names."""
    layers = getattr(head, tower)
    if number == 5:
        return list(layers[12].state_dict().items())
    return [
        (f"{part}.{name}", value)
        for part in (0, 1)
        for name, value in layers[3 * (number - 1) + part].state_dict().items()
    ]


def test_three_heads_of_real_weights_are_confirmed_and_twelve_refused(deit_file: Path, tmp_path: Path) -> None:
    weights = read_weights(deit_file).tensors
    path = tmp_path / "OSTrack.pth.tar"
    torch.save({"net": tracker_state("deit_tiny", weights)}, path)
    _, report = load_ostrack_tracker(path, "deit_tiny", "ostrack256")
    assert "head count 3 agrees with the structure of the weights" in report.notes[0]
    for backbone in ("vit_tiny", "deit_tiny_12h"):
        with pytest.raises(CheckpointError, match="has 3 attention heads by the structure of its weights"):
            load_ostrack_tracker(path, backbone, "ostrack256")


def test_crops_follow_the_patches_of_the_backbone(tmp_path: Path) -> None:
    """As in a run: ``bench track`` has no setting for the sizes, so that a patch of 14 px would fit no protocol."""
    name = "timm/eva02_tiny_patch14_224"
    vit = create_backbone(name, checkpoint="random", num_classes=0).model
    model = TrackerModel(vit, 126, 252, OSTRACK_MEAN, OSTRACK_STD)
    positions = {"pos_embed_z": model.backbone.template_positions, "pos_embed_x": model.backbone.search_positions}
    state = {f"backbone.{part}": value.detach() for part, value in {**vit.state_dict(), **positions}.items()}
    for tower, ours in (("ctr", "score"), ("offset", "offset"), ("size", "size")):
        for number in range(1, 6):
            layer = head_layer(model.head, ours, number)
            state |= {f"box_head.conv{number}_{tower}.{part}": value for part, value in layer}
    torch.save({"net": state}, tmp_path / "OSTrack.pth.tar")
    tracker, report = load_ostrack_tracker(tmp_path / "OSTrack.pth.tar", name, "ostrack256")
    assert tracker.crop_sizes[:2] == (126, 252)
    assert "template_size=126 in place of 128" in report.notes[-1]
    with pytest.raises(CheckpointError, match="pos_embed_z is 1x81x192 and should be 1x196x192"):
        load_ostrack_tracker(tmp_path / "OSTrack.pth.tar", name, "ostrack384")
    torch.save({"state_dict": model.state_dict()}, tmp_path / "own.pth")
    with pytest.raises(CheckpointError, match="is a weights file of a bench run"):
        load_ostrack_tracker(tmp_path / "own.pth", name, "ostrack256")


@pytest.mark.parametrize("pool", ["token", "avg"])
@pytest.mark.parametrize("saved", ["norm", "fc_norm", "both"])
def test_the_final_norm_is_loaded_wherever_file_and_backbone_keep_it(pool: str, saved: str) -> None:
    """MAE-Lite's trackers have ``backbone.norm``; the supervised backbone they start from has ``fc_norm`` instead.

    Its tracker keeps OSTrack's default classifier as well, as wide as a ViT-Base.
    """
    state: dict[str, Tensor] = dict(made_up(32, 64))
    norm = {name: state.pop(f"backbone.norm.{name}") for name in ("weight", "bias")}
    if saved in ("norm", "both"):
        state |= {f"backbone.norm.{name}": value for name, value in norm.items()}
    if saved in ("fc_norm", "both"):
        state |= {f"backbone.fc_norm.{name}": value + (saved == "both") for name, value in norm.items()}
    state["backbone.head.weight"], state["backbone.head.bias"] = torch.zeros(1000, 768), torch.zeros(1000)
    vit = create_backbone("vit_pico", checkpoint="random", num_classes=0, global_pool=pool).model
    model = TrackerModel(vit, 32, 64, OSTRACK_MEAN, OSTRACK_STD).eval()
    report = load_ostrack_weights(model, state, "x.pth")
    final = vit.norm if pool == "token" else vit.fc_norm
    assert torch.equal(final.weight, norm["weight"]) and torch.equal(final.bias, norm["bias"])
    assert any("OSTrack applies the other one" in line for line in report.dropped) == (saved == "both")
    assert not any("fc_norm" in note for note in report.notes), "it is loaded, under whatever name"
    plain = small()
    load_ostrack_weights(plain, made_up(32, 64), "x.pth")
    with torch.no_grad():
        images = torch.ones(1, 3, 32, 32), torch.ones(1, 3, 64, 64)
        assert torch.equal(model.backbone(*images), plain.backbone(*images))


def test_a_misfit_is_refused_with_names_and_shapes_and_changes_nothing() -> None:
    model = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def refused(change: Any) -> str:
        state = dict(made_up(32, 64))
        change(state)
        with pytest.raises(CheckpointError) as caught:
            load_ostrack_weights(model, state, "x.pth")
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        return str(caught.value)

    text = refused(lambda state: state.pop("backbone.blocks.1.mlp.fc2.bias"))
    assert "1 missing: backbone.vit.blocks.1.mlp.fc2.bias 32" in text
    text = refused(lambda state: state.update({"backbone.template_segment_pos_embed": torch.zeros(1, 1, WIDTH)}))
    assert "1 unexpected: backbone.template_segment_pos_embed 1x1x32" in text
    text = refused(lambda state: state.update(made_up(32, 128)))
    assert "1 misshapen: backbone.pos_embed_x is 1x256x32 and should be 1x64x32" in text
    text = refused(lambda state: state.update(made_up(32, 64, depth=4)))
    assert "12 unexpected: backbone.blocks.3.norm1.weight 32" in text and "and 9 more" in text
    text = refused(lambda state: state["box_head.conv5_ctr.bias"].fill_(float("nan")))
    assert "NaN or infinity in box_head.conv5_ctr.bias" in text
    text = refused(lambda state: state.pop("backbone.pos_embed_z"))
    assert "is not an OSTrack-style tracker" in text
    text = refused(lambda state: state.update({"backbone.vit.norm.weight": torch.zeros(1)}))
    assert "--run" in text


def test_other_protocols_and_backbones_are_refused(tmp_path: Path) -> None:
    torch.save(made_up(128, 256), tmp_path / "a.pth")
    with pytest.raises(UnknownNameError, match="did you mean ostrack256"):
        load_ostrack_tracker(tmp_path / "a.pth", "vit_pico", "ostrack_256")
    with pytest.raises(CheckpointError, match=r"backbone.pos_embed_z is 1x256x32 and should be 1x576x32"):
        load_ostrack_tracker(tmp_path / "a.pth", "vit_pico", "ostrack384")
    tracker, _ = load_ostrack_tracker(tmp_path / "a.pth", "vit_pico", "ostrack256")
    assert tracker.crop_sizes == (128, 256, 2.0, 4.0, "ostrack")


def test_a_trainers_own_objects_are_read_as_inert_ones(tmp_path: Path) -> None:
    """As saved by the training code: its settings and averages beside the weights. Others' classes stay refused."""
    names = [stub[1] for stub in PICKLE_STUBS if isinstance(stub, tuple) and stub[1].startswith("lib.train")]
    made = {name: type(name.rpartition(".")[2], (), {"__module__": name.rpartition(".")[0]}) for name in names}
    settings = made["lib.train.admin.settings.Settings"]()
    settings.env = made["lib.train.admin.local.EnvironmentSettings"]()
    settings.env.workspace_dir = "/somewhere"
    average = made["lib.train.admin.stats.AverageMeter"]()
    average.history = [0.5]
    state = made_up(128, 256)
    with Importable(made):
        torch.save({"net": state, "settings": settings, "stats": OrderedDict(loss=average)}, tmp_path / "full.pth.tar")
    tracker, _ = load_ostrack_tracker(tmp_path / "full.pth.tar", "vit_pico", "ostrack256_ce")
    assert tracker.crop_sizes.search_size == 256
    assert read_weights(tmp_path / "full.pth.tar").format == "OSTrack (torch, under net)"
    other = type("Runner", (), {"__module__": "lib.train.run"})
    with Importable({"lib.train.run.Runner": other}):
        torch.save({"net": state, "runner": other()}, tmp_path / "code.pth.tar")
    with pytest.raises(CheckpointError, match=r"lib\.train\.run\.Runner"):
        load_ostrack_tracker(tmp_path / "code.pth.tar", "vit_pico", "ostrack256")
