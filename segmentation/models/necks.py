"""The papers' neck and the head of the linear protocol, where mmseg has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

from segmentation.models.mmseg_imports import MODELS, BaseDecodeHead


@MODELS.register_module()  # type: ignore[untyped-decorator,unused-ignore]
class ScaledPyramid(nn.Module):
    """A pyramid of strides 4, 8, 16, 32 from four maps of stride 16, each at a share of the width.

    The neck of MAE-Lite's ADE20K protocol ("Feature2Pyramid_Scale"): x4 = deconv - norm - GELU - deconv, x2 = deconv,
    x1 = 1x1 convolution, x0.5 = 1x1 convolution - max-pool.

    Args:
        embed_dim: channels of the maps.
        width_ratio: of it that every branch ends with (0.25 in the papers).
        norm_cfg: as mmcv takes it.
    """

    def __init__(self, embed_dim: int, width_ratio: float = 0.25, norm_cfg: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        width = int(embed_dim * width_ratio)
        norm = build_norm_layer(dict(norm_cfg or {"type": "SyncBN"}), width)[1]
        self.branches = nn.ModuleList(
            [
                nn.Sequential(_upsample_2x(embed_dim, width), norm, nn.GELU(), _upsample_2x(width, width)),
                _upsample_2x(embed_dim, width),
                nn.Conv2d(embed_dim, width, 1),
                nn.Sequential(nn.Conv2d(embed_dim, width, 1), nn.MaxPool2d(2)),
            ]
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Four maps (N, embed_dim, H, W) to four of ``width`` channels: 4H x 4W, 2H x 2W, H x W, H/2 x W/2."""
        return tuple(branch(each) for branch, each in zip(self.branches, maps, strict=True))


def _upsample_2x(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(in_channels, out_channels, kernel_size=2, stride=2)


@MODELS.register_module()  # type: ignore[untyped-decorator,unused-ignore]
class LinearHead(BaseDecodeHead):
    """Batch norm and one 1x1 convolution on the maps, resized to the finest and concatenated: the linear protocol."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(input_transform="resize_concat", dropout_ratio=0, **kwargs)
        self.norm = build_norm_layer(self.norm_cfg, self.in_channels)[1]
        self.conv_seg = nn.Conv2d(self.in_channels, self.out_channels, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits (N, classes, H, W) at the finest map's resolution."""
        logits: Tensor = self.conv_seg(self.norm(self._transform_inputs(maps)))
        return logits
