"""The losses against a plain implementation of their formulas, which replays the boxes that were drawn."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from torch import Tensor
from torchvision.ops import roi_align

from detection.data.samples import ImageTargets, TrainingImage
from detection.models import detector as detector_module
from detection.models import region_training
from detection.models.detector import Detector
from detection.models.losses import weigh_regions
from detection.models.proposals import AnchorScores
from detection.models.region_training import SampledRegions, compute_proposal_losses, require_valid_targets
from detection.models.sampling import SampledBoxes, make_image_generator, match_boxes, sample_boxes
from foundation.errors import DataError
from tests.detection.models.tiny_detector import make_detector, make_image, make_recipe

NUM_CLASSES = 3
LOSSES = {"loss_rpn_cls", "loss_rpn_loc", "loss_cls", "loss_box_reg", "loss_mask"}


def measure_iou(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def find_object(box: list[float], objects: list[list[float]]) -> int:
    return int(np.argmax([measure_iou(box, each) for each in objects]))


def encode(reference: list[float], box: list[float], weights: tuple[float, ...]) -> list[float]:
    (w, h), (bw, bh) = ((each[2] - each[0], each[3] - each[1]) for each in (reference, box))
    x, y, bx, by = reference[0] + w / 2, reference[1] + h / 2, box[0] + bw / 2, box[1] + bh / 2
    code = ((bx - x) / w, (by - y) / h, math.log(bw / w), math.log(bh / h))
    return [each * weight for each, weight in zip(code, weights, strict=True)]


def cross_entropy(logit: Tensor, is_true: bool) -> Tensor:
    return -(logit.sigmoid() if is_true else 1 - logit.sigmoid()).log()


def draw_triangle(polygon: np.ndarray, box: list[float]) -> np.ndarray:
    scale = np.array([28 / (box[2] - box[0]), 28 / (box[3] - box[1])])
    outline = ((polygon - box[:2]) * scale).ravel().tolist()
    return coco_mask.decode(coco_mask.frPyObjects([outline], 28, 28))[:, :, 0]


def pool_plainly(levels: list[Tensor], image: int, box: list[float], side: int) -> Tensor:
    root = math.sqrt((box[2] - box[0]) * (box[3] - box[1]))
    level = min(max(math.floor(4 + math.log2(root / 224)), 2), 5)
    region = torch.tensor([[image, *box]], dtype=torch.float64)
    return roi_align(levels[level - 2], region, side, 0.5**level, 0, True)


class Record:
    """What a step of the detector drew, of each image."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.anchors: list[SampledBoxes] = []
        self.regions: list[SampledRegions] = []
        for module, name, kept in (
            (region_training, "sample_boxes", None),
            (detector_module, "sample_regions", self.regions),
        ):
            monkeypatch.setattr(module, name, self.wrap(getattr(module, name), kept))

    def wrap(self, function: Any, kept: list[Any] | None) -> Any:
        def call(*args: Any) -> Any:
            found = function(*args)
            # anchors are drawn with the size of their sample, 16; regions with 12
            if kept is not None:
                kept.append(found)
            elif args[1] == 16:
                self.anchors.append(found)
            return found

        return call


def compute_plain_losses(model: Detector, samples: list[TrainingImage], drawn: Record, group: int) -> dict[str, Tensor]:
    """Compute the losses from the formulas, box by box, for the anchors and regions that were drawn."""
    images = torch.zeros(len(samples), 3, 64, 64, dtype=torch.float64)
    for row, sample in zip(images, samples, strict=True):
        height, width = sample.image.shape[1:]
        row[:, :height, :width] = (sample.image.double() / 255 - model.mean.view(3, 1, 1)) / model.std.view(3, 1, 1)
    levels = model.pyramid(model.backbone(images))
    scores = model.proposal_network(levels)
    anchors = torch.cat(scores.anchors).tolist()
    logits, deltas = torch.cat(scores.logits, 1), torch.cat(scores.deltas, 1)
    objects = [sample.targets.boxes.double().tolist() for sample in samples]
    zero = torch.zeros((), dtype=torch.float64)
    total = dict.fromkeys(LOSSES, zero)
    for image, (positive, negative) in enumerate(drawn.anchors):
        share = 16 * len(samples)
        for anchor in positive.tolist():
            target = encode(anchors[anchor], objects[image][find_object(anchors[anchor], objects[image])], (1,) * 4)
            distance = sum((a - b).abs() for a, b in zip(deltas[image, anchor], target, strict=True))
            total["loss_rpn_loc"] = total["loss_rpn_loc"] + distance / share
            total["loss_rpn_cls"] = total["loss_rpn_cls"] + cross_entropy(logits[image, anchor], True) / share
        for anchor in negative.tolist():
            total["loss_rpn_cls"] = total["loss_rpn_cls"] + cross_entropy(logits[image, anchor], False) / share
    groups = -(-len(samples) // group)
    for number in range(groups):
        members = range(number, len(samples), groups)
        share = len(members) / len(samples)
        num_regions = sum(len(drawn.regions[image].boxes) for image in members)
        num_positive = sum(drawn.regions[image].num_positive for image in members)
        for image in members:
            found = drawn.regions[image]
            for row, box in enumerate(found.boxes.tolist()):
                is_object = row < found.num_positive
                own = find_object(box, objects[image]) if objects[image] else -1
                label = int(samples[image].targets.labels[own]) if is_object else NUM_CLASSES
                assert is_object == bool(objects[image] and measure_iou(box, objects[image][own]) >= 0.5)
                score, code = model.box_head(pool_plainly(levels, image, box, 7))
                entropy = score[0].exp().sum().log() - score[0, label]
                total["loss_cls"] = total["loss_cls"] + entropy * share / num_regions
                if not is_object:
                    continue
                target = encode(box, objects[image][own], (10, 10, 5, 5))
                distance = sum((a - b).abs() for a, b in zip(code[0, label], target, strict=True))
                total["loss_box_reg"] = total["loss_box_reg"] + distance * share / num_regions
                mask = model.mask_head(pool_plainly(levels, image, box, 14))[0, label]
                truth = torch.tensor(draw_triangle(samples[image].targets.masks[own][0], box), dtype=torch.float64)
                entropy = -(truth * mask.sigmoid().log() + (1 - truth) * (1 - mask.sigmoid()).log())
                total["loss_mask"] = total["loss_mask"] + entropy.mean() * share / num_positive
    return total


def step(model: Detector, losses: dict[str, Tensor], lr: float) -> None:
    parameters = [each for each in model.parameters() if each.requires_grad]
    # the mask head has no part in a batch without regions of objects
    gradients = torch.autograd.grad(sum(losses.values()), parameters, allow_unused=True)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter -= lr * gradient


def test_losses_equal_the_formulas_over_20_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two copies train on four images in groups of 3 (so 2 and 2), one with the plain losses; all agree to 1e-9."""
    model = make_detector(make_recipe(norm_group=3)).double().train()
    twin = copy.deepcopy(model)
    batches = [[make_image(2 * number + k, k % 3) for k in range(number % 2, 4)] for number in range(2)]
    trained, gaps = [], []
    for number in range(20):
        torch.manual_seed(number)
        with monkeypatch.context() as patch:
            drawn = Record(patch)
            losses = model.compute_losses(batches[number % 2])
        plain = compute_plain_losses(twin, batches[number % 2], drawn, 3)
        assert losses.keys() == LOSSES
        gaps.append(max(abs(float(losses[name].detach() - plain[name].detach())) for name in LOSSES))
        trained.append([drawn.regions[image].num_positive for image in range(len(batches[number % 2]))])
        step(model, losses, 0.02)
        step(twin, plain, 0.02)
    assert max(gaps) < 1e-9, gaps
    drift = max(float((a - b).detach().abs().max()) for a, b in zip(model.parameters(), twin.parameters(), strict=True))
    assert drift < 1e-9
    assert sum(map(sum, trained)) > 40, "regions of objects were trained"


def test_proposal_losses_are_divided_by_the_asked_number() -> None:
    """Three anchors instead of the 16 that were asked for: the sums are divided by 16, and by the two images."""
    anchors = torch.tensor([[0.0, 0, 20, 20], [40, 40, 60, 60], [0, 40, 20, 60]])
    logits, deltas = torch.zeros(2, 3), torch.full((2, 3, 4), 0.25)
    sample = make_image(0, 1)
    found = ImageTargets(anchors[:1], torch.tensor([0]), sample.targets.masks)
    none = ImageTargets(anchors[:0], torch.tensor([], dtype=torch.long), [])
    samples = [sample._replace(targets=found), sample._replace(targets=none)]
    generators = [make_image_generator(0)] * 2
    losses = compute_proposal_losses(AnchorScores([anchors], [logits], [deltas]), samples, 16, generators)
    # six anchors with an entropy of log 2; one object, whose four numbers are all off by 0.25
    assert float(losses["loss_rpn_cls"]) == pytest.approx(6 * math.log(2) / 32)
    assert float(losses["loss_rpn_loc"]) == pytest.approx(4 * 0.25 / 32)


def test_groups_have_their_own_divisors() -> None:
    # images 0 and 2 are a group with 4 regions, 1 and 3 one with 12; each group is half of the images
    assert weigh_regions([1, 4, 3, 8], 2) == [0.125, 1 / 24, 0.125, 1 / 24]
    assert weigh_regions([1, 4, 3, 8], 8) == [1 / 16] * 4
    assert weigh_regions([2, 2, 1], 2) == [2 / 3 / 3, 1 / 3 / 2, 2 / 3 / 3]
    assert weigh_regions([0], 2) == [1.0]


def test_pieces_of_whole_groups_change_nothing() -> None:
    """Four images in groups of 2 at once, or in two pieces of one group each: equal losses and draws, to 1e-12."""
    models = [make_detector(make_recipe(norm_group=group)).double().train() for group in (2, 4)]
    for each in models:  # masks that are all 0 cost log 2 in every region
        each.mask_head.masks.weight.data.mul_(1000)
    model, samples = models[0], [make_image(item, 1 + item % 3) for item in range(4)]
    whole = model.compute_losses(samples)
    # item i of 4 belongs to group i % 2
    parts = [model.compute_losses(samples[group::2]) for group in range(2)]
    for name in LOSSES:
        assert float(whole[name]) == pytest.approx(sum(float(part[name]) for part in parts) / 2, rel=1e-12)
    whole, together = ({name: float(loss) for name, loss in each.compute_losses(samples).items()} for each in models)
    assert abs(together["loss_mask"] - whole["loss_mask"]) > 1e-4, "the group changes the number"
    assert together["loss_rpn_cls"] == pytest.approx(whole["loss_rpn_cls"], rel=1e-12)


def test_draws_follow_seed_and_image() -> None:
    kinds = torch.tensor([1, 0, -1, 0, 1, 1, 0, 0, 0, -1])

    def draw(seed: int, item: int) -> list[list[int]]:
        torch.manual_seed(seed)
        torch.rand(seed + item)  # numbers that others draw do not matter
        return [each.tolist() for each in sample_boxes(kinds, 4, 0.5, make_image_generator(item))]

    positive, negative = draw(3, 7)
    assert draw(3, 7) == [positive, negative]
    assert len({str(draw(seed, item)) for seed in range(4) for item in range(4)}) > 8
    assert len(set(positive)) == len(set(negative)) == 2
    assert set(positive) <= {0, 4, 5} and set(negative) <= {1, 3, 6, 7, 8}
    few = sample_boxes(torch.tensor([0, 1, 0]), 8, 0.25, make_image_generator(0))
    assert [sorted(each.tolist()) for each in few] == [[1], [0, 2]], "what there is, if there is less"


def test_boxes_are_matched_by_overlap() -> None:
    objects = torch.tensor([[0.0, 0, 10, 10], [100, 100, 102, 102]])
    # IoU 0.7, 0.5, 0.2 with the first object; 0.04 with the second, which has no better one
    boxes = torch.tensor([[0.0, 0, 10, 7], [0, 0, 10, 5], [0, 0, 10, 2], [95, 95, 105, 105]])
    anchors = match_boxes(boxes, objects, 0.3, 0.7, keep_best=True)
    assert anchors.kinds.tolist() == [1, -1, 0, 1] and anchors.objects[[0, 3]].tolist() == [0, 1]
    regions = match_boxes(boxes, objects, 0.5, 0.5, keep_best=False)
    assert regions.kinds.tolist() == [1, 1, 0, 0]
    assert match_boxes(boxes, objects[:0], 0.3, 0.7, keep_best=True).kinds.tolist() == [0] * 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": torch.tensor([[5.0, 5, 5, 9]])}, "training image 4 has an object whose box has no area"),
        ({"labels": torch.tensor([3])}, "training image 4 needs one label from 0 to 2 for each of its 1 objects"),
        ({"masks": None}, "training image 4 has 1 objects and 0 masks"),
    ],
)
def test_targets_that_cannot_be_trained(change: dict[str, Any], message: str) -> None:
    sample = make_image(4, 1)
    broken = sample._replace(targets=sample.targets._replace(**change))
    with pytest.raises(DataError, match=message):
        make_detector().compute_losses([broken])
    boxes_alone = ImageTargets(sample.targets.boxes, sample.targets.labels, None)
    require_valid_targets([sample._replace(targets=boxes_alone)], 3, has_masks=False)
