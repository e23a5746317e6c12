"""The decoders of SimMIM: from the tokens of a Swin's stage to pixels."""

from __future__ import annotations

from timm.models.swin_transformer import SwinTransformerBlock
from torch import Tensor, nn

from pretraining.models.swin import initialize_linear_layers

DECODER_HEADS = 3
"""Attention heads of the decoder's block, as in MAE-Lite's code."""


class PixelHead(nn.Sequential):
    """One 1x1 convolution that predicts all pixels of each cell; the complete decoder of SimMIM's own code.

    Args:
        dim: channels of the tokens.
        stride: side of a cell, pixels.
    """

    def __init__(self, dim: int, stride: int) -> None:
        # each cell predicts its stride x stride pixels of 3 channels; PixelShuffle unfolds them
        super().__init__(nn.Conv2d(dim, 3 * stride**2, 1), nn.PixelShuffle(stride))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the pixels, (N, 3, rows * stride, columns * stride).

        Args:
            tokens: (N, rows, columns, C), as Swin has them.
        """
        convolution, shuffle = self
        found: Tensor = shuffle(convolution(tokens.permute(0, 3, 1, 2)))
        return found


class BlockDecoder(nn.Module):
    """A linear layer, one Swin block and a 1x1 convolution: the decoder of MAE-Lite's small Swin.

    With the papers' Swin it has 447,291 weights after the last stage (384 channels, stride 32).

    Args:
        dim: channels of the tokens.
        width: channels of the block.
        grid_size: rows and columns of the tokens.
        window_size: side of the windows of the block, tokens; cut to the grid.
        stride: side of a cell, pixels.
    """

    def __init__(self, dim: int, width: int, grid_size: tuple[int, int], window_size: int, stride: int) -> None:
        super().__init__()
        self.embed = nn.Linear(dim, width)
        self.block = SwinTransformerBlock(width, grid_size, DECODER_HEADS, window_size=window_size)
        # the convolution keeps torch's initialization, as in the authors' code
        initialize_linear_layers(self)
        self.head = PixelHead(width, stride)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the pixels, (N, 3, rows * stride, columns * stride).

        Args:
            tokens: (N, rows, columns, C), normed.
        """
        found: Tensor = self.head(self.block(self.embed(tokens)))
        return found
