"""Forward and loss of every kind of model with all tensors on CUDA: a table that is left on the CPU raises.

What depends on contents is not covered: sampling of anchors and regions, the choice of proposals and detections (its
parts before and after are), and backward, which FakeTensorMode cannot run without a device.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from backbones.create import create_backbone
from backbones.registry import get_card
from classification.model import Classifier
from pretraining.data.crops import sample_crop_boxes, sample_flips
from segmentation.models.segmentor import build_segmentor
from tests.detection.models.tiny_detector import make_detector
from tests.detection.models.tiny_detector import make_recipe as make_detection_recipe
from tests.engine.fake_cuda import make_fake, move_to_fake, require_on_cuda, use_fake_cuda
from tests.pretraining.make import make_batch, make_method, make_teacher
from tests.segmentation.make import make_recipe
from tests.tracking.make import make_images, make_tracker_model
from tracking.models.candidate_elimination import CandidateElimination

FAMILIES = {
    "vit_nano": 32,
    "vit_tiny_rpe": 224,
    "hiera_lite": 224,
    "swin_lite": 224,
    "timm/eva02_tiny_patch14_224": 224,
    "timm/test_convnext": 160,
    "timm/mobilenetv3_small_050": 64,
    "timm/resnet18": 64,
}


def make_classifier(name: str) -> Any:
    return Classifier(create_backbone(name, checkpoint="random", num_classes=5).model, label_smoothing=0.1)


@pytest.mark.parametrize("name", FAMILIES)
def test_classifier(name: str) -> None:
    model = make_classifier(name)
    size = get_card(name).input_size[-1]
    with use_fake_cuda():
        move_to_fake(model)
        images, labels = (
            torch.empty(2, 3, size, size, device="cuda"),
            torch.empty(2, dtype=torch.long, device="cuda"),
        )
        require_on_cuda(model.train()(images, labels, labels, mode="loss"))
        require_on_cuda(model.eval()(images, labels, labels))


@pytest.mark.parametrize("protocol", ["upernet", "semantic_fpn", "linear"])
def test_segmentor(protocol: str) -> None:
    setting = make_recipe(f"mini_ade_{protocol}", "crop=64")
    model = build_segmentor(setting, get_card("vit_nano"), 150, "BN", checkpoint="random")
    with use_fake_cuda():
        move_to_fake(model)
        samples = []
        for _ in range(2):
            sample = SegDataSample(metainfo={"img_shape": (64, 64)})
            sample.gt_sem_seg = PixelData(data=torch.empty(1, 64, 64, dtype=torch.long, device="cuda"))
            samples.append(sample)
        images = torch.empty(2, 3, 64, 64, device="cuda")
        require_on_cuda(model.train()(images, samples, mode="loss"))
        require_on_cuda(model.eval()(images, samples, mode="tensor"))


@pytest.mark.parametrize("name", ["vit_pico", "timm/resnet18", "swin_lite"])
def test_detector_maps_and_heads(name: str) -> None:
    """All layers; what chooses among anchors depends on contents."""
    size = 224 if name == "swin_lite" else 64
    model = make_detector(make_detection_recipe(size), name)
    with use_fake_cuda():
        move_to_fake(model)
        images = [torch.empty(3, size - 4, size, dtype=torch.uint8, device="cuda") for _ in range(2)]
        require_on_cuda(model.eval()(model.make_batch(images)))
        require_on_cuda(model.train()(model.make_batch(images)))


@pytest.mark.parametrize("own", [False, True], ids=["joint", "own"])
@pytest.mark.parametrize("elimination", [False, True], ids=["all", "ce"])
def test_tracker(own: bool, elimination: bool) -> None:
    settings = CandidateElimination(blocks=[1, 2], keep_ratio=0.7, begin=0, end=1) if elimination else None
    model = make_tracker_model(candidate_elimination=settings, asymmetric_attention=own)
    model.train_keep_ratio = 0.8
    crops = make_images(64), make_images(128)
    with use_fake_cuda():
        move_to_fake(model)
        template, search = (make_fake(each) for each in crops)
        box, count = torch.empty(2, 4, device="cuda"), torch.empty(2, dtype=torch.long, device="cuda")
        require_on_cuda(model.train()(template, search, box, skipped=count, mode="loss"))
        model.eval()
        memory = model.encode_template(template) if own else model.embed_template(template)
        require_on_cuda(model.find_best_cell(memory, search, torch.empty(16, 16, device="cuda")))


PRETRAININGS: dict[str, tuple[str, str, int, bool, dict[str, Any]]] = {
    "mae": ("mae", "vit_nano", 32, False, {}),
    "mae on hiera": (
        "mae",
        "hiera_lite",
        224,
        False,
        {"positions": "learned", "decoder": {"width": 32, "depth": 1, "heads": 4}},
    ),
    "mae_distill": ("mae_distill", "vit_nano", 32, True, {}),
    "mae_distill_d2": ("mae_distill_d2", "vit_nano", 32, True, {}),
    "mocov3": ("mocov3", "vit_nano", 32, False, {"hidden_dim": 32, "out_dim": 16}),
    "simmim": ("simmim", "swin_lite", 224, False, {}),
}


@pytest.mark.parametrize("name", PRETRAININGS)
def test_pretraining(name: str) -> None:
    method, backbone, size, has_teacher, changes = PRETRAININGS[name]
    teacher = make_teacher(backbone, size) if has_teacher else None
    model = make_method(method, backbone, teacher, size, **changes)
    batch = make_batch(2, size)
    with use_fake_cuda():
        move_to_fake(model)
        if teacher is not None:
            move_to_fake(teacher.model)
            teacher._same_normalization = False  # so that its images are converted, too
            teacher._std_ratio, teacher._mean_offset = (torch.empty(3, 1, 1, device="cuda") for _ in range(2))
        images, seeds = (make_fake(each) for each in batch)
        second = {"second_images": make_fake(batch[0])} if method == "mocov3" else {}
        require_on_cuda(model.train()(images=images, seeds=seeds, **second))


def test_draws_of_the_augmentation() -> None:
    """Boxes and flips; resizing and colors group the images of a batch by what was drawn, so they are not covered."""
    with use_fake_cuda():
        seeds = torch.empty(4, dtype=torch.long, device="cuda")
        require_on_cuda((sample_crop_boxes(seeds, 32, 32, (0.2, 1.0)), sample_flips(seeds, 0.5)))


class PlantedTable(torch.nn.Module):
    """Adds a table that is made on the CPU."""

    def __init__(self, layer: torch.nn.Module, is_kept: bool) -> None:
        super().__init__()
        self.layer, self.is_kept = layer, is_kept
        self.table = [torch.zeros(1)]  # in a list: not a buffer, so that no move takes it along

    def forward(self, *inputs: Any) -> Any:
        return self.layer(*inputs) + (self.table[0] if self.is_kept else torch.zeros(1))


@pytest.mark.parametrize("is_kept", [False, True], ids=["made in the pass", "kept"])
def test_a_table_on_the_cpu_is_found(is_kept: bool) -> None:
    model = make_classifier("vit_nano")
    model.backbone.norm = PlantedTable(model.backbone.norm, is_kept)
    with use_fake_cuda():
        move_to_fake(model)
        with pytest.raises(
            (RuntimeError, AssertionError), match=r"on the same device|two different devices|convert all Tensors"
        ):
            model.backbone(torch.empty(2, 3, 32, 32, device="cuda"))
