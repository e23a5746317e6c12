"""D-MAE and D2-MAE against their formulas written out, and where their gradients go."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from foundation.errors import ConfigError, UserError
from pretraining.methods.distill import pair_layers
from pretraining.models.patches import sample_masking
from pretraining.models.stacked_linear import PackedLinear, pack_linear_layers
from pretraining.models.vit import embed_patches, run_blocks
from tests.pretraining import naive
from tests.pretraining.make import compute_losses, make_batch, make_method, make_teacher

DEEP = {"depth": 12}


def expected_logits_loss(student: Any, teacher: Any, images: Tensor, seeds: Tensor, own: int, other: int) -> float:
    order = sample_masking(seeds, 16, 4).permutation
    weight = student.attn_adapter[0].proj.weight.flatten(1)
    terms = [
        naive.reference_logits_loss(
            weight,
            naive.attention_logits_at(student.backbone, image, row[:4].tolist(), own),
            naive.attention_logits_at(teacher.model, image, row[:4].tolist(), other),
        )
        for image, row in zip(images, order, strict=True)
    ]
    return float(torch.stack(terms).mean().detach())


def test_losses_are_the_papers() -> None:
    """Same mask for both; reconstruction as in MAE; rel 1e-4."""
    teacher = make_teacher()
    student = make_method("mae_distill", teacher=teacher)
    images, seeds = make_batch()
    found = compute_losses(student, images, seeds)
    assert set(found) == {"loss_masked", "loss_attention"}
    order = sample_masking(seeds, 16, 4).permutation
    masked = [
        naive.reference_mae_loss(student, image, row.tolist(), 4) for image, row in zip(images, order, strict=True)
    ]
    assert found["loss_masked"] == pytest.approx(float(torch.stack(masked).mean().detach()), rel=1e-4)
    expected = expected_logits_loss(student, teacher, images, seeds, 4, 4)
    assert found["loss_attention"] == pytest.approx(expected, rel=1e-4)
    assert sum(value.numel() for value in student.attn_adapter.parameters()) == 16


def test_hidden_states_are_normed_by_the_next_norm() -> None:
    teacher = make_teacher()
    distill = {"attention": 0.0, "hidden": 0.5, "hidden_layers": [2, 4]}
    student = make_method("mae_distill", teacher=teacher, distill=distill)
    images, seeds = make_batch(1)
    found = compute_losses(student, images, seeds)
    assert set(found) == {"loss_masked", "loss_hidden"}
    seen = sample_masking(seeds, 16, 4).visible_indices[0].tolist()
    terms = []
    for place, state in enumerate((2, 4)):
        states = []
        for model in (student.backbone, teacher.model):
            tokens = naive.embed_visible_patches(model, images[0], seen)
            for block in model.blocks[:state]:
                tokens = naive.run_block(block, tokens)
            states.append(model.blocks[2].norm1(tokens) if state == 2 else model.norm(tokens))
        weight = student.hidden_adapter[place].proj.weight
        terms.append(((states[0] @ weight.T - states[1]) ** 2).mean())
    assert found["loss_hidden"] == pytest.approx(0.5 * float(torch.stack(terms).sum().detach()), rel=1e-4)


def test_the_losses_of_several_layers_are_added() -> None:
    """MAE-Lite adds one term per layer, so two layers weigh twice as much as one."""
    teacher = make_teacher()
    images, seeds = make_batch()
    both = make_method("mae_distill", teacher=teacher, distill={"attention_layers": [2, 4]})
    order = sample_masking(seeds, 16, 4).permutation
    terms = [
        naive.reference_logits_loss(
            both.attn_adapter[place].proj.weight.flatten(1),
            naive.attention_logits_at(both.backbone, image, row[:4].tolist(), layer),
            naive.attention_logits_at(teacher.model, image, row[:4].tolist(), layer),
        )
        for image, row in zip(images, order, strict=True)
        for place, layer in enumerate((2, 4))
    ]
    expected = float(torch.stack(terms).sum().detach()) / len(images)
    assert compute_losses(both, images, seeds)["loss_attention"] == pytest.approx(expected, rel=1e-4)


def test_a_deeper_teacher_is_aligned_by_the_rule() -> None:
    teacher = make_teacher(depth=6)
    student = make_method("mae_distill", teacher=teacher, distill={"attention_layers": [2]})
    images, seeds = make_batch()
    expected = expected_logits_loss(student, teacher, images, seeds, 2, 3)
    assert compute_losses(student, images, seeds)["loss_attention"] == pytest.approx(expected, rel=1e-4)


def test_alignment() -> None:
    assert pair_layers([], [], 12, 12, 1) == [(12, 12)]
    assert pair_layers([1, 6, 12], [], 12, 24, 1) == [(1, 2), (6, 12), (12, 24)]
    assert pair_layers([1, 2, 3], [], 12, 6, 1) == [(1, 1), (2, 1), (3, 2)], "1/2 and 3/2 are rounded up"
    assert pair_layers([0, 12], [], 12, 24, 0) == [(0, 0), (12, 24)]
    assert pair_layers([12], [3], 12, 12, 1) == [(12, 3)]
    for layers, targets, words in (([13], [], "layer 13 of the student"), ([1], [9], "layer 9 of the teacher")):
        with pytest.raises(UserError, match=words):
            pair_layers(layers, targets, 12, 8, 1)


def test_the_teacher_does_no_more_than_it_must() -> None:
    """Blocks after the tapped one, its values, output and MLP are never computed; nothing keeps a graph."""
    teacher = make_teacher()
    student = make_method("mae_distill", teacher=teacher, distill={"attention_layers": [3]})
    ran: list[str] = []
    for name, module in teacher.model.named_modules():
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
    images, seeds = make_batch()
    goal = student.run_teacher(images, sample_masking(seeds, 16, 4))
    assert not goal.attention_logits[3].requires_grad
    assert "blocks.1.mlp" in ran
    assert "blocks.2.norm1" in ran
    assert not [name for name in ran if name.startswith("blocks.3") or name in ("blocks.2.mlp", "blocks.2.attn.proj")]
    assert not [name for name in student.state_dict() if name.startswith("teacher")]
    before = {name: value.clone() for name, value in teacher.model.state_dict().items()}
    sum(student(images=images, seeds=seeds).values()).backward()
    assert all(value.grad is None for value in teacher.model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in teacher.model.state_dict().items())


def test_tapping_does_not_change_the_tokens() -> None:
    """Explicit attention in a tapped block gives what timm's fused one gives (1e-5)."""
    student = make_method("mae")
    images, seeds = make_batch()
    patches, masking = student.patchify_and_mask(images, seeds)
    tokens = embed_patches(student.backbone, patches, masking)
    tapped = run_blocks(student.backbone, tokens, {1, 4}, {0, 4})
    torch.testing.assert_close(tapped.tokens, student.backbone.blocks(tokens), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        tapped.hidden_states[4], student.encode_visible(images, patches, masking), rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(tapped.hidden_states[0], student.backbone.blocks[0].norm1(tokens))


def test_other_normalisation_of_the_teacher() -> None:
    """Images reach the teacher as it was trained to see them."""
    teacher = make_teacher()
    mean, std, own = (torch.tensor(value).reshape(3, 1, 1) for value in ([0.4, 0.5, 0.6], [0.2, 0.3, 0.1], [0.5] * 3))
    teacher._same_normalization, teacher._std_ratio, teacher._mean_offset = False, own / std, (own - mean) / std
    pixels = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(
        teacher.renormalize_images((pixels - own) / own), (pixels - mean) / std, rtol=1e-5, atol=1e-5
    )


def test_packed_products_are_the_same() -> None:
    """On a CPU without gradients; 1e-5. With gradients or in bf16 the ordinary product is taken."""
    torch.manual_seed(0)
    linear = torch.nn.Linear(48, 96)
    model = torch.nn.Sequential(linear)
    pack_linear_layers(model)
    assert isinstance(model[0], PackedLinear), "this build of torch has oneDNN"
    values = torch.randn(3, 5, 48)
    with torch.no_grad():
        for part in (values, values[:1], values[0]):
            torch.testing.assert_close(model(part), linear(part), rtol=1e-5, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            assert model(values).dtype == torch.bfloat16
    assert torch.equal(model(values), linear(values))
    assert model[0].weight is linear.weight


def grads(model: Any, loss: Tensor) -> list[float]:
    """The largest gradient in each block of the backbone."""
    model.zero_grad()
    loss.backward()
    return [
        max((float(value.grad.abs().max()) for value in block.parameters() if value.grad is not None), default=0.0)
        for block in model.backbone.blocks
    ]


def test_gradient_paths_of_the_decoupled_method() -> None:
    """Blocks 9 to 12 get none of the reconstruction; block 13's distillation reaches block 1."""
    student = make_method("mae_distill_d2", teacher=make_teacher(**DEEP), arguments=DEEP)
    images, seeds = make_batch()
    assert student.decode_layer == 8
    found = student(images=images, seeds=seeds)
    of_masked = grads(student, found["loss_masked"])
    assert all(value > 0 for value in of_masked[:8])
    assert of_masked[8:] == [0.0] * 4
    found = student(images=images, seeds=seeds)
    assert all(value > 0 for value in grads(student, found["loss_attention"]))
    found = student(images=images, seeds=seeds)
    student.zero_grad()
    sum(found.values()).backward()
    assert not [name for name, value in student.named_parameters() if value.requires_grad and value.grad is None]


def test_losses_of_the_decoupled_method() -> None:
    teacher = make_teacher(**DEEP)
    student = make_method("mae_distill_d2", teacher=teacher, arguments=DEEP)
    images, seeds = make_batch(2)
    found = compute_losses(student, images, seeds)
    order = sample_masking(seeds, 16, 4).permutation
    masked, logits = [], []
    for image, row in zip(images, order.tolist(), strict=True):
        masked.append(naive.reference_mae_loss(student, image, row, 4, after=8))
        tokens = naive.embed_visible_patches(student.backbone, image, row[:4])
        for block in student.backbone.blocks:
            tokens = naive.run_block(block, tokens)
        extra = student.extra_block
        extra.attn.proj = torch.nn.Identity()
        own = naive.compute_attention(extra, tokens)[1][0]
        goal = naive.attention_logits_at(teacher.model, image, row[:4], 12)
        logits.append(naive.reference_logits_loss(student.attn_adapter[0].proj.weight.flatten(1), own, goal))
    assert found["loss_masked"] == pytest.approx(float(torch.stack(masked).mean().detach()), rel=1e-4)
    assert found["loss_attention"] == pytest.approx(float(torch.stack(logits).mean().detach()), rel=1e-4)


def test_parameters_of_the_decoupled_method() -> None:
    student = make_method("mae_distill_d2", "vit_tiny", make_teacher("vit_tiny", 224), size=224)
    extra = sum(value.numel() for value in student.extra_block.parameters())
    assert sum(value.numel() for value in student.backbone.parameters()) + extra == 5_635_968
    assert sum(value.numel() for value in student.exported_encoder.parameters()) == 5_524_416, "12 blocks are exported"


@pytest.mark.parametrize(
    ("teacher", "changes", "words"),
    [
        ("vit_nano", {"patch_size": 16}, "patches of 16 x 16 px and the student vit_nano of 8 x 8"),
        ("swin_lite", {}, "the teacher swin_lite is a SwinTransformer"),
    ],
)
def test_a_teacher_that_does_not_fit_is_a_sentence(teacher: str, changes: Any, words: str) -> None:
    size = 224 if teacher == "swin_lite" else 32
    with pytest.raises(UserError, match=words):
        make_method("mae_distill", teacher=make_teacher(teacher, size, **changes))


def test_nothing_to_distil_is_refused() -> None:
    from pydantic import ValidationError

    with pytest.raises((ValidationError, ConfigError), match="nothing is distilled"):
        make_method("mae_distill", teacher=make_teacher(), distill={"attention": 0.0})
