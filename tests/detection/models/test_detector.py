"""The detector as a whole: its size, its gradients, its predictions, and the backbones that it takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapper
from pycocotools import mask as coco_mask
from torch import Tensor, nn

from backbones.cost.flop_counter import compute_complexity
from backbones.create import create_backbone
from backbones.registry import get_card
from detection.data.samples import InferenceImage
from detection.models.backbone import DetectionBackbone, choose_backbone_kwargs
from detection.models.detector import Detector, choose_boxes
from detection.models.plain_vit import WindowedViT
from detection.recipe import DetectionInference, DetectorSettings
from engine.optimizer import get_layer_ids
from foundation.errors import UserError
from tests.detection.models.tiny_detector import TINY_MODEL, make_detector, make_image, make_recipe


def count_parameters(module: nn.Module | None) -> int:
    assert module is not None
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def full_detector() -> Detector:
    """The papers' detector, without memory for its weights."""
    with torch.device("meta"):
        return make_detector(make_recipe(640, model={}), "vit_tiny", 80)


def test_the_papers_detector_has_its_parameters(full_detector: Detector) -> None:
    """The counts are those of detectron2's layers, with 80 classes and background as the 81st logit."""
    model = full_detector
    trunk: Any = model.backbone.trunk
    assert count_parameters(trunk.patch_embed) == 147_648 and trunk.pos_embed.numel() == 37_824
    blocks = [
        count_parameters(block) + count_parameters(positions)
        for block, positions in zip(trunk.blocks, model.backbone.body.rel_pos, strict=True)
    ]
    assert blocks == [447_392 if index in (2, 5, 8, 11) else 445_728 for index in range(12)]
    assert count_parameters(model.backbone) == 5_540_864
    assert [count_parameters(level) for level in model.pyramid.levels] == [695_632, 689_248, 640_000, 640_000]
    assert count_parameters(model.pyramid) == 2_664_880
    parts = (model.proposal_network, model.box_head, model.mask_head)
    assert [count_parameters(part) for part in parts] == [1_184_015, 15_618_449, 2_644_304]
    assert count_parameters(model) == 27_652_512


def test_the_papers_detector_has_its_operations(full_detector: Detector) -> None:
    images = torch.zeros(1, 3, 640, 640, device="meta")
    assert compute_complexity(full_detector, [images]).macs == pytest.approx(257.3e9, rel=0.001)
    backbone = compute_complexity(full_detector.backbone, [images])
    assert backbone.macs == pytest.approx(14.09e9, rel=0.001)
    assert backbone.macs_without_attention == pytest.approx(8.92e9, rel=0.001)


def test_the_start_of_the_heads() -> None:
    """Deviations of detectron2's initialization; its sources are in docs/explanation/parity.md."""
    model = make_detector(make_recipe(model={"channels": 64, "window": 3}))
    boxes, mask, proposals = model.box_head, model.mask_head, model.proposal_network.head
    assert mask is not None
    deviations = {
        boxes.classes: 0.01,
        boxes.deltas: 0.001,
        mask.masks: 0.001,
        proposals.cls_logits: 0.01,
        proposals.bbox_pred: 0.01,
        boxes.convs[0]: (2 / (64 * 9)) ** 0.5,
        mask.convs[0]: (2 / (64 * 9)) ** 0.5,
        mask.enlarge: (2 / (64 * 4)) ** 0.5,
        boxes.hidden: (1 / (64 * 49)) ** 0.5,
    }
    for layer, deviation in deviations.items():
        assert float(layer.weight.detach().std()) == pytest.approx(deviation, rel=0.25)
        assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("objects", [(2, 0), (0, 0)], ids=["objects", "no objects"])
@pytest.mark.parametrize(
    "name", ["vit_pico", "hiera_lite", "timm/mobilenetv3_small_050", "timm/eva02_tiny_patch14_224"]
)
def test_every_parameter_gets_a_gradient(name: str, objects: tuple[int, int]) -> None:
    """Also without any object: distributed training waits for each of them."""
    model = make_detector(make_recipe(model={**TINY_MODEL, "window": 3}), name).train()
    losses = model([make_image(item, count) for item, count in enumerate(objects)], mode="loss")
    torch.stack(list(losses.values())).sum().backward()
    assert [name for name, each in model.named_parameters() if each.requires_grad and each.grad is None] == []
    assert all(bool(value.isfinite()) for value in losses.values())


def test_one_step_of_mmengine() -> None:
    model = make_detector().train()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    before = model.box_head.classes.weight.detach().clone()
    outputs = model.train_step({"samples": [make_image(0, 2), make_image(1, 1)]}, wrapper)
    values = {name: float(value.detach()) for name, value in outputs.items()}
    assert values.pop("loss") == pytest.approx(sum(values.values()), rel=1e-5) and len(values) == 5
    assert not torch.equal(before, model.box_head.classes.weight)
    image = make_image(3, 0).image
    (found,) = model.eval().val_step({"samples": [InferenceImage(7, image, (120, 128))]})
    assert found.item == 7 and found.is_finite


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_training_under_autocast(kind: torch.dtype) -> None:
    """The losses are those of fp32 but for rounding, although proposals differ."""
    model, samples = make_detector().train(), [make_image(0, 2), make_image(1, 0)]
    exact = model(samples, mode="loss")
    with torch.autocast("cpu", dtype=kind):
        rough = model(samples, mode="loss")
    assert {each.dtype for each in rough.values()} == {torch.float32}
    assert float(rough["loss_rpn_cls"]) == pytest.approx(float(exact["loss_rpn_cls"]), rel=0.02)
    torch.stack(list(rough.values())).sum().backward()


def test_predictions_are_in_pixels_of_the_original() -> None:
    """Twice as large an original gives the same boxes times 2, and masks at its size; batches change nothing."""
    model = make_detector(make_recipe(test={"min_score": 0, "per_image": 5})).eval()
    image, other = make_image(0, 0).image, make_image(1, 0, height=40).image
    same, double = (model([InferenceImage(0, image, size)], mode="predict")[0] for size in ((60, 64), (120, 128)))
    torch.testing.assert_close(same.boxes * 2, double.boxes, rtol=1e-6, atol=1e-4)
    assert len(same.boxes) == 5 and same.masks is not None and double.masks is not None
    assert same.boxes[:, 2].max() <= 64 and same.boxes[:, 3].max() <= 60
    assert [each["size"] for each in double.masks] == [[120, 128]] * 5
    assert same.scores.tolist() == sorted(same.scores.tolist(), reverse=True)
    assert all(coco_mask.toBbox(each).shape == (4,) for each in double.masks)
    batch = model([InferenceImage(1, other, (40, 64)), InferenceImage(0, image, (60, 64))], mode="predict")
    torch.testing.assert_close(batch[1].boxes, same.boxes, rtol=1e-4, atol=1e-3)
    assert [each.item for each in batch] == [1, 0]
    boxes_alone = make_detector(make_recipe(test={"min_score": 0}), has_masks=False).eval()
    assert boxes_alone([InferenceImage(0, image, (60, 64))], mode="predict")[0].masks is None


def test_outputs_that_are_not_finite_are_told() -> None:
    model = make_detector().eval()
    model.box_head.classes.bias.data[0] = torch.nan
    (found,) = model([InferenceImage(0, make_image(0, 0).image, (60, 64))], mode="predict")
    assert not found.is_finite and len(found.boxes) == 0


def choose(scores: list[list[float]], boxes: list[list[float]], **settings: Any) -> tuple[list[Any], ...]:
    """Choose among boxes that are decoded as they are, from probabilities of two classes."""
    both = torch.tensor(scores)
    logits = torch.cat([both, 1 - both.sum(1, keepdim=True)], 1).log()
    found = choose_boxes(
        torch.tensor(boxes), logits, torch.zeros(len(boxes), 2, 4), (100, 100), DetectionInference(**settings)
    )
    return tuple(each.tolist() for each in found)


def test_detections_are_chosen_class_by_class() -> None:
    boxes = [[0.0, 0, 10, 10], [0, 0, 10, 8], [50, 50, 120, 60], [0, 0, 4, 4]]
    # box 1 overlaps box 0 by 0.8; 0.05 is not above 0.05
    scores = [[0.6, 0.3], [0.5, 0.4], [0.1, 0.05], [0.04, 0.04]]
    found, values, labels = choose(scores, boxes)
    assert list(zip(values, labels, strict=True)) == [
        (pytest.approx(0.6), 0),
        (pytest.approx(0.4), 1),
        (pytest.approx(0.1), 0),
    ]
    assert found == [[0, 0, 10, 10], [0, 0, 10, 8], [50, 50, 100, 60]]
    assert len(choose(scores, boxes, nms_iou=0.9)[0]) == 5
    assert choose(scores, boxes, per_image=1)[2] == [0]
    assert choose(scores, boxes, min_score=0.7) == ([], [], [])


def test_a_frozen_backbone_stays_as_it_is() -> None:
    model = make_detector(make_recipe(frozen=True)).train()
    assert not model.backbone.training and model.box_head.training
    torch.stack(list(model([make_image(0, 1)], mode="loss").values())).sum().backward()
    assert all(each.grad is None for each in model.backbone.parameters())
    assert all(each.grad is not None for each in model.pyramid.parameters())


def test_layers_for_layer_decay() -> None:
    """Patches and positions are layer 0; each block is one more, with its relative positions."""
    ids = get_layer_ids(make_detector().backbone)
    found = {
        name: ids[f"body.{name}"] for name in ("trunk.pos_embed", "trunk.patch_embed.proj.bias", "rel_pos.2.width")
    }
    assert found == {"trunk.pos_embed": 0, "trunk.patch_embed.proj.bias": 0, "rel_pos.2.width": 3}
    assert [ids[f"body.trunk.blocks.{block}.norm1.bias"] for block in range(3)] == [1, 2, 3]
    assert len(get_layer_ids(make_detector(name="hiera_lite").backbone)) > 100


def test_batch_norms_keep_their_statistics() -> None:
    model = make_detector(name="timm/mobilenetv3_small_050").train()
    before = {name: each.clone() for name, each in model.backbone.named_buffers()}
    model([make_image(0, 1)], mode="loss")
    assert len(before) > 100 and all(torch.equal(each, before[name]) for name, each in model.backbone.named_buffers())
    assert [name for name, _ in model.backbone.named_parameters() if "bn" in name] == [], "nor are scales trained"


def test_the_size_that_a_backbone_is_made_for() -> None:
    """A plain ViT for its own, so that its positions stay as they were trained; any other for the images."""
    recipe = make_recipe(96, drop_path=0.1)
    assert choose_backbone_kwargs(recipe, get_card("vit_tiny")) == {
        "img_size": 224,
        "num_classes": 0,
        "drop_path_rate": 0.1,
    }
    before = torch.get_rng_state()
    assert choose_backbone_kwargs(make_recipe(96), get_card("hiera_lite")) == {"img_size": 96, "num_classes": 0}
    assert torch.equal(before, torch.get_rng_state()), "the run's random numbers are left alone"
    model = make_detector(make_recipe(72), "vit_pico")
    assert model.backbone.trunk.pos_embed.shape == (1, 17, 32)


def test_other_plain_models_run_as_they_are() -> None:
    """A mixer has one resolution and no attention: its last map gets the simple pyramid."""
    recipe = make_recipe(224)
    created = create_backbone("timm/mixer_s32_224", checkpoint="random", img_size=224, num_classes=0)
    backbone = DetectionBackbone(created, recipe.size, DetectorSettings())
    assert not isinstance(backbone.body, WindowedViT) and backbone.strides == [32]
    assert not any(each.requires_grad for each in backbone.trunk.norm.parameters())


class _Stages(nn.Module):
    """A model with given strides, as timm describes it."""

    def __init__(self, strides: list[int]) -> None:
        super().__init__()
        self.feature_info = [{"reduction": stride, "num_chs": 4} for stride in strides]
        self.layer = nn.Conv2d(3, 4, 1)

    def forward_intermediates(self, images: Tensor, indices: list[int], **_: Any) -> list[Tensor]:
        maps = [self.layer(images[:, :, :: info["reduction"], :: info["reduction"]]) for info in self.feature_info]
        return [maps[index] for index in indices]


def test_stages_with_other_strides() -> None:
    def wrap(strides: list[int]) -> DetectionBackbone:
        return DetectionBackbone(create._replace(model=_Stages(strides)), 64, DetectorSettings())

    create = create_backbone("vit_pico", checkpoint="random")
    assert wrap([2, 4, 4, 8, 16, 32]).body.out_indices == [2, 3, 4, 5], "the deeper of two maps with a stride of 4"
    assert wrap([16, 32, 64]).strides == [16, 32]
    with pytest.raises(UserError, match="maps with strides 1, 2, 4 px; a feature pyramid needs at least two of 4, 8"):
        wrap([1, 2, 4])
    with pytest.raises(UserError, match="each twice the one before"):
        wrap([4, 16, 32])
    np.testing.assert_equal(wrap([8, 16])(torch.zeros(1, 3, 30, 64))[1].shape, (1, 4, 2, 4))
