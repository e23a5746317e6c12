"""The settings of a detection protocol: training, augmentation, inference and model. Imports no torch."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from engine.recipe import StrictConfig, TrainingRecipe
from engine.settings.setting_types import BatchSize, Channels, Count, CountOrZero, Depth, Fraction, LayerIndex, Side


class DetectionAugmentation(StrictConfig):
    """How a training image is augmented: flip, large-scale jitter, crop, as in ViTDet (arXiv 2203.16527).

    Attributes:
        flip: probability of a left-right flip.
        scale: smallest and largest factor; the image is resized to fit into a square of ``size`` times the factor.
    """

    flip: Fraction = 0.5
    scale: list[Annotated[float, Field(ge=0.01, le=100)]] = Field(default=[0.1, 2.0], min_length=2, max_length=2)


class ProposalSettings(StrictConfig):
    """How many region proposals are kept, and which count as objects in training.

    Attributes:
        per_level: proposals of each pyramid level before non-maximum suppression: in training and in inference.
        per_image: proposals of an image after it: in training and in inference.
        nms_iou: a proposal that overlaps a better one by more is dropped.
        sampled_anchors: anchors of an image whose loss is computed, at most half of them objects.
        sampled_regions: regions of an image whose loss is computed, at most a quarter of them objects.
    """

    per_level: list[Count] = Field(default=[2000, 1000], min_length=2, max_length=2)
    per_image: list[Count] = Field(default=[1000, 1000], min_length=2, max_length=2)
    nms_iou: Fraction = 0.7
    sampled_anchors: Count = 256
    sampled_regions: Count = 512


class DetectorSettings(StrictConfig):
    """The network around the backbone; the defaults are ViTDet's.

    Attributes:
        window: side of the attention windows of a plain ViT, in patches; 0: every block attends globally.
        global_blocks: indices, from 0, of the blocks of a plain ViT that attend globally; ``None``: the last block of
            each quarter, 2, 5, 8 and 11 of 12.
        rel_pos: whether decomposed relative positions, zero at the start, are added to the attention of a plain ViT.
        channels: of the pyramid and of the convolutions of the heads.
        rpn_convs: convolutions of the region proposal network.
        box_convs: convolutions of the box head.
        box_channels: width of the fully connected layer of the box head.
        mask_convs: convolutions of the mask head.
        proposals: see ``ProposalSettings``.
    """

    window: CountOrZero = 14
    global_blocks: list[LayerIndex] | None = Field(default=None, min_length=0, max_length=100)
    rel_pos: bool = True
    channels: Channels = 256
    rpn_convs: Depth = 2
    box_convs: Depth = 4
    box_channels: Channels = 1024
    mask_convs: Depth = 4
    proposals: ProposalSettings = ProposalSettings()

    @field_validator("global_blocks")
    @classmethod
    def _sort_blocks(cls, blocks: list[int] | None) -> list[int] | None:
        # the same blocks in another order are the same network, and so the same id
        return None if blocks is None else sorted(set(blocks))


class DetectionInference(StrictConfig):
    """How detections are chosen, at one scale, without flips.

    Attributes:
        min_score: a detection must have a higher score.
        nms_iou: of two detections of a class that overlap by more, the one with the lower score is dropped.
        per_image: largest number of detections of an image. COCO's metric counts 100.
    """

    min_score: Fraction = 0.05
    nms_iou: Fraction = 0.5
    per_image: Count = 100


class DetectionRecipe(TrainingRecipe):
    """Adds input size, augmentation, model and inference to a training recipe.

    Attributes:
        size: side of the square that images are padded to in training and in inference, pixels.
        norm_group: images whose losses are normalized together; in the papers, the 8 images of each of their 8 GPUs.
        drop_path: drop-path rate (stochastic depth) of the last block, 0 to below 1.
        frozen: whether the backbone stays untrained and in eval mode.
        train: augmentation of training images.
        model: the network around the backbone.
        test: how detections are chosen.
    """

    NON_IDENTITY_FIELDS: ClassVar[frozenset[str]] = TrainingRecipe.NON_IDENTITY_FIELDS

    size: Side
    norm_group: BatchSize = 8
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    frozen: bool = False
    train: DetectionAugmentation = DetectionAugmentation()
    model: DetectorSettings = DetectorSettings()
    test: DetectionInference = DetectionInference()

    @property
    def draws_per_piece(self) -> bool:
        """Whether each micro-batch draws random numbers of its own; anchors and regions are drawn image by image."""
        return self.drop_path > 0

    def explain_idle_settings(self) -> dict[str, str]:
        """Return why some settings have no effect beside the others, by dotted name."""
        idle = super().explain_idle_settings()
        if self.frozen:
            # eval mode drops no paths, and these rates are the backbone's alone
            for name in ("drop_path", "optimizer.layer_decay", "optimizer.swin_layers", "optimizer.backbone_scale"):
                idle[name] = "the backbone is frozen (frozen=true)"
            # tables that start at zero and are not trained add zero
            idle["model.rel_pos"] = "the backbone is frozen (frozen=true), and the tables start at zero"
        if self.model.window == 0:
            idle["model.global_blocks"] = "there are no windows (model.window=0): all blocks attend globally"
        return idle

    @model_validator(mode="after")
    def _check_length_and_scale(self) -> DetectionRecipe:
        if self.epochs is not None:  # images without objects are left out, so an epoch has fewer than the report says
            raise ValueError("a detection training is counted in iterations; set iterations and not epochs")
        low, high = self.train.scale
        if low > high:
            raise ValueError(f"train.scale {low:g} to {high:g} falls; give the smaller factor first")
        return self


DetectionKind = Literal["bbox", "segm"]
"""What is compared with the truth: boxes or masks."""
