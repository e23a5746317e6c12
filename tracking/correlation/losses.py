"""The loss of the correlation network: focal loss on the score, GIoU and L1 loss on the boxes near the center."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tracking.correlation.network import CorrelationMaps
from tracking.models.losses import compute_giou_losses, cxcywh_to_xyxy, focal_loss
from tracking.models.targets import make_score_maps

MIN_HEAT = 0.1
"""Boxes are trained at the cells where the target of the score map is above this: the Gaussian's core."""
SCORE_RANGE = (1e-4, 1 - 1e-4)
"""The focal loss has logarithms of the score and of 1 - score."""


class CorrelationLoss(NamedTuple):
    """The parts of the loss, scalars; weighted as in OSTrack."""

    focal: Tensor
    giou: Tensor
    l1: Tensor

    def add_weighted(self) -> Tensor:
        """Return the loss that is minimized."""
        return self.focal + 2.0 * self.giou + 5.0 * self.l1


def compute_loss(maps: CorrelationMaps, boxes: Tensor) -> CorrelationLoss:
    """Compute the loss of a batch.

    Args:
        maps: the outputs of the network.
        boxes: x, y, width, height of the targets as fractions of the search crop's side, shape (batch, 4).
    """
    grid = maps.score.shape[-1]
    # make_score_maps takes the cell whose corner is nearest to the center; here it is the cell that holds the center
    shift = torch.tensor([0.5 / grid, 0.5 / grid, 0, 0], device=boxes.device)
    heat = make_score_maps(boxes - shift, grid)
    focal = focal_loss(maps.score.float().sigmoid().clamp(*SCORE_RANGE), heat)
    # cells beside the center's are trained too, in proportion to the heat, since tracking may choose one of them
    places = (heat > MIN_HEAT).nonzero(as_tuple=True)
    weights = heat[places] / heat[places].sum()
    predicted = cxcywh_to_xyxy(make_box_maps(maps)[places])
    truth = torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1).clamp(0, 1)[places[0]]
    giou, _ = compute_giou_losses(predicted, truth)
    l1 = (predicted - truth).abs().mean(1)
    return CorrelationLoss(focal, (giou * weights).sum(), (l1 * weights).sum())


def make_box_maps(maps: CorrelationMaps) -> Tensor:
    """Return the box that each cell predicts: center x, center y, width, height as fractions of the crop's side.

    Args:
        maps: the outputs of the network.

    Returns:
        Shape (batch, G, G, 4).
    """
    grid = maps.score.shape[-1]
    line = torch.arange(grid, device=maps.score.device) + 0.5
    cells = torch.stack(torch.meshgrid(line, line, indexing="xy"))  # x, then y
    return torch.cat([(cells + maps.offset.float()) / grid, maps.size.float()], 1).permute(0, 2, 3, 1)


def compute_overlaps(maps: CorrelationMaps, boxes: Tensor) -> Tensor:
    """Return the IoU of the box at the cell with the highest score with the true box, within the crop.

    Args:
        maps: the outputs of the network.
        boxes: x, y, width, height of the targets as fractions of the search crop's side, shape (batch, 4).

    Returns:
        Shape (batch,).
    """
    cells = maps.score.flatten(1).argmax(1)
    best = make_box_maps(maps).flatten(1, 2)[torch.arange(len(cells)), cells]
    truth = torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1).clamp(0, 1)
    return compute_giou_losses(cxcywh_to_xyxy(best), truth)[1]
