"""Read a weight file into plain tensors: choose its weights, and extract the trunk from its wrappers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from backbones.checkpoints.formats import OWN_RUN, detect_family, unwrap_checkpoint
from backbones.checkpoints.layouts import isolate_trunk
from backbones.checkpoints.reading.read_content import read_content
from backbones.checkpoints.reading.weight_versions import FoundTensors, find_recorded_key, find_tensors
from backbones.weights import hash_weight_file, require_weight_file
from foundation.errors import CheckpointError
from foundation.weights.shard_index import count_weight_bytes


class WeightFile(NamedTuple):
    """A weight file whose trunk has been extracted.

    Attributes:
        path: the file.
        sha256: SHA-256 of the file, in hexadecimal.
        bytes: size of the file in bytes.
        format: the family of the checkpoint, and where in the file its tensors were found.
        tensors: the tensors by name, without wrapper prefixes; the trunk has the names that its authors gave.
        dropped: tensors that were left out (teacher, momentum encoder, decode head), with shape and reason.
        notes: sentences about anything else that a reader should know.
        arguments: the arguments of the training run as stored in the file (``args``, or safetensors metadata).
        source: the file, for messages; with the key of the weights where the file holds several versions of them.
    """

    path: Path
    sha256: str
    bytes: int
    format: str
    tensors: dict[str, Tensor]
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = {}
    source: str = ""


class RawWeightFile(NamedTuple):
    """A weight file with nothing removed or renamed.

    Attributes:
        kind: "torch" or "safetensors".
        container: the key under which the tensors were found ("" for the top level).
        content: the complete content.
        tensors: all tensors under their full names.
        arguments: the arguments of the training run as stored in the file.
        keys: the keys of all versions of the weights in the file.
        remark: a sentence about which of them was chosen, or "".
    """

    kind: str
    container: str
    content: object
    tensors: dict[str, Tensor]
    arguments: Mapping[str, Any]
    keys: tuple[str, ...]
    remark: str = ""


def read_weights(path: Path, weights_key: str | None = None) -> WeightFile:
    """Read a checkpoint of any known format and extract its trunk.

    Args:
        path: the weight file.
        weights_key: the weights to take from a file that holds several versions of them; ``None``: the running average
            if there is one.

    Returns:
        The file with its tensors under its authors' names, without wrapper prefixes and containers.

    Raises:
        CheckpointError: the file is missing, is not a checkpoint, is unsafe, or has no tensors.
    """
    path = require_weight_file(path)
    raw = read_raw_weights(path, weights_key)
    # a known layout tells where its trunk is; the generic wrappers are for all other files
    # a run of our own has names that others use as well: the ViT of a tracker is called vit, as lightly's is
    is_own = detect_family(raw.tensors, raw.container, raw.content) == OWN_RUN
    isolated = None if is_own else isolate_trunk(raw.tensors)
    unwrapped = isolated or unwrap_checkpoint(raw.tensors, raw.container, raw.content)
    where = f"{raw.kind}, under {raw.container}" if raw.container else raw.kind
    return WeightFile(
        path,
        hash_weight_file(path),
        count_weight_bytes(path),
        f"{unwrapped.family} ({where})",
        unwrapped.tensors,
        tuple(unwrapped.dropped),
        (*describe_choice(raw), *unwrapped.notes),
        raw.arguments,
        f"{path} ({_describe_version(raw)})" if len(raw.keys) > 1 else str(path),
    )


_IDENTITY_KEYS: dict[tuple[str, str | None], str | None] = {}
"""What ``find_identity_key`` has found, by the SHA-256 of the file and the key that was asked for."""


def find_identity_key(path: Path, weights_key: str | None = None) -> str | None:
    """Return which weights of a file a run starts from, as its id has it.

    A file is read once per process, and only its names and shapes: a plan of many cells asks for each of them.

    Args:
        path: the weight file.
        weights_key: the key that the user asked for.

    Returns:
        The key; ``None`` where the file's plain weights are taken, or the only ones.

    Raises:
        CheckpointError: as ``read_weights``.
    """
    path = require_weight_file(path)
    asked = hash_weight_file(path), weights_key
    if asked not in _IDENTITY_KEYS:
        content = read_content(path, names_only=True).content
        _IDENTITY_KEYS[asked] = _choose_tensors(path, content, weights_key).identity_key
    return _IDENTITY_KEYS[asked]


def find_request_key(path: Path, identity_key: str | None) -> str | None:
    """Return the key with which the weights that a record names are asked for again.

    Args:
        path: the weight file.
        identity_key: the key in the record.

    Returns:
        The key; ``None`` if bench chooses these weights by itself.

    Raises:
        CheckpointError: as ``read_weights``.
    """
    return find_recorded_key(read_content(require_weight_file(path), names_only=True).content, identity_key)


def read_raw_weights(path: Path, weights_key: str | None = None) -> RawWeightFile:
    """Read a checkpoint with every tensor under its full name.

    Args:
        path: the weight file.
        weights_key: the weights to take, as ``read_weights`` takes it.

    Returns:
        The file with nothing removed or renamed.

    Raises:
        CheckpointError: the file is missing, is not a checkpoint, is unsafe, or has no tensors.
    """
    path = require_weight_file(path)
    kind, content, arguments = read_content(path)
    found = _choose_tensors(path, content, weights_key)
    for name, value in found.tensors.items():
        _require_dense(name, value, path)
    _refuse_parts(path, content)
    return RawWeightFile(kind, found.container, content, found.tensors, arguments, found.keys, found.remark)


def describe_choice(raw: RawWeightFile) -> list[str]:
    """Say which weights were taken from a file that holds several versions of them.

    Args:
        raw: the file.

    Returns:
        One sentence; nothing for a file with one version of the weights.
    """
    others = _list_others(raw)
    if not others:
        return [raw.remark] if raw.remark else []
    text = f"the weights are those of {raw.container or 'the top level'}; not used: {', '.join(others)}"
    return [f"{text}; {raw.remark}" if raw.remark else text]


def _list_others(raw: RawWeightFile) -> list[str]:
    return [key or "the top level" for key in raw.keys if key != raw.container]


def _describe_version(raw: RawWeightFile) -> str:
    """Say in a message which weights of a file are meant, and how others are chosen."""
    others = [key[:80] for key in raw.keys if key not in (raw.container, "")][:3]
    hint = f"; --weights-key takes others: {', '.join(others)}" if others else ""
    return f"its {raw.container or 'top level'}{hint}"


def _choose_tensors(path: Path, content: object, weights_key: str | None) -> FoundTensors:
    """Choose the weights in a file's content.

    Raises:
        CheckpointError: there are none, none under the key that was asked for, or several.
    """
    found = find_tensors(content, weights_key)
    if found.tensors:
        return found
    keys = ", ".join((key or "(top level)")[:80] for key in found.keys[:8])
    if found.keys and weights_key is not None:
        raise CheckpointError(f"the checkpoint {path} has no weights under {weights_key!r}, but under: {keys}")
    if found.keys:
        raise CheckpointError(
            f"the checkpoint {path} holds several versions of its weights, and bench does not guess: choose one of "
            f"them with --weights-key: {keys}"
        )
    raise CheckpointError(f"the checkpoint {path} holds no weights{_describe_contents(content)}")


def _refuse_parts(path: Path, content: object) -> None:
    """Refuse a file that holds only a part of each tensor, or of the model.

    Raises:
        CheckpointError: it is one of several pieces that DeepSpeed wrote.
    """
    if not isinstance(content, Mapping):
        return
    # ZeRO of stage 3 leaves empty tensors under "module" and says in param_shapes what they should be
    module = content.get("module")
    empty = isinstance(module, Mapping) and any(isinstance(v, Tensor) and v.numel() == 0 for v in module.values())
    if "param_shapes" in content and empty:
        raise CheckpointError(
            f"the checkpoint {path} has none of the weights, which DeepSpeed's ZeRO keeps in pieces beside it; run its "
            "zero_to_fp32.py and name the file that it writes"
        )
    parts = content.get("mp_world_size")
    if isinstance(parts, int) and parts > 1:
        raise CheckpointError(
            f"the checkpoint {path} is one of {parts} parts of a model that DeepSpeed split; merge them first"
        )


def _require_dense(name: str, value: Tensor, path: Path) -> None:
    """Refuse a tensor that is not dense, or that claims more elements than the file holds.

    A stride of 0 turns four bytes into a tensor of a petabyte, which the next copy would try to allocate.

    Raises:
        CheckpointError: the tensor is sparse, quantized or empty, or larger than its storage.
    """
    if value.layout != torch.strided or value.is_quantized or value.is_meta:
        raise CheckpointError(
            f"the checkpoint {path} holds {name} as a sparse, quantized or empty tensor; save it as a dense tensor"
        )
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise CheckpointError(
            f"the checkpoint {path} claims shape {tuple(value.shape)} for {name}, more elements than it holds; "
            "save the tensor with clone()"
        )


def _describe_contents(content: object) -> str:
    """Return the end of a message: what a file without weights holds."""
    if not isinstance(content, Mapping):
        return f": it is a {type(content).__name__}"
    keys = ", ".join(sorted(str(key)[:40] for key in content)[:6])
    return f": its entries are {keys}" if keys else ": it is empty"
