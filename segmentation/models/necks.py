"""The neck of MAE-Lite's ADE20K protocol, and the head of the linear protocol; mmseg has neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

from segmentation.models.mmseg_imports import MODELS, BaseDecodeHead


@MODELS.register_module()  # type: ignore[untyped-decorator,unused-ignore]
class ScaledPyramid(nn.Module):
    """Turns four maps of stride 16 into a pyramid of strides 4, 8, 16 and 32 with fewer channels.

    The neck of MAE-Lite's ADE20K protocol ("Feature2Pyramid_Scale"): x4 = deconv - norm - GELU - deconv, x2 = deconv,
    x1 = 1x1 convolution, x0.5 = 1x1 convolution - max-pool.

    Args:
        embed_dim: channels of the incoming maps.
        width_ratio: outgoing channels as a fraction of ``embed_dim`` (0.25 in the papers).
        norm_cfg: mmcv's configuration of the norm layer; ``SyncBN`` if ``None``.
    """

    def __init__(self, embed_dim: int, width_ratio: float = 0.25, norm_cfg: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        width = int(embed_dim * width_ratio)
        norm = build_norm_layer(dict(norm_cfg or {"type": "SyncBN"}), width)[1]
        # one branch per map, from shallow to deep: the shallowest map becomes the finest level
        self.branches = nn.ModuleList(
            [
                nn.Sequential(_upsample_2x(embed_dim, width), norm, nn.GELU(), _upsample_2x(width, width)),
                _upsample_2x(embed_dim, width),
                nn.Conv2d(embed_dim, width, 1),
                nn.Sequential(nn.Conv2d(embed_dim, width, 1), nn.MaxPool2d(2)),
            ]
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Build the pyramid.

        Args:
            maps: four maps, shallow to deep, (batch, embed_dim, H, W) each.

        Returns:
            Four maps of ``embed_dim * width_ratio`` channels, of 4H x 4W, 2H x 2W, H x W and H/2 x W/2 cells.
        """
        return tuple(branch(each) for branch, each in zip(self.branches, maps, strict=True))


def _upsample_2x(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    # kernel equal to stride: every output cell comes from exactly one input cell, so there are no checkerboard overlaps
    return nn.ConvTranspose2d(in_channels, out_channels, kernel_size=2, stride=2)


@MODELS.register_module()  # type: ignore[untyped-decorator,unused-ignore]
class LinearHead(BaseDecodeHead):
    """The head of the linear protocol: batch norm and one 1x1 convolution.

    The maps are resized to the resolution of the first one and concatenated along the channels before that.

    Args:
        kwargs: as mmseg's ``BaseDecodeHead`` takes them.
    """

    def __init__(self, **kwargs: Any) -> None:
        # with resize_concat the base class sets in_channels to the sum over all maps
        super().__init__(input_transform="resize_concat", dropout_ratio=0, **kwargs)
        self.norm = build_norm_layer(self.norm_cfg, self.in_channels)[1]
        # replaces the base class's layer, which reads `channels` and not the concatenated maps
        self.conv_seg = nn.Conv2d(self.in_channels, self.out_channels, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return logits (batch, classes, H, W) at the resolution of the first map."""
        logits: Tensor = self.conv_seg(self.norm(self._transform_inputs(maps)))
        return logits
