"""Fixed positions: sines and cosines of the patch's column and row."""

from __future__ import annotations

import torch
from torch import Tensor

from foundation.errors import UserError


def sincos_pos_embed(embed_dim: int, grid_size: tuple[int, int], num_prefix_tokens: int) -> Tensor:
    """Two-dimensional sin-cos positions, (1, prefix + rows * columns, width).

    The first half of the width is for the column, the second for the row; of each half the first quarter of the width
    holds sines, the next cosines, with frequencies 10000 ** (-i / quarter). Rows of prefix tokens are 0.

    Raises:
        UserError: the width is no multiple of 4.

    Source: MAE (arXiv 2111.06377), facebookresearch/mae, ``get_2d_sincos_pos_embed`` (width first, as there).
    """
    if embed_dim % 4:
        raise UserError(f"fixed positions need a width that is a multiple of 4, not {embed_dim}; set positions=learned")
    quarter = embed_dim // 4
    frequencies = 10000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    rows, columns = torch.meshgrid(*(torch.arange(side, dtype=torch.float64) for side in grid_size), indexing="ij")
    parts = [value.reshape(-1, 1) * frequencies for value in (columns, rows)]
    patches = torch.cat([wave for part in parts for wave in (part.sin(), part.cos())], dim=1)
    return torch.cat([patches.new_zeros(num_prefix_tokens, embed_dim), patches])[None].float()
