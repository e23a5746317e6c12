"""The region proposal network (arXiv 1506.01497): anchors, objectness, and the boxes that it proposes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import batched_nms

from detection.models.boxes import PROPOSAL_WEIGHTS, apply_deltas, clip_boxes, find_nonempty, keep_precision
from detection.recipe import ProposalSettings

ASPECT_RATIOS = (0.5, 1.0, 2.0)
"""Height divided by width of the three anchors of a cell."""

_ANCHOR_STRIDES = 8
"""Side of an anchor in strides of its level: 32 px at stride 4, 512 px at stride 64."""


class AnchorScores(NamedTuple):
    """What the network says of each anchor.

    Attributes:
        anchors: left, top, right, bottom in pixels of the batch's square, of each level (anchors, 4).
        logits: of being an object, of each level (batch, anchors).
        deltas: encoded boxes, of each level (batch, anchors, 4).
    """

    anchors: list[Tensor]
    logits: list[Tensor]
    deltas: list[Tensor]


def make_anchors(rows: int, columns: int, stride: float, side: float, like: Tensor) -> Tensor:
    """Make the anchors of a level: three of equal area around the top left corner of each cell.

    They are not rounded, as in detectron2. Torchvision rounds them: to 46 x 22 px instead of 45.3 x 22.6.

    Args:
        rows: of the level.
        columns: of the level.
        stride: of the level in pixels.
        side: root of the area of an anchor in pixels.
        like: gives type (at least 32 bits) and device.

    Returns:
        Left, top, right, bottom, (rows * columns * 3, 4): cell by cell, and in a cell from wide to tall.
    """
    ratios = torch.tensor(ASPECT_RATIOS, dtype=keep_precision(like).dtype, device=like.device)
    # w h = side^2 and h / w = ratio
    widths = side / ratios.sqrt()
    halves = torch.stack([widths, widths * ratios], 1) / 2
    # centers lie at the top left corners of the cells, as detectron2's (offset 0)
    y, x = torch.meshgrid(
        torch.arange(rows, dtype=halves.dtype, device=like.device) * stride,
        torch.arange(columns, dtype=halves.dtype, device=like.device) * stride,
        indexing="ij",
    )
    centers = torch.stack([x, y], -1)[:, :, None]
    return torch.cat([centers - halves, centers + halves], -1).flatten(0, 2)


class ProposalNetwork(nn.Module):
    """Scores anchors on all levels of a pyramid, and proposes boxes.

    Args:
        channels: of the levels.
        convs: 3x3 convolutions, each followed by ReLU.
        strides: of the levels in pixels.
        settings: how many proposals are kept.
    """

    def __init__(self, channels: int, convs: int, strides: Sequence[float], settings: ProposalSettings) -> None:
        super().__init__()
        # all weights normal with a deviation of 0.01, all biases 0
        self.head = RPNHead(channels, len(ASPECT_RATIOS), conv_depth=convs)
        self.strides, self.settings = list(strides), settings
        # a patch of 14 px has anchors of the same sizes as one of 16 px: they follow the nearest power of two
        self.sides = [_ANCHOR_STRIDES * 2.0 ** round(math.log2(each)) for each in strides]

    def forward(self, levels: Sequence[Tensor]) -> AnchorScores:
        """Score the anchors.

        Args:
            levels: of the pyramid, each (batch, channels, rows, columns).
        """
        logits, deltas = self.head(list(levels))
        anchors = [
            make_anchors(int(level.shape[2]), int(level.shape[3]), stride, side, level)
            for level, stride, side in zip(levels, self.strides, self.sides, strict=True)
        ]
        # channels are (anchor) and (anchor, number): brought into the order of the anchors, cell by cell
        return AnchorScores(
            anchors,
            [each.permute(0, 2, 3, 1).flatten(1) for each in logits],
            [each.permute(0, 2, 3, 1).unflatten(3, (-1, 4)).flatten(1, 3) for each in deltas],
        )

    @torch.no_grad()
    def propose_boxes(self, scores: AnchorScores, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Choose the proposals of each image: the best of each level, without those that overlap a better one.

        Args:
            scores: of the anchors.
            sizes: height and width of each image in pixels, without its padding.

        Returns:
            For each image boxes in the order of falling scores, left, top, right, bottom in pixels, (n, 4).
        """
        # the settings name the numbers of training first
        which = 0 if self.training else 1
        per_level, per_image = self.settings.per_level[which], self.settings.per_image[which]
        boxes, logits, levels = [], [], []
        for level, (anchors, score, deltas) in enumerate(zip(*scores, strict=True)):
            # a stable order, because equal scores are common: all cells of the padding look alike
            best, order = keep_precision(score).sort(dim=1, descending=True, stable=True)
            order = order[:, :per_level]
            picked = deltas.gather(1, order[..., None].expand(-1, -1, 4))
            boxes.append(apply_deltas(anchors[order], picked, PROPOSAL_WEIGHTS))
            logits.append(best[:, :per_level])
            levels.append(torch.full_like(order[0], level))
        number = torch.cat(levels)
        found = []
        for box, score, size in zip(torch.cat(boxes, 1), torch.cat(logits, 1), sizes, strict=True):
            clipped = clip_boxes(box, size)
            valid = find_nonempty(clipped) & score.isfinite()
            # boxes of different levels do not suppress each other
            kept = batched_nms(clipped[valid], score[valid], number[valid], self.settings.nms_iou)[:per_image]
            found.append(clipped[valid][kept])
        return found
