"""The tracker's network, as mmengine's Runner wants a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from mmengine.dist import all_reduce
from mmengine.model import BaseModel
from torch import Tensor, nn

from tracking.models.candidate_elimination import Elimination
from tracking.models.center_head import CentreHead, HeadMaps, boxes_at, decode
from tracking.models.losses import corners_of, focal_loss, giou_loss
from tracking.models.one_stream_vit import OneStream, Remembered
from tracking.models.targets import centre_cells, score_maps

Supervise = Literal["predicted", "centre"]


class LossWeights(NamedTuple):
    """Weights of the three losses; OSTrack's by default."""

    focal: float = 1.0
    giou: float = 2.0
    l1: float = 5.0


OSTRACK_WEIGHTS = LossWeights()


class PairOutcome(NamedTuple):
    """One pair as predicted: its number and the IoU with the truth, in the crop."""

    item: int
    iou: float


class TrackerModel(BaseModel):
    """A plain ViT over template and search region, and a centre head.

    Args:
        vit: timm model, as ``create_backbone`` made it.
        template_size, search_size: sides of the crops, pixels.
        mean, std: per channel, of pixels in 0..1.
        head_channels: of the head's first convolution.
        elimination: candidate elimination, or ``None``.
        own_template: the template attends to itself only and can be remembered.
        supervise: where size and offset are taught: at the best cell ``predicted`` (OSTrack) or at that of the true
            ``centre``.
        weights: of the losses.

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
        elimination: Elimination | None = None,
        own_template: bool = False,
        supervise: Supervise = "predicted",
        weights: LossWeights = OSTRACK_WEIGHTS,
    ) -> None:
        super().__init__()
        blocks = tuple(elimination.blocks) if elimination else ()
        self.backbone = OneStream(vit, template_size, search_size, blocks, own_template)
        self.head = CentreHead(self.backbone.width, head_channels)
        self.elimination = elimination
        self.training_keep = 1.0
        self.supervise = supervise
        self.weights = weights
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)
        # frames that could not be read, while training: in the weights file, so that a resumed run keeps its count
        self.register_buffer("skipped", torch.zeros((), dtype=torch.long))

    def normalised(self, images: Tensor) -> Tensor:
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
            return self._maps(template, search)
        assert box is not None
        maps = self._maps(self.normalised(template), self.normalised(search))
        if mode == "loss":
            if skipped is not None:
                count = skipped.sum()
                all_reduce(count)  # every process counts all of them
                self.skipped += count
            return self._losses(maps, box)
        assert item is not None
        predicted = corners_of(decode(maps.score, maps))
        overlap = giou_loss(predicted, _truth(box))[1]
        return [PairOutcome(*row) for row in zip(item.tolist(), overlap.tolist(), strict=True)]

    def remember(self, template: Tensor) -> list[Remembered]:
        """A template's part of the network, normalised template in (where it attends to itself only)."""
        return self.backbone.remember(template)

    def recall(self, memory: list[Remembered], search: Tensor) -> HeadMaps:
        """The maps for a remembered template and a normalised search region."""
        self._set_keep()
        return self._head(self.backbone.recall(memory, search))

    def _maps(self, template: Tensor, search: Tensor) -> HeadMaps:
        self._set_keep()
        return self._head(self.backbone(template, search))

    def _set_keep(self) -> None:
        if self.elimination is not None:
            self.backbone.keep = self.training_keep if self.training else self.elimination.keep

    def _head(self, tokens: Tensor) -> HeadMaps:
        grid = self.backbone.search_grid
        maps: HeadMaps = self.head(tokens.transpose(1, 2).reshape(len(tokens), -1, grid, grid))
        return maps

    def _losses(self, maps: HeadMaps, box: Tensor) -> dict[str, Tensor]:
        grid = maps.score.shape[-1]
        if self.supervise == "centre":
            cells = centre_cells(box, grid).clamp(0, grid - 1)
            predicted = boxes_at(cells[:, 1] * grid + cells[:, 0], maps)
        else:
            predicted = decode(maps.score, maps)
        corners, truth = corners_of(predicted), _truth(box)
        giou, overlap = giou_loss(corners, truth)
        # mmengine adds up what has "loss" in its name; the IoU is for the eye
        return {
            "loss_focal": self.weights.focal * focal_loss(maps.score, score_maps(box, grid)),
            "loss_giou": self.weights.giou * giou,
            "loss_l1": self.weights.l1 * (corners - truth).abs().mean(),
            "iou": overlap.mean().detach(),
        }


def _truth(box: Tensor) -> Tensor:
    """Corners of x, y, w, h boxes, clamped to the crop."""
    return torch.cat([box[:, :2], box[:, :2] + box[:, 2:]], 1).clamp(0, 1)
