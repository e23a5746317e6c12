"""Start weights of the first k blocks alone: what fine-tuning makes of them tells what the other blocks are worth."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors.torch import save
from torch import Tensor, nn

from engine.optimizer import layer_ids
from foundation.errors import UserError
from foundation.files import write_atomic

_HEADS = ("head", "fc_norm", "classifier")


def depth(model: nn.Module) -> int:
    """Blocks of a backbone made without classifier; 0 is its stem.

    Raises:
        UserError: the model does not say which parameters are how deep.
    """
    return max(_trunk_ids(model).values())


def first_blocks(model: nn.Module, count: int) -> dict[str, Tensor]:
    """Parameters of the stem (patch embedding, positions, class token) and of the first ``count`` blocks.

    The final norm belongs to the last block.

    Args:
        model: with its pre-trained weights, made without classifier.
        count: from 0, the stem alone, to all of them.

    Raises:
        UserError: more blocks than there are.
    """
    ids = _trunk_ids(model)
    total = max(ids.values())
    if not 0 <= count <= total:
        raise UserError(f"{type(model).__name__} has {total} blocks, so the first {count} cannot be kept")
    parameters = dict(model.named_parameters())
    return {name: parameters[name].detach().cpu().contiguous() for name, place in ids.items() if place <= count}


def write_start(folder: Path, name: str, model: nn.Module, count: int) -> Path:
    """Write ``first_blocks`` as a weight file named by its content; one that is there is left alone.

    Args:
        folder: of start weights.
        name: of the backbone.
        model: with its pre-trained weights.
        count: blocks kept.
    """
    content = save(first_blocks(model, count))
    digest = hashlib.sha256(content).hexdigest()
    path = folder / f"{name.replace('/', '_')}-first{count}of{depth(model)}-{digest[:16]}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_bytes() != content:
        write_atomic(path, content)
    return path


def _trunk_ids(model: nn.Module) -> dict[str, int]:
    return {name: place for name, place in layer_ids(model).items() if not name.startswith(_HEADS)}
