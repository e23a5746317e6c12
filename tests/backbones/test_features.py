import pytest
import timm
import torch

from backbones.card import BackboneCard
from backbones.create import create_backbone
from backbones.features import (
    default_out_indices,
    extract_pooled,
    extract_pyramid,
    extract_tokens,
    get_size_divisor,
    require_input_size,
)
from foundation.errors import UserError


def make(name, **arguments):
    return create_backbone(name, checkpoint="random", **arguments).model.eval()


def images(height, width, number=2):
    return torch.randn(number, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def nano():
    return make("vit_nano")


@pytest.fixture(scope="module")
def test_vit():
    return make("timm/test_vit")


@torch.no_grad()
def test_dynamic_model_equals_timms_own_at_its_size_and_another(test_vit):
    own = timm.create_model("test_vit", img_size=160).eval()
    own.load_state_dict(test_vit.state_dict())
    x = images(160, 160)
    torch.testing.assert_close(test_vit(x), own(x), atol=1e-6, rtol=0)
    own.set_input_size((96, 128))  # timm's other way: resample once, in place
    x = images(96, 128)
    torch.testing.assert_close(test_vit(x), own(x), atol=1e-5, rtol=0)


@torch.no_grad()
def test_pyramid_of_a_plain_vit_is_timms(nano):
    x = images(48, 32)
    ours = extract_pyramid(nano, x, [0, 3])
    theirs = nano.forward_intermediates(x, indices=[0, 3], output_fmt="NCHW", intermediates_only=True)
    assert [tuple(m.shape) for m in ours] == [(2, 64, 6, 4)] * 2
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)


@torch.no_grad()
@pytest.mark.parametrize("name", ["timm/swin_tiny_patch4_window7_224", "timm/resnet10t", "timm/hiera_tiny_224"])
def test_pyramid_of_a_hierarchy_has_its_strides(name):
    model = make(name, img_size=64)
    maps = extract_pyramid(model, images(64, 64, 1))
    assert [tuple(m.shape[-2:]) for m in maps] == [(16, 16), (8, 8), (4, 4), (2, 2)]
    last = extract_tokens(model, images(64, 64, 1))
    assert last.prefix.shape[1] == 0
    assert last.grid_size == (2, 2)
    assert torch.equal(last.patches.transpose(1, 2).reshape(maps[-1].shape), maps[-1])


def test_default_out_indices(nano):
    assert default_out_indices(nano) == [0, 1, 2, 3]
    assert default_out_indices(make("vit_pico")) == [0, 1, 2]
    assert default_out_indices(make("timm/vit_tiny_patch16_224", img_size=32)) == [3, 5, 7, 11]
    assert default_out_indices(make("timm/resnet10t")) == [1, 2, 3, 4]


@pytest.mark.parametrize("out_indices", [[], [4], [-1], [2, 1], [1, 1]])
def test_out_indices_that_are_not_there_are_refused(nano, out_indices):
    with pytest.raises(UserError, match="ascending numbers from 0 to 3"):
        extract_pyramid(nano, images(32, 32), out_indices)


@torch.no_grad()
def test_tokens_are_forward_features_split(test_vit):
    x = images(96, 128)
    whole = test_vit.forward_features(x)
    last = extract_tokens(test_vit, x)
    assert last.grid_size == (6, 8)
    assert torch.equal(torch.cat([last.prefix, last.patches], 1), whole)


@torch.no_grad()
@pytest.mark.parametrize(("pool", "timms"), [("avg", "avg"), ("token", "token")])
def test_pooled_is_what_timms_classifier_sees(pool, timms):
    model = make("vit_nano", global_pool=timms)
    x = images(32, 32)
    theirs = model.forward_head(model.forward_features(x), pre_logits=True)
    torch.testing.assert_close(extract_pooled(model, x, pool), theirs, atol=1e-6, rtol=0)


@torch.no_grad()
def test_pooled_of_registers_takes_the_class_token():
    model = make("vit_nano", reg_tokens=2)
    x = images(32, 32)
    assert extract_tokens(model, x).prefix.shape[1] == 3
    assert torch.equal(extract_pooled(model, x, "token"), model.forward_features(x)[:, 0])


def test_no_class_token_to_pool():
    with pytest.raises(UserError, match="no class token; pool with avg"):
        extract_pooled(make("timm/resnet10t"), images(64, 64), "token")
    registers_only = make("vit_nano", class_token=False, reg_tokens=1, global_pool="avg")
    with pytest.raises(UserError, match="no class token"):
        extract_pooled(registers_only, images(32, 32), "token")
    with pytest.raises(UserError, match="choose avg or token"):
        extract_pooled(registers_only, images(32, 32), "max")


def test_a_size_that_is_no_multiple_names_it(nano):
    for call in (extract_pyramid, extract_tokens, extract_pooled):
        with pytest.raises(UserError, match="multiples of 8 px, not 33 x 32; the nearest is 32 x 32"):
            call(nano, images(33, 32))
    with pytest.raises(UserError, match="multiples of 8 px"):
        make("vit_nano", img_size=36)  # timm alone makes this and cuts 4 px off


def test_a_fixed_model_says_how_to_get_the_size():
    fixed = make("vit_nano", dynamic_img_size=False)
    with pytest.raises(UserError, match=r"create it with img_size=\(40, 32\)"):
        extract_pyramid(fixed, images(40, 32))
    with pytest.raises(UserError, match=r"img_size=\(96, 64\)"):
        extract_pyramid(make("timm/hiera_tiny_224", img_size=64), images(96, 64))
    assert extract_pyramid(make("timm/hiera_tiny_224", img_size=(96, 64)), images(96, 64, 1))[-1].shape[-2:] == (3, 2)


@torch.no_grad()
def test_a_card_may_ask_for_padding():
    card = BackboneCard(
        "padded", "vit_nano_patch8_32", "pads", {"dynamic_img_pad": True}, (3, 32, 32), module="backbones.architectures"
    )
    model = make(card)
    assert get_size_divisor(model) == (1, 1)
    x = images(35, 40, 1)
    assert extract_pyramid(model, x)[0].shape[-2:] == (5, 5)
    padded = torch.nn.functional.pad(x, (0, 0, 0, 5))
    assert torch.equal(extract_tokens(model, x).patches, extract_tokens(model, padded).patches)


def test_models_that_do_not_know_the_optional_arguments_are_made():
    require_input_size(make("timm/resnet10t", img_size=100), 100, 100)
    with pytest.raises(UserError, match="nonsense"):
        make("vit_nano", nonsense=1)


def test_features_are_asked_of_a_model_that_has_none():
    with pytest.raises(UserError, match="feature_info and forward_intermediates"):
        extract_pyramid(torch.nn.Conv2d(3, 3, 1), images(8, 8))
