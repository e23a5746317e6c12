"""Start weights of the first k blocks alone. Fine-tuned from them, a backbone tells what the other blocks are worth."""

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
    """Blocks of a backbone made without classifier; 0 is its stem.

    Raises:
        UserError: the model does not say at which depth its parameters are.
    """
    return max(_backbone_layer_ids(model).values())


def select_first_blocks(model: nn.Module, num_blocks: int) -> dict[str, Tensor]:
    """Parameters of the stem (patch embedding, positions, class token) and of the first ``num_blocks`` blocks.

    The final norm belongs to the last block.

    Args:
        model: with its pre-trained weights, made without classifier.
        num_blocks: from 0, the stem alone, to all of them.

    Raises:
        UserError: more blocks than there are.
    """
    ids = _backbone_layer_ids(model)
    total = max(ids.values())
    if not 0 <= num_blocks <= total:
        raise UserError(f"{type(model).__name__} has {total} blocks, so the first {num_blocks} cannot be kept")
    parameters = dict(model.named_parameters())
    return {name: parameters[name].detach().cpu().contiguous() for name, place in ids.items() if place <= num_blocks}


def write_truncated_weights(folder: Path, name: str, model: nn.Module, num_blocks: int) -> Path:
    """Write what ``select_first_blocks`` gives as a weight file named by its content; an existing one is left alone.

    Args:
        folder: of start weights.
        name: of the backbone.
        model: with its pre-trained weights.
        num_blocks: blocks kept.
    """
    content = save(select_first_blocks(model, num_blocks))
    # Named by content: the same weights are the same start file, and a run's identity hashes the file anyway
    digest = hashlib.sha256(content).hexdigest()
    path = folder / f"{name.replace('/', '_')}-first{num_blocks}of{count_blocks(model)}-{digest[:16]}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_bytes() != content:
        write_atomic(path, content)
    return path


def _backbone_layer_ids(model: nn.Module) -> dict[str, int]:
    # Layer ids are those of layer-wise learning-rate decay: 0 is the stem, then a block each
    return {name: place for name, place in get_layer_ids(model).items() if not name.startswith(_HEAD_PREFIXES)}
