"""The contract suite over every registered backbone, and each check against a model broken on purpose."""

from dataclasses import replace

import pytest
import timm
import torch
from torch import nn

from backbones.conformance import checks
from backbones.conformance.backbone_under_test import NUM_TEST_CLASSES, BackboneUnderTest, make_backbone_under_test
from backbones.conformance.checks import CONTRACT_CHECKS, check_compile
from backbones.conformance.protocol_use import PROTOCOL_CHECKS
from backbones.conformance.suite import CheckResult, check_backbone, run_check
from backbones.create import create_backbone
from backbones.features import require_input_size
from backbones.pooling import make_pooling_error
from backbones.registry import BACKBONES
from foundation.errors import UserError

SMALL = 64  # pixels a side: enough for four stages, small enough for one core


@pytest.fixture(scope="module")
def subjects():
    """One at a time in memory: parameters come backbone by backbone."""
    made = {}

    def get(name):
        if name not in made:
            made.clear()
            side = subject_side(name)
            made[name] = make_backbone_under_test(name, side)
        return made[name]

    return get


def subject_side(name):
    height, width = BACKBONES.get(name).input_size[1:]
    return SMALL if height == width and height > SMALL else None


@pytest.fixture(scope="module")
def outcomes():
    """What was found, by the card without its name, weights and texts: such cards build one and the same model."""
    return {}


@pytest.mark.parametrize("name", BACKBONES.list_names())
def test_every_registered_backbone(name, subjects, outcomes):
    model = repr(replace(BACKBONES.get(name), name="", summary="", weights=None, facts={}))
    if model not in outcomes:
        subject = subjects(name)
        outcomes[model] = [run_check(what, check, subject) for what, check in CONTRACT_CHECKS.items()]
    assert len(outcomes[model]) == len(CONTRACT_CHECKS)
    assert [outcome for outcome in outcomes[model] if outcome.status != "passed"] == []


@pytest.mark.parametrize("name", ["timm/test_vit", "timm/resnet10t", "timm/swin_tiny_patch4_window7_224"])
def test_timms_own(name):
    assert [outcome for outcome in check_backbone(name, img_size=SMALL) if outcome.status == "failed"] == []


def test_torch_compile():
    assert check_compile(make_backbone_under_test("vit_pico"), backend="eager").startswith("backend eager")


class Wrapped(nn.Module):
    """A healthy vit_pico whose parts the tests break."""

    def __init__(self, size, **arguments):
        super().__init__()
        self.vit = create_backbone(
            "vit_pico", img_size=size, checkpoint="random", num_classes=NUM_TEST_CLASSES, **arguments
        ).model
        self.feature_info = self.vit.feature_info
        self.num_prefix_tokens = 1

    def forward_features(self, x):
        return self.vit.forward_features(x)

    def forward_head(self, x, pre_logits=False):
        return self.vit.forward_head(x, pre_logits=pre_logits)

    def forward(self, x):
        return self.forward_head(self.forward_features(x))

    def forward_intermediates(self, x, **arguments):
        return self.vit.forward_intermediates(x, **arguments)

    def group_matcher(self, coarse=False):
        return {
            "stem": r"^vit\.(?:cls_token|pos_embed|patch_embed)",
            "blocks": [(r"^vit\.blocks\.(\d+)", None), (r"^vit\.norm", (99999,))],
        }

    @property
    def pretrained_cfg(self):
        return {"classifier": "vit.head"}


def outcome(what, model, **changes):
    return run_check(what, CONTRACT_CHECKS[what], BackboneUnderTest(model, **{"img_size": (32, 32), **changes}))


def red(what, model, **changes):
    found = outcome(what, model, **changes)
    assert found.status == "failed", found
    return found.detail


@pytest.mark.parametrize("what", CONTRACT_CHECKS)
def test_the_healthy_one_passes(what):
    assert outcome(what, Wrapped).status == "passed"


def test_shapes_go_red():
    class Wide(Wrapped):
        def forward(self, x):
            return super().forward(x).repeat(1, 1 + (x.shape[-1] > 32))

    class Inf(Wrapped):
        def forward(self, x):
            return super().forward(x) / 0

    assert "at 40x40 have shape (2, 20)" in red("output shapes", Wide)
    assert "not finite" in red("output shapes", Inf)


def test_dropout_in_eval_goes_red():
    class Drops(Wrapped):
        def forward_features(self, x):
            return nn.functional.dropout(super().forward_features(x), 0.1, training=True)

    assert "two passes in eval mode differ" in red("determinism", Drops)


def test_a_dead_parameter_goes_red():
    class Unused(Wrapped):
        def __init__(self, size):
            super().__init__(size)
            self.unused = nn.Parameter(torch.ones(3))

    class TimesZero(Wrapped):
        def __init__(self, size):
            super().__init__(size)
            self.muted = nn.Parameter(torch.ones(()))

        def forward(self, x):
            return super().forward(x) + 0 * self.muted

    assert red("gradients", Unused) == "no gradient reaches unused"
    assert red("gradients", TimesZero) == "no gradient reaches muted"


def test_a_gate_that_starts_at_zero_is_no_dead_parameter():
    def gated(size):
        return create_backbone(
            "vit_pico", img_size=size, checkpoint="random", num_classes=NUM_TEST_CLASSES, init_values=0.0
        ).model

    assert outcome("gradients", gated).status == "passed"


def test_a_leak_across_the_batch_goes_red():
    class Leaks(Wrapped):
        def forward_features(self, x):
            features = super().forward_features(x)
            return features - 0.1 * features.mean(0, keepdim=True)

    assert "depends on the others in its batch" in red("batch independence", Leaks)


class Cropping(Wrapped):
    """Takes any size and cuts off what does not fill a patch, as a strided convolution alone does."""

    def _whole(self, x):
        return x[..., : x.shape[-2] // 8 * 8, : x.shape[-1] // 8 * 8]

    def forward_features(self, x):
        return super().forward_features(self._whole(x))

    def forward_intermediates(self, x, **arguments):
        return super().forward_intermediates(self._whole(x), **arguments)


def test_a_silently_cut_border_goes_red():
    def make(size):
        return Cropping(tuple(side // 8 * 8 for side in size))

    assert "33x31 is silently accepted with a grid of" in red("odd sizes", make)


def test_an_odd_size_that_crashes_goes_red(monkeypatch):
    class Crashes(Wrapped):
        def forward_intermediates(self, x, **arguments):
            if x.shape[-1] % 8:
                raise KeyError("grid")
            return super().forward_intermediates(x, **arguments)

    assert "it raised KeyError" in red("odd sizes", Crashes)


def test_weights_outside_the_state_dict_go_red():
    class Hides(Wrapped):
        def __init__(self, size):
            super().__init__(size)
            self.hidden = [torch.randn(NUM_TEST_CLASSES)]

        def forward(self, x):
            return super().forward(x) + self.hidden[0]

    assert "weights outside the state dict" in red("state dict", Hides)


def test_bfloat16_goes_red():
    class Overflows(Wrapped):
        def forward(self, x):
            return super().forward(x) / (0 if x.dtype == torch.bfloat16 else 1)

    class Coarse(Wrapped):
        def forward(self, x):
            logits = super().forward(x)
            return logits.mul(2).round() if x.dtype == torch.bfloat16 else logits

    class Refuses(Wrapped):
        def forward(self, x):
            return super().forward(x.float())

    assert "not finite" in red("bfloat16", Overflows)
    assert "far from fp32" in red("bfloat16", Coarse)
    assert "it raised" in red("bfloat16", Refuses)


def test_features_go_red():
    class Transposed(Wrapped):
        def forward_intermediates(self, x, **arguments):
            return [value.transpose(2, 3) for value in super().forward_intermediates(x, **arguments)]

    class Narrow(Wrapped):
        def forward_intermediates(self, x, **arguments):
            return [value[:, 1:] for value in super().forward_intermediates(x, **arguments)]

    class Repeats(Wrapped):
        def forward_intermediates(self, x, **arguments):
            maps = super().forward_intermediates(x, **arguments)
            return [maps[0]] * len(maps)

    class Miscounts(Wrapped):
        def __init__(self, size):
            super().__init__(size)
            self.num_prefix_tokens = 0

    class Silent(Wrapped):
        def __init__(self, size):
            super().__init__(size)
            del self.feature_info

    assert "feature_info promises (2, 32, 4, 5)" in red("features", Transposed)
    assert "feature_info promises" in red("features", Narrow)
    assert "two feature maps are one tensor" in red("features", Repeats)
    assert "num_prefix_tokens or feature_info is wrong" in red("features", Miscounts)
    assert "gives no intermediate features" in red("features", Silent)


def matcher(**spec):
    class Matched(Wrapped):
        def group_matcher(self, coarse=False):
            return spec

    return Matched


BLOCKS = [(r"^vit\.blocks\.(\d+)", None), (r"^vit\.norm", (99999,))]


def test_layer_decay_goes_red():
    stem = r"^vit\.(?:cls_token|pos_embed|patch_embed)"
    no_position = matcher(stem=r"^vit\.(?:cls_token|patch_embed)", blocks=BLOCKS)
    assert "vit.pos_embed falls into the head's group" in red("layer decay", no_position)
    one_forgotten = matcher(stem=stem, blocks=[(r"^vit\.blocks\.([02])\.", None), (r"^vit\.norm", (99999,))])
    assert "vit.blocks.1.norm1.weight falls into the head's group" in red("layer decay", one_forgotten)
    upside_down = matcher(blocks=BLOCKS[:1], stem=stem, norm=r"^vit\.norm")
    assert "lies in a lower group" in red("layer decay", upside_down)
    assert "it must follow depth" in red("layer decay", matcher(all=r"^vit"))

    class Leaves(Wrapped):
        def group_matcher(self, coarse=False):
            return lambda name: None if "cls_token" in name else (float("blocks" in name) + float("head" in name),)

    class Lacks(Wrapped):
        group_matcher = property()

    assert "it raised TypeError" in red("layer decay", Leaves)  # timm itself stumbles over a parameter with no group
    assert "has no group_matcher" in red("layer decay", Lacks)


def test_compile_goes_red_and_gives_up_honestly(monkeypatch):
    class Differs(Wrapped):
        def forward(self, x):
            return super().forward(x) * (2 if torch.compiler.is_compiling() else 1)

    subject = BackboneUnderTest(Differs, (32, 32))
    found = run_check("torch.compile", lambda s: check_compile(s, backend="eager"), subject)
    assert found.status == "failed"
    assert "the outputs differ" in found.detail

    def never(*_args, **_kwargs):
        raise TimeoutError

    monkeypatch.setattr(torch, "compile", never)
    found = run_check("torch.compile", check_compile, subject)
    assert found == CheckResult("torch.compile", "skipped", "compiling with inductor took longer than 180 s")


def test_the_time_limit_rings():
    import time

    with pytest.raises(TimeoutError), checks._time_limit(1):
        time.sleep(5)


def test_a_model_that_crashes_everywhere_gives_a_whole_table():
    class Crashes(Wrapped):
        def forward(self, x):
            raise ValueError("no way")

    subject = BackboneUnderTest(Crashes, (32, 32))
    outcomes = [run_check(what, check, subject) for what, check in CONTRACT_CHECKS.items()]
    assert len(outcomes) == len(CONTRACT_CHECKS)
    assert "it raised ValueError: no way" in {found.detail for found in outcomes if found.status == "failed"}


def asked(what, make):
    return run_check(what, PROTOCOL_CHECKS[what], BackboneUnderTest(Wrapped, (32, 32), create_for_task=make))


def test_protocol_checks_do_what_the_protocols_do():
    subject = make_backbone_under_test("timm/pit_ti_224", 64)
    said = {what: run_check(what, check, subject) for what, check in PROTOCOL_CHECKS.items()}
    assert "--set pool=token" in said["fine-tuning"].detail
    assert "token: 256 numbers; not avg" in said["frozen features"].detail
    assert said["weights"].status == "skipped"

    def refuse_rate(size, **arguments):
        if arguments.pop("drop_path_rate", 0):
            raise UserError("none here")
        return timm.create_model("test_vit", img_size=size, **arguments)

    assert "without drop path (--set drop_path=0" in asked("fine-tuning", refuse_rate).detail
    padded = asked("dense features", make_padded)
    assert "4 maps of 516 x 516 px" in padded.detail


def make_padded(size, **arguments):
    model = timm.create_model("test_vit", img_size=504, patch_size=12, dynamic_img_size=True, **arguments)
    require_input_size(model, *size)
    return model


def test_protocol_checks_go_red():
    def two_outputs(size, **arguments):
        model = timm.create_model("test_vit", img_size=size, **arguments)
        model.forward = lambda images: (images, images)
        return model

    assert "gives tuple and not logits" in asked("fine-tuning", two_outputs).detail

    def refuse_pooling(size, **arguments):
        raise make_pooling_error("x", arguments["global_pool"], "never")

    found = asked("frozen features", refuse_pooling)
    assert found.status == "failed"
    assert "features can be pooled in no way (not token: never; not avg: never)" in found.detail
