"""Write start weights with only the first k pre-trained blocks.

Fine-tuning from them measures how much the pre-training of the later blocks contributes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors.torch import save
from torch import Tensor, nn

from engine.optimizer import get_layer_ids
from foundation.errors import UserError
from foundation.files import write_atomic

_HEAD_PREFIXES = ("head", "fc_norm", "classifier")


def count_blocks(model: nn.Module) -> int:
    """Return the number of blocks of a backbone without a classifier.

    Raises:
        UserError: the depth of the model's parameters is unknown.
    """
    # layer id 0 is the stem, so the highest id is the number of blocks
    return max(_backbone_layer_ids(model).values())


def select_first_blocks(model: nn.Module, num_blocks: int) -> dict[str, Tensor]:
    """Return the parameters of the stem (patch embedding, positions, class token) and the first ``num_blocks`` blocks.

    The final norm counts as part of the last block.

    Args:
        model: the backbone with its pre-trained weights, without a classifier.
        num_blocks: number of blocks, from 0 (only the stem) to all blocks.

    Raises:
        UserError: the model has fewer blocks.
    """
    ids = _backbone_layer_ids(model)
    total = max(ids.values())
    if not 0 <= num_blocks <= total:
        raise UserError(f"{type(model).__name__} has {total} blocks, so the first {num_blocks} cannot be kept")
    parameters = dict(model.named_parameters())
    return {name: parameters[name].detach().cpu().contiguous() for name, place in ids.items() if place <= num_blocks}


def write_truncated_weights(folder: Path, name: str, model: nn.Module, num_blocks: int) -> Path:
    """Write the parameters of ``select_first_blocks`` to a weight file and return its path.

    Args:
        folder: folder for start weights.
        name: name of the backbone.
        model: the backbone with its pre-trained weights, without a classifier.
        num_blocks: number of blocks to keep.
    """
    content = save(select_first_blocks(model, num_blocks))
    # The file name contains a digest of the content: equal weights share a file, and different weights of the same
    # backbone cannot overwrite each other
    digest = hashlib.sha256(content).hexdigest()
    path = folder / f"{name.replace('/', '_')}-first{num_blocks}of{count_blocks(model)}-{digest[:16]}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    # an existing file may be in use by a run of another process; only a damaged one is replaced
    if not path.exists() or path.read_bytes() != content:
        write_atomic(path, content)
    return path


def _backbone_layer_ids(model: nn.Module) -> dict[str, int]:
    # The layer ids of layer-wise learning-rate decay: 0 for the stem, then one id per block
    return {name: place for name, place in get_layer_ids(model).items() if not name.startswith(_HEAD_PREFIXES)}
