"""Mask R-CNN on any backbone, in the form that mmengine's Runner expects of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmengine.model import BaseModel
from torch import Tensor
from torchvision.ops import batched_nms

from backbones.card import BackboneCard
from backbones.create import CreatedBackbone, create_backbone
from detection.data.samples import ImageDetections, InferenceImage, TrainingImage
from detection.models.backbone import DetectionBackbone, build_pyramid, choose_backbone_kwargs
from detection.models.boxes import REGION_WEIGHTS, apply_deltas, clip_boxes, find_nonempty, keep_precision
from detection.models.input_batch import make_square_batch
from detection.models.paste import paste_masks
from detection.models.proposals import AnchorScores, ProposalNetwork
from detection.models.region_training import (
    compute_mask_losses,
    compute_proposal_losses,
    compute_region_losses,
    require_valid_targets,
    sample_regions,
)
from detection.models.regions import BOX_SIDE, MASK_SIDE, BoxHead, MaskHead, RegionPooler, count_pooled_levels
from detection.models.sampling import make_image_generator
from detection.recipe import DetectionInference, DetectionRecipe


class ChosenBoxes(NamedTuple):
    """The detections of an image within the network's input, in the order of falling scores.

    Attributes:
        boxes: left, top, right, bottom in pixels of the input, (n, 4).
        scores: (n,).
        labels: category indices from 0, (n,).
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


class Detector(BaseModel):
    """A backbone, a pyramid, a proposal network, and heads for boxes and masks.

    Args:
        backbone: the trunk.
        recipe: the settings.
        num_classes: number of categories.
        has_masks: whether there is a mask head.
        mean: mean of each channel, for pixels from 0 to 1.
        std: standard deviation of each channel, for pixels from 0 to 1.

    Attributes:
        backbone, pyramid, proposal_network, pooler, box_head, mask_head: the parts; ``mask_head`` may be ``None``.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: DetectionBackbone,
        recipe: DetectionRecipe,
        num_classes: int,
        has_masks: bool,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.recipe, self.num_classes = recipe, num_classes
        settings = recipe.model
        self.backbone = backbone
        self.pyramid = build_pyramid(backbone, settings.channels)
        self.proposal_network = ProposalNetwork(
            settings.channels, settings.rpn_convs, self.pyramid.strides, settings.proposals
        )
        self.num_pooled = count_pooled_levels(self.pyramid.strides)
        self.pooler = RegionPooler(self.pyramid.strides[: self.num_pooled])
        self.box_head = BoxHead(settings.channels, settings.box_convs, settings.box_channels, num_classes)
        self.mask_head = MaskHead(settings.channels, settings.mask_convs, num_classes) if has_masks else None
        # not persistent: the card of the backbone defines them, and a weights file must not overwrite them
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values), persistent=False)

    def forward(self, samples: Any, mode: str = "tensor") -> Any:
        """Process a batch.

        Args:
            samples: a list of ``TrainingImage`` in the mode ``loss``, of ``InferenceImage`` in ``predict``; normalized
                images (batch, 3, size, size) in ``tensor``.
            mode: ``tensor``, ``loss`` or ``predict``, as mmengine names them.

        Returns:
            The losses by name in ``loss``, a list of ``ImageDetections`` in ``predict``; in ``tensor`` all outputs for
            as many regions as inference may have, whose features are zeros: it serves to count operations.
        """
        if mode == "loss":
            return self.compute_losses(samples)
        if mode == "predict":
            return self.detect_objects(samples)
        return self._run_all_heads(samples)

    def compute_levels(self, images: Tensor) -> list[Tensor]:
        """Compute the pyramid of normalized images (batch, 3, size, size): p2 to p6, fine to coarse."""
        levels: list[Tensor] = self.pyramid(self.backbone(images))
        return levels

    def compute_losses(self, samples: Sequence[TrainingImage]) -> dict[str, Tensor]:
        """Compute the losses of a batch, which is one micro-batch of whole normalization groups.

        Args:
            samples: augmented images; images without objects are trained as background.

        Raises:
            DataError: an object that cannot be trained, or an image larger than the square.
        """
        require_valid_targets(samples, self.num_classes, self.mask_head is not None)
        settings, group = self.recipe.model.proposals, self.recipe.norm_group
        levels = self.compute_levels(self.make_batch([sample.image for sample in samples]))
        scores = self.proposal_network(levels)
        generators = [make_image_generator(int(sample.item)) for sample in samples]
        losses = compute_proposal_losses(scores, samples, settings.sampled_anchors, generators)
        # proposals are taken as they are: no gradient flows through their corners
        proposals = self.proposal_network.propose_boxes(scores, [get_image_size(each.image) for each in samples])
        with torch.no_grad():
            regions = [
                sample_regions(boxes, sample.targets, self.num_classes, settings.sampled_regions, generator)
                for boxes, sample, generator in zip(proposals, samples, generators, strict=True)
            ]
        logits, deltas = self.box_head(self._pool(levels, [each.boxes for each in regions], BOX_SIDE))
        losses |= compute_region_losses(logits, deltas, regions, samples, group)
        if self.mask_head is not None:
            # masks are learned in the regions of objects alone
            positive = [each.boxes[: each.num_positive] for each in regions]
            masks = self.mask_head(self._pool(levels, positive, MASK_SIDE))
            losses |= compute_mask_losses(masks, regions, samples, group)
        return losses

    @torch.no_grad()
    def detect_objects(self, samples: Sequence[InferenceImage]) -> list[ImageDetections]:
        """Detect the objects of images, in pixels of the originals.

        They are computed one after the other: sums over a batch are rounded otherwise than those over an image, so the
        detections would depend on how many images a machine takes at once.

        Args:
            samples: resized images.
        """
        return [self._detect_in_image(sample) for sample in samples]

    def _detect_in_image(self, sample: InferenceImage) -> ImageDetections:
        levels = self.compute_levels(self.make_batch([sample.image]))
        scores = self.proposal_network(levels)
        size = get_image_size(sample.image)
        proposals = self.proposal_network.propose_boxes(scores, [size])
        logits, deltas = self.box_head(self._pool(levels, proposals, BOX_SIDE))
        chosen = choose_boxes(proposals[0], logits, deltas, size, self.recipe.test)
        # masks are computed for the detections, not for all proposals, in the refined boxes
        masks = self._segment_regions(levels, chosen)
        return make_image_detections(sample, chosen, masks, _are_finite(levels, scores, (logits, deltas)))

    def _segment_regions(self, levels: Sequence[Tensor], chosen: ChosenBoxes) -> Tensor | None:
        """Return the probabilities of each detection's mask, (n, side, side), if there is a head."""
        if self.mask_head is None:
            return None
        maps = keep_precision(self.mask_head(self._pool(levels, [chosen.boxes], MASK_SIDE)))
        return maps[torch.arange(len(maps), device=maps.device), chosen.labels].sigmoid()

    def make_batch(self, images: Sequence[Tensor]) -> Tensor:
        """Return the square batch of resized images, uint8 RGB (3, height, width) each."""
        return make_square_batch(images, self.recipe.size, self.mean, self.std)

    def _pool(self, levels: Sequence[Tensor], boxes: Sequence[Tensor], side: int) -> Tensor:
        features: Tensor = self.pooler(levels[: self.num_pooled], boxes, side)
        return features

    def _run_all_heads(self, images: Tensor) -> tuple[Any, ...]:
        """Return all outputs; the box head sees as many regions as proposals are kept, the mask head as detections."""
        levels = self.compute_levels(images)
        channels, counts = levels[0].shape[1], (self.recipe.model.proposals.per_image[1], self.recipe.test.per_image)
        scores = self.proposal_network(levels)
        boxes = self.box_head(levels[0].new_zeros(counts[0] * len(images), channels, BOX_SIDE, BOX_SIDE))
        if self.mask_head is None:
            return scores, boxes
        features = levels[0].new_zeros(counts[1] * len(images), channels, MASK_SIDE, MASK_SIDE)
        return scores, boxes, self.mask_head(features)


def _are_finite(levels: Sequence[Tensor], scores: AnchorScores, outputs: Sequence[Tensor]) -> bool:
    """Return whether what the network computed is finite: maps, anchors, and the box head's outputs."""
    parts = (*levels, *scores.logits, *scores.deltas, *outputs)
    return all(bool(each.isfinite().all()) for each in parts)


def get_image_size(image: Tensor) -> tuple[int, int]:
    """Return height and width of an image (3, height, width) in pixels."""
    return int(image.shape[1]), int(image.shape[2])


def choose_boxes(
    proposals: Tensor, logits: Tensor, deltas: Tensor, size: tuple[int, int], settings: DetectionInference
) -> ChosenBoxes:
    """Choose the detections of an image: decode, drop low scores, drop overlaps class by class, keep the best.

    Args:
        proposals: left, top, right, bottom in pixels, (n, 4).
        logits: (n, classes + 1), background last.
        deltas: encoded boxes, (n, classes, 4).
        size: height and width of the image in pixels, without its padding.
        settings: thresholds and the largest number of detections.
    """
    scores = keep_precision(logits).softmax(1)[:, :-1]
    boxes = clip_boxes(apply_deltas(proposals[:, None], deltas, REGION_WEIGHTS), size)
    # a score of NaN is not higher either
    rows, labels = ((scores > settings.min_score) & boxes.isfinite().all(2)).nonzero(as_tuple=True)
    scores, boxes = scores[rows, labels], boxes[rows, labels]
    kept = batched_nms(boxes, scores, labels, settings.nms_iou)[: settings.per_image]
    return ChosenBoxes(boxes[kept], scores[kept], labels[kept])


def make_image_detections(
    sample: InferenceImage, found: ChosenBoxes, masks: Tensor | None, is_finite: bool
) -> ImageDetections:
    """Scale the detections of an image to its original size; those that vanish at its border are dropped.

    Args:
        sample: the image.
        found: its detections.
        masks: probability of each cell of each detection, (n, side, side), if there are masks.
        is_finite: whether all outputs were finite.
    """
    (height, width), (rows, columns) = sample.original_size, get_image_size(sample.image)
    # height and width were rounded one by one, so their factors differ a little
    factors = found.boxes.new_tensor([width / columns, height / rows] * 2)
    boxes = clip_boxes(found.boxes * factors, sample.original_size)
    kept = find_nonempty(boxes)
    boxes = boxes[kept].float().cpu()
    packed = None
    if masks is not None:
        packed = paste_masks(masks[kept].float().cpu().numpy(), boxes.numpy(), sample.original_size)
    return ImageDetections(
        sample.item, boxes, found.scores[kept].float().cpu(), found.labels[kept].cpu(), packed, is_finite
    )


def build_detector(
    recipe: DetectionRecipe,
    card: BackboneCard,
    num_classes: int,
    has_masks: bool,
    created: CreatedBackbone | None = None,
    checkpoint: str | None = None,
) -> Detector:
    """Build the detector of a recipe: the backbone with its weights, everything else with random initialization.

    Args:
        recipe: the settings.
        card: the backbone.
        num_classes: number of categories.
        has_masks: whether the data set has masks; if not, there is no mask head.
        created: the backbone itself, where it was made before. A plain ViT must have been made for its card's own
            size, since it keeps the positions of its pre-training; other backbones for ``recipe.size``
            (``choose_backbone_kwargs``).
        checkpoint: path of a weight file, ``"random"``, or ``None`` (the card decides), if ``created`` is not given.

    Raises:
        UserError: no pyramid can be built on the backbone.
    """
    if created is None:
        created = create_backbone(card, checkpoint=checkpoint, **choose_backbone_kwargs(recipe, card))
    backbone = DetectionBackbone(created, recipe.size, recipe.model, recipe.frozen)
    return Detector(backbone, recipe, num_classes, has_masks, card.mean, card.std)
