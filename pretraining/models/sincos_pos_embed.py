"""Fixed position embeddings: sines and cosines of the column and the row of a patch."""

from __future__ import annotations

import torch
from torch import Tensor

from foundation.errors import UserError


def sincos_pos_embed(
    embed_dim: int, grid_size: tuple[int, int], num_prefix_tokens: int, rows_first: bool = False
) -> Tensor:
    """Compute two-dimensional sin-cos position embeddings.

    The channels are four quarters: sines and cosines of the column, then sines and cosines of the row, with the
    frequencies 10000 ** (-i / quarter). Prefix tokens get 0.

    Args:
        embed_dim: number of channels.
        grid_size: rows and columns of patches.
        num_prefix_tokens: tokens before the patches, for example a class token.
        rows_first: sines and cosines of the row come first, as in MoCo-v3.

    Returns:
        (1, num_prefix_tokens + rows * columns, embed_dim) float32.

    Raises:
        UserError: the number of channels is not a multiple of 4.

    Source: MAE (arXiv 2111.06377), facebookresearch/mae, ``get_2d_sincos_pos_embed`` (width first, as there);
    facebookresearch/moco-v3, ``vits.py`` (rows first).
    """
    if embed_dim % 4:
        raise UserError(f"fixed positions need a width that is a multiple of 4, not {embed_dim}; set positions=learned")
    quarter = embed_dim // 4
    frequencies = 10000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    # float64 until the end, as in MAE's numpy code
    rows, columns = torch.meshgrid(*(torch.arange(side, dtype=torch.float64) for side in grid_size), indexing="ij")
    # columns first: MAE calls meshgrid with the width first
    ordered = (rows, columns) if rows_first else (columns, rows)
    parts = [value.reshape(-1, 1) * frequencies for value in ordered]
    patches = torch.cat([wave for part in parts for wave in (part.sin(), part.cos())], dim=1)
    return torch.cat([patches.new_zeros(num_prefix_tokens, embed_dim), patches])[None].float()
