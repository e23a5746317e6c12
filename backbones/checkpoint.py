"""Read a weight file into plain tensors, safely: ``weights_only`` or safetensors, never a pickle with code."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from backbones.weights import require_file
from foundation.errors import CheckpointError
from foundation.files import sha256_file

_CONTAINERS = ("state_dict", "model", "model_state_dict", "state_dict_ema", "teacher")
_PREFIXES = ("module.", "model.", "backbone.", "encoder.", "_orig_mod.")


class WeightFile(NamedTuple):
    """A weight file as read: where it is, what it is, and its tensors by name."""

    path: Path
    sha256: str
    bytes: int
    format: str
    tensors: dict[str, Tensor]


def read_weights(path: Path) -> WeightFile:
    """Read a checkpoint of any known format.

    Returns:
        The tensors under the names the file gives them, wrapper prefixes and containers removed.

    Raises:
        CheckpointError: missing, not a checkpoint, unsafe, or without tensors.
    """
    require_file(path)
    size = path.stat().st_size
    if size == 0:
        raise CheckpointError(f"the checkpoint {path} is empty (0 bytes); fetch it again")
    with path.open("rb") as file:
        head = file.read(9)
    content: object
    if head[8:9] == b"{":
        kind, content = "safetensors", _read_safetensors(path)
    else:
        if head[:2] != b"PK" and head[:1] != b"\x80":  # torch's zip archive, or its older plain pickle
            looks = ", it looks like a web page saved in its place" if head.lstrip()[:1] == b"<" else ""
            raise CheckpointError(f"{path} is no checkpoint that torch or safetensors can read{looks}")
        kind, content = "torch", _read_torch(path)
    tensors, container = _find_tensors(content)
    if not tensors:
        raise CheckpointError(f"the checkpoint {path} holds no weights{_contents(content)}")
    kind = f"{kind} [{container}]" if container else kind
    return WeightFile(path, sha256_file(path), size, kind, _strip_prefixes(tensors))


def _read_safetensors(path: Path) -> Mapping[str, object]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"the checkpoint {path} is a broken safetensors file: {error}") from error


def _read_torch(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported" in str(error) or "GLOBAL" in str(error):
            raise CheckpointError(
                f"the checkpoint {path} wants to run code when it is read, which bench refuses; "
                "save its state_dict alone (torch.save(model.state_dict(), ...)) or as safetensors"
            ) from error
        raise CheckpointError(f"{path} is no checkpoint that torch or safetensors can read") from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, AttributeError, TypeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is no checkpoint that torch or safetensors can read ({first})") from error


def _find_tensors(content: object) -> tuple[dict[str, Tensor], str]:
    """The mapping of names to tensors in a file's content, and the key it stood under ("" for the top)."""
    if not isinstance(content, Mapping):
        return {}, ""
    for key in _CONTAINERS:
        if isinstance(inner := content.get(key), Mapping):
            tensors = {str(name): value for name, value in inner.items() if isinstance(value, Tensor)}
            if tensors:
                return tensors, key
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}, ""


def _strip_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove wrapper prefixes that every name of the trunk carries, outermost first."""
    while True:
        for prefix in _PREFIXES:
            inside = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            if inside and len(inside) > len(tensors) / 2:
                outside = {k: v for k, v in tensors.items() if not k.startswith(prefix)}
                tensors = {**outside, **inside}
                break
        else:
            return tensors


def _contents(content: object) -> str:
    if not isinstance(content, Mapping):
        return f": it is a {type(content).__name__}"
    keys = ", ".join(sorted(map(str, content))[:6])
    return f": its entries are {keys}" if keys else ": it is empty"
