"""Read a weight file into plain tensors without running code from it.

Files are read as safetensors or by ``torch.load`` with ``weights_only``, which unpickles tensors and plain containers
only. Every kind of broken or unsuitable file gives one sentence that says what it is.
"""

from __future__ import annotations

import argparse
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from backbones.checkpoints.formats import find_tensors, unwrap_checkpoint
from backbones.checkpoints.pickle_stubs import PICKLE_STUBS
from backbones.weights import hash_weight_file, require_weight_file
from foundation.errors import CheckpointError

MAX_UNPACK_RATIO = 3
"""An archive is refused if it unpacks to more than this many times its size: torch stores without compression."""


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
    """

    path: Path
    sha256: str
    bytes: int
    format: str
    tensors: dict[str, Tensor]
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = {}


class RawWeightFile(NamedTuple):
    """A weight file with nothing removed or renamed.

    Attributes:
        kind: "torch" or "safetensors".
        container: the key under which the tensors were found ("" for the top level).
        content: the complete content.
        tensors: all tensors under their full names.
        arguments: the arguments of the training run as stored in the file.
        identity_key: which weights these are, as an id has it; see ``formats.FoundTensors``.
        keys: the keys of all versions of the weights in the file.
    """

    kind: str
    container: str
    content: object
    tensors: dict[str, Tensor]
    arguments: Mapping[str, Any]
    identity_key: str | None
    keys: tuple[str, ...]


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
    raw = read_raw_weights(path, weights_key)
    unwrapped = unwrap_checkpoint(raw.tensors, raw.container, raw.content)
    where = f"{raw.kind}, under {raw.container}" if raw.container else raw.kind
    return WeightFile(
        path,
        hash_weight_file(path),
        path.stat().st_size,
        f"{unwrapped.family} ({where})",
        unwrapped.tensors,
        tuple(unwrapped.dropped),
        (*describe_choice(raw), *unwrapped.notes),
        raw.arguments,
    )


def find_identity_key(path: Path, weights_key: str | None = None) -> str | None:
    """Return which weights of a file a run starts from, as its id has it.

    Args:
        path: the weight file.
        weights_key: the key that the user asked for.

    Returns:
        The key; ``None`` where the file's plain weights are taken, or the only ones.

    Raises:
        CheckpointError: as ``read_weights``.
    """
    return read_raw_weights(path, weights_key).identity_key


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
    kind, content, arguments = _read_any_format(path)
    found = find_tensors(content, weights_key)
    if not found.tensors:
        if weights_key is not None and found.keys:
            keys = ", ".join(key or "(top level)" for key in found.keys)
            raise CheckpointError(f"the checkpoint {path} has no weights under {weights_key!r}, but under: {keys}")
        raise CheckpointError(f"the checkpoint {path} holds no weights{_describe_contents(content)}")
    for name, value in found.tensors.items():
        _require_dense(name, value, path)
    return RawWeightFile(kind, found.container, content, found.tensors, arguments, found.identity_key, found.keys)


def describe_choice(raw: RawWeightFile) -> list[str]:
    """Say which weights were taken from a file that holds several versions of them.

    Args:
        raw: the file.

    Returns:
        One sentence; nothing for a file with one version of the weights.
    """
    others = [key or "the top level" for key in raw.keys if key != raw.container]
    return (
        [f"the weights are those of {raw.container or 'the top level'}; not used: {', '.join(others)}"]
        if others
        else []
    )


def _read_any_format(path: Path) -> tuple[str, object, Mapping[str, Any]]:
    """Read a file of either kind; return the kind, the content, and the stored arguments of the training run."""
    require_weight_file(path)
    # the content decides the kind, not the suffix: public files often have the wrong one
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise CheckpointError(
            f"the checkpoint {path} cannot be read ({error.strerror}); fix its permissions"
        ) from error
    if size == 0:
        raise CheckpointError(f"the checkpoint {path} is empty (0 bytes); fetch it again")
    # safetensors starts with the header's length in 8 bytes, followed by the header in JSON
    if head[8:9] == b"{" and head[:1] != b"{":
        return "safetensors", *_read_safetensors(path)
    if head[:2] == b"PK" or head[:1] == b"\x80":  # torch's zip archive, or its older plain pickle
        content = _read_torch(path, size, zipped=head[:2] == b"PK")
        return "torch", content, _training_arguments(content)
    raise CheckpointError(f"{path} is not a checkpoint that torch or safetensors can read{_guess_file_type(head)}")


def _read_safetensors(path: Path) -> tuple[Mapping[str, object], Mapping[str, Any]]:
    """Read a safetensors file; return its tensors and its metadata."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
        return load_file(path), metadata
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"the checkpoint {path} is a broken safetensors file: {_first_line(error)}") from error


def _read_torch(path: Path, size: int, *, zipped: bool) -> object:
    """Read a file written by ``torch.save``, allowing only tensors and plain containers."""
    if zipped:
        _require_valid_archive(path, size)
    try:
        # MAE and DeiT save their options as an argparse.Namespace, which only has attributes and runs no code.
        with torch.serialization.safe_globals([argparse.Namespace, *PICKLE_STUBS]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about unusual pickles; what matters is in our message
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if needed := _refused_class(str(error)):
            raise CheckpointError(
                f"the checkpoint {path} needs {needed} to be read, which bench refuses because it can run code; "
                "if you trust the file, save only its weights with torch.save(model.state_dict(), ...) or as "
                "safetensors"
            ) from error
        raise CheckpointError(f"{path} is not a checkpoint that torch or safetensors can read") from error
    # what torch and pickle raise on truncated or random bytes, found by trying
    except (RuntimeError, EOFError, ValueError, LookupError, OSError, AttributeError, TypeError, MemoryError) as error:
        raise CheckpointError(
            f"{path} is not a checkpoint that torch or safetensors can read ({_first_line(error)})"
        ) from error


def _require_valid_archive(path: Path, size: int) -> None:
    """Check an archive's table of contents before anything in it is unpacked.

    Raises:
        CheckpointError: the archive is broken, unpacks to far more than its size, or holds something else than weights.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            declared = sum(entry.file_size for entry in archive.infolist())
            names = [name.rsplit("/", 1)[-1] for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CheckpointError(
            f"the checkpoint {path} is a broken archive, perhaps cut off during the download; fetch it again"
        ) from error
    if declared > MAX_UNPACK_RATIO * size:
        raise CheckpointError(
            f"the checkpoint {path} of {size} bytes claims to unpack to {declared} bytes, "
            f"more than {MAX_UNPACK_RATIO} times its size, which no weight file does; fetch it from a source you trust"
        )
    # torch.jit.save writes code and constants.pkl, torch.save only data.pkl and the tensors' bytes
    if "constants.pkl" in names:
        raise CheckpointError(f"{path} is a TorchScript program, not weights; save only its state_dict()")
    if "data.pkl" not in names:
        raise CheckpointError(f"{path} is an ordinary zip archive, not a checkpoint; unpack it and name the file in it")


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


def _refused_class(message: str) -> str:
    """Return which class or function a pickle needs, from torch's message; "" if the error has another cause."""
    if found := re.search(r"GLOBAL ([\w.]+)|(?:class|function) ([\w.]+)", message):
        return f"{found[1] or found[2]}"
    return "classes or functions of its own" if "Unsupported" in message or "GLOBAL" in message else ""


def _training_arguments(content: object) -> Mapping[str, Any]:
    """Return the options of the training run that a checkpoint stores in ``args`` and ``arch``."""
    if not isinstance(content, Mapping):
        return {}
    given = content.get("args")
    given = vars(given) if isinstance(given, argparse.Namespace) else given
    arch = {"arch": content["arch"]} if isinstance(content.get("arch"), str) else {}  # as timm and MoCo do
    return arch | (dict(given) if isinstance(given, Mapping) else {})


def _guess_file_type(head: bytes) -> str:
    """Return the end of a message: what a file that is not a checkpoint looks like, from its first bytes."""
    if head.lstrip()[:1] == b"<":  # what a download saves when the site asks for a login or a confirmation
        return ", it looks like a web page saved in its place"
    if head[257:262] == b"ustar":  # where POSIX tar has its magic bytes
        return ", it looks like a tar archive (torch before 0.1.10, or a packed folder); unpack or convert it"
    return ""


def _describe_contents(content: object) -> str:
    """Return the end of a message: what a file without weights holds."""
    if not isinstance(content, Mapping):
        return f": it is a {type(content).__name__}"
    keys = ", ".join(sorted(str(key)[:40] for key in content)[:6])
    return f": its entries are {keys}" if keys else ": it is empty"


def _first_line(error: BaseException) -> str:
    """Return the first line of an error, at most 200 characters, or its type if it has no message."""
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__
