"""List which corrections of the loading change the number of a run, for its id. Imports timm only where it must.

The same id means the same number. Where an earlier build loaded other numbers from a file than this one does, the id of
exactly those runs names the correction. All other runs keep their ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from backbones.card import BackboneCard
from backbones.weights import InitialWeights, hash_weight_file


def list_loading_fixes(
    card: BackboneCard, start: InitialWeights, model_kwargs: Mapping[str, Any], *, allow_partial: bool = False
) -> list[str]:
    """List the corrections of the loading that change what exactly this run starts from.

    Args:
        card: the backbone's card.
        start: the weights that the run starts from.
        model_kwargs: arguments with which the backbone is created.
        allow_partial: whether an incomplete load is accepted.

    Raises:
        CheckpointError: the file is missing, is not a checkpoint, or has no tensors.
    """
    if start.module is not None:
        from backbones.checkpoints.earlier_loading import list_module_differences

        return list_module_differences(start.module, model_kwargs)
    if start.file is None:
        return []
    asked = model_kwargs.get("img_size", card.input_size[1:])
    is_square = isinstance(asked, int) or asked[0] == asked[1]
    # the loader takes the size of a card for that of the card's own weights
    is_square &= start.init != "card" or card.input_size[1] == card.input_size[2]
    # the model is created only where there can be a difference
    if (
        is_square
        and not allow_partial
        and not _is_special_file(start.file, start.weights_key, hash_weight_file(start.file))
    ):
        return []
    from backbones.checkpoints.earlier_loading import list_file_differences

    return list_file_differences(card, start, model_kwargs, allow_partial=allow_partial)


@lru_cache(maxsize=32)
def _is_special_file(path: Path, weights_key: str | None, sha256: str) -> bool:
    """Return whether a file has a norm after pooling, or patches or images that are not square.

    Args:
        path: the file.
        weights_key: the weights to take from it.
        sha256: of the file, so that one that was replaced is read again.
    """
    from backbones.checkpoints.read_checkpoint import read_weights
    from backbones.checkpoints.sizes.grids import find_stated_size

    file = read_weights(path, weights_key)
    height, width = find_stated_size(file.arguments) or (1, 1)
    return height != width or any(
        name.endswith("fc_norm.weight")
        or (name.endswith("patch_embed.proj.weight") and value.dim() == 4 and value.shape[2] != value.shape[3])
        for name, value in file.tensors.items()
    )
