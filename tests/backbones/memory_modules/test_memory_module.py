"""A module that is handed over: what is taken from it, what counts of it, what a task makes of its copy."""

from __future__ import annotations

import copy
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import MethodType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

import backbones.architectures  # registers ours with timm
from backbones.create import CreatedBackbone, create_backbone
from backbones.memory_modules.memory_module import make_memory_card
from backbones.weights import RANDOM_INIT, InitialWeights, locate_weights
from foundation.errors import UserError
from tests.backbones.checkpoints.sizes.test_grids import make_waves
from tests.conftest import ROOT

HALF = (0.5, 0.5, 0.5)
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def make_vit(seed: int = 0, architecture: str = "vit_pico_patch8_32", **arguments: Any) -> Any:
    torch.manual_seed(seed)
    return timm.create_model(architecture, **arguments)


def describe(module: nn.Module, **values: Any) -> Any:
    return make_memory_card(module, **{"name": "mine", "mean": HALF, "std": HALF, "input_size": (3, 32, 32), **values})


def make_copy(module: nn.Module, **arguments: Any) -> Any:
    card, weights = describe(module)
    return create_backbone(card, checkpoint=weights, **arguments).model.eval()


def load_from_file(module: nn.Module, folder: Path, **arguments: Any) -> Any:
    """The registry's backbone with the module's weights from a file."""
    torch.save(module.state_dict(), folder / "weights.pth")
    return create_backbone("vit_pico", checkpoint=str(folder / "weights.pth"), **arguments).model.eval()


def run_both(first: Any, second: Any, images: Tensor = IMAGES) -> tuple[Tensor, Tensor]:
    with torch.inference_mode():
        found = [each.forward_head(each.forward_features(images), pre_logits=True) for each in (first, second)]
    return found[0], found[1]


# --- what is taken from where


def test_values_come_from_arguments_then_attributes_then_timm() -> None:
    module = make_vit(architecture="test_vit")
    card, weights = make_memory_card(module)
    assert (card.name, card.input_size, card.mean, card.std) == ("test_vit", (3, 160, 160), HALF, HALF)
    assert (card.architecture, card.weights, card.prefix_tokens) == ("memory", None, 1)
    assert (weights.init, weights.file, weights.uri, weights.module) == ("memory", None, "memory:test_vit", module)
    module.name, module.mean = "own", torch.tensor([0.1, 0.2, 0.3])
    module.input_size = (3, 96, 64)
    card, weights = make_memory_card(module)
    assert (card.name, card.input_size, weights.uri) == ("own", (3, 96, 64), "memory:own")
    assert card.mean == pytest.approx((0.1, 0.2, 0.3)) and card.std == HALF
    card, _ = make_memory_card(module, name="given", mean=[0.4] * 3, std=[1, 1, 1], input_size=[3, 32, 32])
    assert (card.name, card.mean, card.std, card.input_size) == ("given", (0.4,) * 3, (1.0,) * 3, (3, 32, 32))


def test_the_size_is_the_one_it_was_made_for() -> None:
    """timm's ``pretrained_cfg`` keeps the architecture's own."""
    module = timm.create_model("test_vit", img_size=96)
    assert module.pretrained_cfg["input_size"] == (3, 160, 160)
    assert make_memory_card(module)[0].input_size == (3, 96, 96)


def test_everything_that_is_missing_is_named_in_one_sentence() -> None:
    with pytest.raises(UserError, match=r"^this Linear does not say its name, mean, std, input_size; give the module "):
        make_memory_card(nn.Linear(3, 2))
    module = make_vit()
    module.pretrained_cfg = {"architecture": "custom", "input_size": (3, 32, 32)}
    with pytest.raises(UserError, match=r"^this VisionTransformer does not say its mean; give the module attributes"):
        make_memory_card(module, std=HALF)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"name": "../up"}, "'../up' is not a name for a backbone"),
        ({"mean": (0.5,)}, "mean of the module mine is not 3 numbers"),
        ({"mean": "grey"}, "mean of the module mine is not 3 numbers"),
        ({"std": (0.5, 0.5, float("nan"))}, "std of the module mine is not 3 numbers"),
        ({"std": (0.5, 0.5, 0.0)}, "a number that is not above 0"),
        ({"input_size": (32, 32)}, "input_size of the module mine is not 3 numbers"),
        ({"input_size": (3, 32, 0.5)}, "is not channels, height and width"),
    ],
)
def test_values_that_cannot_be_are_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        describe(make_vit(), **values)


# --- what counts of it


def test_the_hash_is_of_all_parameters_and_buffers() -> None:
    module = make_vit()
    weights = describe(module)[1]
    assert weights == describe(make_vit())[1]._replace(module=module), "made twice alike it is the same"
    assert weights.num_bytes == sum(value.numel() * 4 for value in module.state_dict().values())
    found = {weights.sha256, describe(make_vit(seed=1))[1].sha256}
    with torch.no_grad():
        module.blocks[0].norm1.bias[0] += 1e-6
    found.add(describe(module)[1].sha256)
    module.register_buffer("offset", torch.zeros(1))
    found.add(describe(module)[1].sha256)
    module.offset += 1
    found.add(describe(module)[1].sha256)
    module.register_buffer("offset", torch.full((1,), 2.0), persistent=False)
    found.add(describe(module)[1].sha256)
    found.add(describe(make_vit().to(torch.bfloat16))[1].sha256)
    assert len(found) == 7


class Doubled(timm.models.VisionTransformer):
    """Another class than timm's, with timm's own forward."""


def swap_forward(module: Any) -> None:
    def forward(self: Any, images: Tensor) -> Tensor:
        return 2 * type(self).forward(self, images)

    module.forward = MethodType(forward, module)  # a copy has the method of the copy


def make_subclass(factor: float) -> type[nn.Module]:
    class Scaled(timm.models.VisionTransformer):
        def forward_features(self, x: Tensor) -> Tensor:
            return factor * super().forward_features(x)

    return Scaled


def test_what_computes_something_else_has_another_card() -> None:
    def as_class(kind: type[nn.Module]) -> Any:
        def change(module: Any) -> None:
            module.__class__ = kind

        return change

    def add_hook(module: Any) -> None:
        module.register_forward_hook(lambda _, inputs, output: output + 1)

    changes = {
        "nothing": lambda module: None,
        "a subclass": as_class(Doubled),
        "a subclass with another forward": as_class(make_subclass(2.0)),
        "the same source with another number": as_class(make_subclass(3.0)),
        "a forward on the instance": swap_forward,
        "a hook": add_hook,
        "an activation": lambda module: setattr(module.blocks[0].mlp, "act", nn.ReLU()),
        "a plain number": lambda module: setattr(module.blocks[0].attn, "scale", 0.5),
        "a frozen part": lambda module: module.pos_embed.requires_grad_(False),
    }
    found = {}
    for what, change in changes.items():
        module = make_vit()
        change(module)
        card = describe(module)[0]
        assert card == describe(module)[0]
        found[what] = str(card.identity_dict())
    assert len(set(found.values())) == len(changes), found
    assert found["nothing"] == str(describe(make_vit())[0].identity_dict())


def test_frozen_as_a_whole_or_evaluated_it_is_the_same() -> None:
    module = make_vit()
    card = describe(module)[0]
    module.eval().requires_grad_(False)
    assert describe(module)[0] == card


def test_code_that_was_typed_in_counts_too(tmp_path: Path) -> None:
    """``python -c`` has no source to read; a forward that was typed anew is another one all the same."""
    script = tmp_path / "typed.txt"
    script.write_text(
        "import sys, torch\nfrom torch import nn\nfrom backbones.memory_modules.module_hash import hash_code\n"
        "class Net(nn.Module):\n    def forward(self, x):\n        return x * FACTOR\n"
        "sys.stdout.write(hash_code(Net()))\n"
    )
    digests = []
    for factor in ("2", "2", "3"):
        words = [sys.executable, "-c", script.read_text().replace("FACTOR", factor)]
        digests.append(subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert digests[0] == digests[1] != digests[2]


# --- what a task makes of it


@pytest.mark.parametrize("pool", ["avg", "token"])
@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("dynamic", [False, True])
def test_a_copy_is_what_the_weights_from_a_file_make(pool: str, side: int, dynamic: bool, tmp_path: Path) -> None:
    module = make_vit(num_classes=5, dynamic_img_size=dynamic).eval()
    nn.init.normal_(module.norm.weight)
    arguments = {"num_classes": 0, "global_pool": pool, "img_size": side}
    images = torch.nn.functional.interpolate(IMAGES, side)
    ours, theirs = make_copy(module, **arguments), load_from_file(module, tmp_path, **arguments)
    assert torch.equal(*run_both(ours, theirs, images))
    smaller = images[:, :, : side - 8, :]
    assert torch.equal(*run_both(ours, theirs, smaller)), "and at another size at run time"


def test_a_module_made_for_mean_pooling(tmp_path: Path) -> None:
    module = make_vit(num_classes=5, global_pool="avg")
    nn.init.normal_(module.fc_norm.weight)  # the module's own, which is kept, as the loader keeps that of a file
    arguments = {"num_classes": 0, "global_pool": "avg"}
    ours = make_copy(module, **arguments)
    assert torch.equal(ours.fc_norm.weight, module.fc_norm.weight)
    assert torch.equal(*run_both(ours, load_from_file(module, tmp_path, **arguments)))
    with pytest.raises(UserError, match=r"mine cannot be pooled by token: its weights norm the mean .* set pool=avg"):
        make_copy(module, num_classes=0, global_pool="token")


@pytest.mark.parametrize("made_for", [(32, 32), (16, 64)])
def test_positions_of_as_many_patches_in_another_grid(made_for: tuple[int, int], tmp_path: Path) -> None:
    """4x4 and 2x8 patches: the module knows its own grid, and the structure of the embedding shows it in a file."""
    module = make_vit(img_size=made_for, num_classes=5).eval()
    waves = make_waves(made_for[0] // 8, made_for[1] // 8, module.embed_dim)
    module.pos_embed.data[0, 1:] = waves.to(module.pos_embed)
    arguments = {"num_classes": 0, "img_size": (16, 64)}
    card, weights = describe(module, input_size=(3, *made_for))
    ours = create_backbone(card, checkpoint=weights, **arguments).model.eval()
    theirs = load_from_file(module, tmp_path, **arguments)
    images = torch.randn(2, 3, 16, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(*run_both(ours, theirs, images))


@pytest.mark.parametrize("name", ["swin_lite", "timm/resnet10t"])
def test_other_architectures_at_another_size(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module: Any = create_backbone(name, checkpoint="random", img_size=224).model.eval()
    torch.save(module.state_dict(), tmp_path / "weights.pth")
    arguments = {"num_classes": 0, "img_size": 128, "drop_path_rate": 0.0}
    theirs = create_backbone(name, checkpoint=str(tmp_path / "weights.pth"), **arguments).model.eval()
    card, weights = describe(module, input_size=(3, 224, 224))
    ours = create_backbone(card, checkpoint=weights, **arguments).model.eval()
    images = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    assert torch.equal(*run_both(ours, theirs, images))


def test_relative_positions_follow_the_size() -> None:
    torch.manual_seed(0)
    module: Any = create_backbone("vit_tiny_rpe", img_size=64).model.eval()
    for block in module.blocks:
        nn.init.normal_(block.attn.relative_position_bias_table)
    expected = copy.deepcopy(module)
    expected.set_input_size(img_size=(128, 128))
    card, weights = describe(module, input_size=(3, 64, 64))
    ours = create_backbone(card, checkpoint=weights, num_classes=0, img_size=128).model.eval()
    images = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    assert torch.equal(*run_both(ours, expected, images))


def test_the_module_itself_is_never_changed() -> None:
    module = make_vit(num_classes=5)
    module.eval()
    module.blocks[0].train()
    state, modes = copy.deepcopy(module.state_dict()), [part.training for part in module.modules()]
    made = make_copy(module, num_classes=7, img_size=64, drop_path_rate=0.2, global_pool="avg").train()
    made(torch.randn(2, 3, 64, 64)).sum().backward()
    torch.optim.SGD(made.parameters(), lr=1.0).step()
    assert module.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert [part.training for part in module.modules()] == modes
    assert all(parameter.grad is None for parameter in module.parameters())
    assert module.num_classes == 5 and tuple(module.patch_embed.img_size) == (32, 32)


def test_a_classifier_starts_as_timms_constructor_starts_it() -> None:
    torch.manual_seed(0)
    model = make_copy(make_vit(num_classes=5), num_classes=200)
    assert model.head.weight.shape == (200, 32) and not model.head.bias.any()
    assert float(model.head.weight.detach().std()) == pytest.approx(0.02, rel=0.05)


def test_stochastic_depth_is_timms() -> None:
    module = make_vit(drop_path_rate=0.3)
    expected = make_vit(drop_path_rate=0.1)

    def read_rates(model: Any) -> list[float]:
        parts = [part for block in model.blocks for part in (block.drop_path1, block.drop_path2)]
        return [getattr(part, "drop_prob", 0.0) for part in parts]

    assert read_rates(make_copy(module, drop_path_rate=0.1)) == pytest.approx(read_rates(expected))
    assert read_rates(make_copy(module, drop_path_rate=0.0)) == [0.0] * 6
    assert read_rates(make_copy(module)) == read_rates(module), "a task that says nothing leaves it"
    convolutional = timm.create_model("resnet10t", drop_path_rate=0.2)
    with pytest.raises(UserError, match=r"is a ResNet, in which bench cannot set .* with --set drop_path=0"):
        make_copy(convolutional, drop_path_rate=0.1)
    made = make_copy(convolutional, drop_path_rate=0.0)
    assert not any(getattr(part, "drop_prob", 0) for part in made.modules())


class Plain(nn.Module):
    """Takes 32 x 32 px only, and no classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 32 * 32, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.flatten(1))


@pytest.mark.parametrize(
    ("module", "arguments", "sentence"),
    [
        (Plain(), {"img_size": 64}, r"mine is made for 32 x 32 px and does not take 64 x 64 .* set img_size=32"),
        (Plain(), {"num_classes": 3}, r"mine has no reset_classifier\(num_classes, global_pool\)"),
        (make_vit(), {"q_pool": 2, "depth": 3}, "comes from memory and cannot be given depth, q_pool"),
        (make_vit(), {"img_size": 36}, "multiples of 8 px, not 36 x 36"),
        (make_vit(), {"num_classes": 3, "global_pool": "map"}, "cannot be given 3 classes behind map pooling"),
    ],
)
def test_what_cannot_be_made_is_refused(module: nn.Module, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        make_copy(module, **arguments)


def test_a_copy_is_trained_in_fp32_on_the_cpu() -> None:
    module = make_vit().to(torch.bfloat16).eval().requires_grad_(False)
    made = create_backbone(describe(module)[0], checkpoint=describe(module)[1], num_classes=0).model
    assert {parameter.dtype for parameter in made.parameters()} == {torch.float32}
    assert made.training and all(parameter.requires_grad for parameter in made.parameters())
    module.requires_grad_(True)
    module.pos_embed.requires_grad_(False)  # by design, as fixed sines and cosines are
    card, weights = describe(module)
    made = create_backbone(card, checkpoint=weights, num_classes=0, img_size=64).model
    assert not made.pos_embed.requires_grad and made.cls_token.requires_grad


def test_a_module_that_was_trained_on_in_the_meantime_is_refused() -> None:
    module = make_vit()
    card, weights = describe(module)
    with torch.no_grad():
        module.cls_token += 1
    with pytest.raises(UserError, match="were changed after it was handed over"):
        create_backbone(card, checkpoint=weights)


def test_a_card_and_weights_that_do_not_belong_together() -> None:
    card, weights = describe(make_vit())
    for other in (RANDOM_INIT, InitialWeights("random", None, None), None):
        with pytest.raises(UserError, match="do not belong together"):
            create_backbone(card, checkpoint=other)
    with pytest.raises(UserError, match="do not belong together"):
        create_backbone("vit_pico", checkpoint=weights)
    assert locate_weights(card, weights) is weights
    assert isinstance(create_backbone(card, checkpoint=weights), CreatedBackbone)


def test_a_module_that_cannot_be_copied_is_a_sentence() -> None:
    module = make_vit()
    module.last = module.pos_embed * 2  # part of a graph
    with pytest.raises(UserError, match="the module mine cannot be copied"):
        make_copy(module)


assert backbones.architectures  # imported for what it registers


# --- what cannot be copied, and wrappers


def test_a_compiled_or_parallel_module_is_taken_out_of_its_wrapper() -> None:
    module = make_vit()
    plain = describe(module)
    assert describe(torch.compile(module)) == plain
    assert describe(nn.DataParallel(module)) == plain


def test_a_function_that_holds_on_to_the_module_is_refused() -> None:
    module = make_vit()
    own = module.forward_features
    module.forward_features = lambda images: own(images)
    with pytest.raises(UserError, match="forward_features of this VisionTransformer is a function that holds on"):
        describe(module)


def test_numbers_for_bytes_are_refused() -> None:
    with pytest.raises(UserError, match="are not those of pixels in 0 to 1; divide"):
        describe(make_vit(), mean=(127.5,) * 3, std=(127.5,) * 3)


def test_a_module_without_values_is_refused() -> None:
    with torch.device("meta"):
        module = make_vit()
    with pytest.raises(UserError, match="has no values"):
        describe(module)


FACTOR = 1.0


def scale_features(features: Tensor) -> Tensor:
    return features * FACTOR


class Configured(timm.models.VisionTransformer):
    """Reads its settings from an object, and calls a function of its file that reads a constant."""

    config: Any = None

    def forward_features(self, x: Tensor, **arguments: Any) -> Tensor:
        return scale_features(super().forward_features(x, **arguments))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (SimpleNamespace(detach=False), SimpleNamespace(detach=True)),
        ({"scale": np.float32(1)}, {"scale": np.float32(2)}),
        (np.array([1.0]), np.array([2.0])),
        (partial(scale_features, 1), partial(scale_features, 2)),
        ([SimpleNamespace(inner=SimpleNamespace(a=1))], [SimpleNamespace(inner=SimpleNamespace(a=2))]),
    ],
    ids=["namespace", "numpy number", "array", "partial", "nested"],
)
def test_what_an_object_among_the_attributes_holds_counts(first: Any, second: Any) -> None:
    cards = []
    for config in (first, second, copy.deepcopy(first)):
        module = make_vit()
        module.__class__ = Configured
        module.config = config
        cards.append(describe(module)[0])
    assert cards[0] != cards[1] and cards[0] == cards[2]


def test_constants_and_functions_that_the_code_names_count(monkeypatch: pytest.MonkeyPatch) -> None:
    module = make_vit()
    module.__class__ = Configured
    before = describe(module)[0].arguments
    monkeypatch.setitem(globals(), "FACTOR", 1.0 + 1e-9)  # too small for the probe
    other_constant = describe(module)[0].arguments
    assert other_constant["code_sha256"] != before["code_sha256"]
    assert other_constant["behavior_sha256"] == before["behavior_sha256"]
    monkeypatch.undo()
    monkeypatch.setitem(globals(), "scale_features", lambda features: features + 0.0)
    assert describe(module)[0].arguments["code_sha256"] != before["code_sha256"]
