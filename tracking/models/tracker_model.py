"""The tracker's network with its losses, in the form that mmengine's Runner expects of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from mmengine.dist import all_reduce
from mmengine.model import BaseModel
from torch import Tensor, nn

from tracking.models.candidate_elimination import CandidateElimination
from tracking.models.center_head import BestCell, CenterHead, HeadMaps, decode_boxes, gather_boxes
from tracking.models.losses import average_group_loss, cxcywh_to_xyxy, giou_loss
from tracking.models.norm_groups import DEFAULT_NORM_GROUP
from tracking.models.one_stream_vit import OneStreamViT, TemplateKV
from tracking.models.targets import find_center_cells, make_score_maps

BoxLossCell = Literal["predicted", "center"]


class LossWeights(NamedTuple):
    """Weights of the three losses; the defaults are those of OSTrack."""

    focal: float = 1.0
    giou: float = 2.0
    l1: float = 5.0


OSTRACK_LOSS_WEIGHTS = LossWeights()


class PairOutcome(NamedTuple):
    """The prediction for one pair: its index, and the IoU of the predicted box with the true one within the crop."""

    pair_index: int
    iou: float


class TrackerModel(BaseModel):
    """A plain ViT over template and search region, followed by a center head.

    Args:
        vit: timm model as ``create_backbone`` returns it.
        template_size: side length of the template crop in pixels.
        search_size: side length of the search crop in pixels.
        mean: mean of each channel, for pixels from 0 to 1.
        std: standard deviation of each channel, for pixels from 0 to 1.
        head_channels: output channels of the head's first convolutions.
        candidate_elimination: settings of candidate elimination, or ``None`` to keep all tokens.
        asymmetric_attention: let the template attend only to itself, so that it can be encoded once.
        box_loss_cell: the cell at which size and offset are trained: the ``predicted`` cell with the highest score (as
            in OSTrack), or the cell of the true ``center``.
        loss_weights: weights of the losses.
        norm_group: largest number of pairs whose batch-norm statistics and loss normalization belong together.

    Attributes:
        train_keep_ratio: fraction of the search tokens that remains in training; ``CandidateEliminationHook`` sets it.
        skipped: number of frames that could not be read in training, over all processes.

    Raises:
        UserError: the backbone does not fit into a one-stream tracker.
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
        norm_group: int = DEFAULT_NORM_GROUP,
    ) -> None:
        super().__init__()
        blocks = tuple(candidate_elimination.blocks) if candidate_elimination else ()
        self.backbone = OneStreamViT(vit, template_size, search_size, blocks, asymmetric_attention)
        self.head = CenterHead(self.backbone.embed_dim, head_channels, norm_group)
        self.candidate_elimination = candidate_elimination
        self.train_keep_ratio = 1.0
        self.box_loss_cell = box_loss_cell
        self.loss_weights, self.norm_group = loss_weights, norm_group
        # not persistent: the card of the backbone defines them, and a weights file must not overwrite them
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)
        # a buffer of the weights file, so that a resumed run continues its count
        self.register_buffer("skipped", torch.zeros((), dtype=torch.long))

    def normalize_images(self, images: Tensor) -> Tensor:
        """Convert pixels from 0..255 of any type to the normalized floats that the backbone expects.

        Args:
            images: shape (batch, 3, height, width).
        """
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
        """Process a batch of pairs.

        Args:
            template: template crops, shape (batch, 3, side, side), pixels 0..255; normalized floats in the mode
                ``tensor``.
            search: search crops in the same form.
            box: x, y, width, height of the target as fractions of the search crop's side, shape (batch, 4).
            item: indices of the pairs, shape (batch,).
            skipped: number of unreadable frames that were skipped for each pair, shape (batch,).
            mode: ``tensor``, ``loss`` or ``predict``, as mmengine names them.

        Returns:
            ``HeadMaps`` in the mode ``tensor``, the losses by name in ``loss``, a list of ``PairOutcome`` in
            ``predict``.
        """
        if mode == "tensor":
            return self._compute_maps(template, search)
        assert box is not None
        maps = self._compute_maps(self.normalize_images(template), self.normalize_images(search))
        if mode == "loss":
            if skipped is not None:
                count = skipped.sum()
                all_reduce(count)  # every process has the total, since only one of them saves the weights
                self.skipped += count
            return self._compute_losses(maps, box)
        assert item is not None
        # without the Hann window: the IoU in a crop shows what the head has learned, and tracking has its own decoding
        predicted = cxcywh_to_xyxy(decode_boxes(maps.score, maps))
        overlap = giou_loss(predicted, _xywh_to_clamped_xyxy(box))[1]
        return [PairOutcome(*row) for row in zip(item.tolist(), overlap.tolist(), strict=True)]

    def encode_template(self, template: Tensor) -> list[TemplateKV]:
        """Encode normalized templates for ``forward_cached``; only with asymmetric attention.

        Args:
            template: normalized template crops, shape (batch, 3, side, side).
        """
        return self.backbone.encode_template(template)

    def forward_cached(self, template_kv: list[TemplateKV], search: Tensor) -> HeadMaps:
        """Compute the maps of search regions with encoded templates.

        Args:
            template_kv: the result of ``encode_template``, one entry per block.
            search: normalized search crops, shape (batch, 3, side, side).
        """
        self._set_keep_ratio()
        return self._apply_head(self.backbone.forward_cached(template_kv, search))

    def embed_template(self, template: Tensor) -> Tensor:
        """Embed the patches of normalized templates for ``find_best_cell``; without asymmetric attention.

        Args:
            template: normalized template crops, shape (batch, 3, side, side).
        """
        return self.backbone.embed_template(template)

    def find_best_cell(self, memory: Tensor | list[TemplateKV], search: Tensor, window: Tensor) -> BestCell:
        """Compute what a box needs: the scores, and size and offset at the best cell. Only for evaluation.

        Args:
            memory: the result of ``encode_template`` with asymmetric attention, else that of ``embed_template``.
            search: normalized search crops, shape (batch, 3, side, side).
            window: weights of the cells for the choice of the best one, shape (G, G).
        """
        self._set_keep_ratio()
        if isinstance(memory, Tensor):
            tokens = self.backbone.forward_embedded(memory, search)
        else:
            tokens = self.backbone.forward_cached(memory, search)
        return self.head.predict_best_cell(self._to_feature_map(tokens), window)

    def _compute_maps(self, template: Tensor, search: Tensor) -> HeadMaps:
        self._set_keep_ratio()
        return self._apply_head(self.backbone(template, search))

    def _set_keep_ratio(self) -> None:
        """Set the fraction of search tokens that remains: by the schedule in training, the final one in evaluation."""
        if self.candidate_elimination is not None:
            self.backbone.keep_ratio = self.train_keep_ratio if self.training else self.candidate_elimination.keep_ratio

    def _apply_head(self, tokens: Tensor) -> HeadMaps:
        maps: HeadMaps = self.head(self._to_feature_map(tokens))
        return maps

    def _to_feature_map(self, tokens: Tensor) -> Tensor:
        """Turn tokens (batch, G * G, channels) into a feature map (batch, channels, G, G)."""
        grid = self.backbone.search_grid
        return tokens.transpose(1, 2).reshape(len(tokens), -1, grid, grid)

    def _compute_losses(self, maps: HeadMaps, box: Tensor) -> dict[str, Tensor]:
        """Compute the weighted losses and the mean IoU from the maps and the true boxes."""
        grid = maps.score.shape[-1]
        if self.box_loss_cell == "center":
            # a center at the border of the crop can be rounded to a cell outside the grid
            cells = find_center_cells(box, grid).clamp(0, grid - 1)
            predicted = gather_boxes(cells[:, 1] * grid + cells[:, 0], maps)
        else:
            predicted = decode_boxes(maps.score, maps)
        corners, truth = cxcywh_to_xyxy(predicted), _xywh_to_clamped_xyxy(box)
        giou, overlap = giou_loss(corners, truth)
        focal = average_group_loss(maps.score, make_score_maps(box, grid), self.norm_group)
        # mmengine adds up the values whose name contains "loss"; the IoU is only displayed
        return {
            "loss_focal": self.loss_weights.focal * focal,
            "loss_giou": self.loss_weights.giou * giou,
            # on the four corner coordinates, as fractions of the crop
            "loss_l1": self.loss_weights.l1 * (corners - truth).abs().mean(),
            "iou": overlap.mean().detach(),
        }


def _xywh_to_clamped_xyxy(box: Tensor) -> Tensor:
    """Convert boxes x, y, width, height to corners clamped to the crop: the target may reach beyond it."""
    return torch.cat([box[:, :2], box[:, :2] + box[:, 2:]], 1).clamp(0, 1)
