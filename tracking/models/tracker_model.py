"""The tracker's network, as mmengine's Runner wants a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from mmengine.dist import all_reduce
from mmengine.model import BaseModel
from torch import Tensor, nn

from tracking.models.candidate_elimination import CandidateElimination
from tracking.models.center_head import CenterHead, HeadMaps, decode_boxes, gather_boxes
from tracking.models.losses import cxcywh_to_xyxy, focal_loss, giou_loss
from tracking.models.one_stream_vit import OneStreamViT, TemplateKV
from tracking.models.targets import find_center_cells, make_score_maps

BoxLossCell = Literal["predicted", "center"]


class LossWeights(NamedTuple):
    """Weights of the three losses; OSTrack's by default."""

    focal: float = 1.0
    giou: float = 2.0
    l1: float = 5.0


OSTRACK_LOSS_WEIGHTS = LossWeights()


class PairOutcome(NamedTuple):
    """One pair as predicted: its number and the IoU with the truth, in the crop."""

    pair_index: int
    iou: float


class TrackerModel(BaseModel):
    """A plain ViT over template and search region, and a centre head.

    Args:
        vit: timm model, as ``create_backbone`` made it.
        template_size, search_size: sides of the crops, pixels.
        mean, std: per channel, of pixels in 0..1.
        head_channels: of the head's first convolution.
        candidate_elimination: candidate elimination, or ``None``.
        asymmetric_attention: the template attends to itself only and can be remembered.
        box_loss_cell: where size and offset are taught: at the best cell ``predicted`` (OSTrack) or at that of the true
            ``centre``.
        loss_weights: of the losses.

    Raises:
        UserError: the backbone cannot be a one-stream tracker.
    """

    mean: Tensor
    std: Tensor
    skipped: Tensor

    def __init__(
        self,
        vit: nn.Module,
        template_size: int,
        search_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        head_channels: int = 256,
        candidate_elimination: CandidateElimination | None = None,
        asymmetric_attention: bool = False,
        box_loss_cell: BoxLossCell = "predicted",
        loss_weights: LossWeights = OSTRACK_LOSS_WEIGHTS,
    ) -> None:
        super().__init__()
        blocks = tuple(candidate_elimination.blocks) if candidate_elimination else ()
        self.backbone = OneStreamViT(vit, template_size, search_size, blocks, asymmetric_attention)
        self.head = CenterHead(self.backbone.embed_dim, head_channels)
        self.candidate_elimination = candidate_elimination
        self.train_keep_ratio = 1.0
        self.box_loss_cell = box_loss_cell
        self.loss_weights = loss_weights
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)
        # frames that could not be read, while training: in the weights file, so that a resumed run keeps its count
        self.register_buffer("skipped", torch.zeros((), dtype=torch.long))

    def normalize_images(self, images: Tensor) -> Tensor:
        """Pixels 0..255 of any type as the backbone wants them."""
        return (images.float() / 255 - self.mean) / self.std

    def forward(
        self,
        template: Tensor,
        search: Tensor,
        box: Tensor | None = None,
        item: Tensor | None = None,
        skipped: Tensor | None = None,
        mode: str = "tensor",
    ) -> Any:
        """One batch of pairs.

        Args:
            template, search: (N, 3, side, side); pixels 0..255, or normalised floats where ``mode`` is ``tensor``.
            box: (N, 4) x, y, w, h of the target, as shares of the search crop.
            item: (N,) numbers of the pairs.
            skipped: (N,) frames passed over to make each pair.
            mode: ``tensor`` gives ``HeadMaps``, ``loss`` the losses, ``predict`` a list of ``PairOutcome``.
        """
        if mode == "tensor":
            return self._compute_maps(template, search)
        assert box is not None
        maps = self._compute_maps(self.normalize_images(template), self.normalize_images(search))
        if mode == "loss":
            if skipped is not None:
                count = skipped.sum()
                all_reduce(count)  # every process counts all of them
                self.skipped += count
            return self._compute_losses(maps, box)
        assert item is not None
        predicted = cxcywh_to_xyxy(decode_boxes(maps.score, maps))
        overlap = giou_loss(predicted, _xywh_to_clamped_xyxy(box))[1]
        return [PairOutcome(*row) for row in zip(item.tolist(), overlap.tolist(), strict=True)]

    def encode_template(self, template: Tensor) -> list[TemplateKV]:
        """A template's part of the network, normalised template in (where it attends to itself only)."""
        return self.backbone.encode_template(template)

    def forward_cached(self, template_kv: list[TemplateKV], search: Tensor) -> HeadMaps:
        """The maps for a remembered template and a normalised search region."""
        self._set_keep_ratio()
        return self._apply_head(self.backbone.forward_cached(template_kv, search))

    def _compute_maps(self, template: Tensor, search: Tensor) -> HeadMaps:
        self._set_keep_ratio()
        return self._apply_head(self.backbone(template, search))

    def _set_keep_ratio(self) -> None:
        if self.candidate_elimination is not None:
            self.backbone.keep_ratio = self.train_keep_ratio if self.training else self.candidate_elimination.keep_ratio

    def _apply_head(self, tokens: Tensor) -> HeadMaps:
        grid = self.backbone.search_grid
        maps: HeadMaps = self.head(tokens.transpose(1, 2).reshape(len(tokens), -1, grid, grid))
        return maps

    def _compute_losses(self, maps: HeadMaps, box: Tensor) -> dict[str, Tensor]:
        grid = maps.score.shape[-1]
        if self.box_loss_cell == "center":
            cells = find_center_cells(box, grid).clamp(0, grid - 1)
            predicted = gather_boxes(cells[:, 1] * grid + cells[:, 0], maps)
        else:
            predicted = decode_boxes(maps.score, maps)
        corners, truth = cxcywh_to_xyxy(predicted), _xywh_to_clamped_xyxy(box)
        giou, overlap = giou_loss(corners, truth)
        # mmengine adds up what has "loss" in its name; the IoU is for the eye
        return {
            "loss_focal": self.loss_weights.focal * focal_loss(maps.score, make_score_maps(box, grid)),
            "loss_giou": self.loss_weights.giou * giou,
            "loss_l1": self.loss_weights.l1 * (corners - truth).abs().mean(),
            "iou": overlap.mean().detach(),
        }


def _xywh_to_clamped_xyxy(box: Tensor) -> Tensor:
    """Corners of x, y, w, h boxes, clamped to the crop."""
    return torch.cat([box[:, :2], box[:, :2] + box[:, 2:]], 1).clamp(0, 1)
