"""Read a weight file into plain tensors, safely: ``weights_only`` or safetensors, never a pickle with code."""

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
from backbones.weights import require_weight_file
from foundation.errors import CheckpointError
from foundation.files import sha256_unchanged_file

MAX_UNPACK_RATIO = 3
"""An archive that declares more than this many times its own size is refused: torch stores, it does not squeeze."""


class WeightFile(NamedTuple):
    """A weight file as read: where it is, what it is, and its tensors by name.

    Attributes:
        path, sha256, bytes: the file.
        format: the family of the checkpoint, and where in the file its tensors stood.
        tensors: by name, wrappers removed; names of the trunk are the ones its authors gave.
        dropped: tensors left out on reading (teacher, momentum encoder, decode head), with shape and reason.
        notes: what else a reader should know.
        arguments: what the file says of the run that made it (its ``args``, or safetensors metadata).
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
    """A weight file as it stands: its kind, the key its tensors stood under, its content, tensors and arguments."""

    kind: str
    container: str
    content: object
    tensors: dict[str, Tensor]
    arguments: Mapping[str, Any]


def read_weights(path: Path) -> WeightFile:
    """Read a checkpoint of any known format.

    Returns:
        The tensors under the names the file gives them, wrapper prefixes and containers removed.

    Raises:
        CheckpointError: missing, not a checkpoint, unsafe, or without tensors.
    """
    raw = read_raw_weights(path)
    unwrapped = unwrap_checkpoint(raw.tensors, raw.container, raw.content)
    where = f"{raw.kind}, under {raw.container}" if raw.container else raw.kind
    return WeightFile(
        path,
        sha256_unchanged_file(path),
        path.stat().st_size,
        f"{unwrapped.family} ({where})",
        unwrapped.tensors,
        tuple(unwrapped.dropped),
        tuple(unwrapped.notes),
        raw.arguments,
    )


def read_raw_weights(path: Path) -> RawWeightFile:
    """A weight file as it stands, every tensor under its full name.

    Raises:
        CheckpointError: missing, not a checkpoint, unsafe, or without tensors.
    """
    kind, content, arguments = _read_any_format(path)
    tensors, container = find_tensors(content)
    if not tensors:
        raise CheckpointError(f"the checkpoint {path} holds no weights{_describe_contents(content)}")
    for name, value in tensors.items():
        _require_dense(name, value, path)
    return RawWeightFile(kind, container, content, tensors, arguments)


def _read_any_format(path: Path) -> tuple[str, object, Mapping[str, Any]]:
    """The kind of file, its content, and what it says of the run that made it."""
    require_weight_file(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise CheckpointError(f"the checkpoint {path} cannot be read ({error.strerror}); mend its rights") from error
    if size == 0:
        raise CheckpointError(f"the checkpoint {path} is empty (0 bytes); fetch it again")
    if head[8:9] == b"{" and head[:1] != b"{":
        return "safetensors", *_read_safetensors(path)
    if head[:2] == b"PK" or head[:1] == b"\x80":  # torch's zip archive, or its older plain pickle
        content = _read_torch(path, size, zipped=head[:2] == b"PK")
        return "torch", content, _training_arguments(content)
    raise CheckpointError(f"{path} is no checkpoint that torch or safetensors can read{_guess_file_type(head)}")


def _read_safetensors(path: Path) -> tuple[Mapping[str, object], Mapping[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
        return load_file(path), metadata
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"the checkpoint {path} is a broken safetensors file: {_first_line(error)}") from error


def _read_torch(path: Path, size: int, *, zipped: bool) -> object:
    if zipped:
        _require_valid_archive(path, size)
    try:
        # A Namespace is attributes and nothing else; MAE's and DeiT's checkpoints keep their options in one.
        with torch.serialization.safe_globals([argparse.Namespace, *PICKLE_STUBS]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd pickles; what matters is said in our own sentence
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if wants := _refused_class(str(error)):
            raise CheckpointError(
                f"the checkpoint {path} wants {wants} when it is read, which bench refuses since that can run code; "
                "where you trust the file, save its weights alone with torch.save(model.state_dict(), ...) or as "
                "safetensors"
            ) from error
        raise CheckpointError(f"{path} is no checkpoint that torch or safetensors can read") from error
    except (RuntimeError, EOFError, ValueError, LookupError, OSError, AttributeError, TypeError, MemoryError) as error:
        raise CheckpointError(
            f"{path} is no checkpoint that torch or safetensors can read ({_first_line(error)})"
        ) from error


def _require_valid_archive(path: Path, size: int) -> None:
    """Look at an archive's table of contents before anything in it is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            declared = sum(entry.file_size for entry in archive.infolist())
            names = [name.rsplit("/", 1)[-1] for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CheckpointError(
            f"the checkpoint {path} is a broken archive, cut short perhaps; fetch it again"
        ) from error
    if declared > MAX_UNPACK_RATIO * size:
        raise CheckpointError(
            f"the checkpoint {path} of {size} bytes claims to unpack to {declared} bytes, "
            f"more than {MAX_UNPACK_RATIO} times its size, which no weight file does; it is refused"
        )
    if "constants.pkl" in names:
        raise CheckpointError(f"{path} is a TorchScript program, not weights; save its state_dict() alone")
    if "data.pkl" not in names:
        raise CheckpointError(f"{path} is an ordinary zip archive, not a checkpoint; unpack it and name the file in it")


def _require_dense(name: str, value: Tensor, path: Path) -> None:
    """A dense tensor whose elements are all in the file (a stride of 0 makes a petabyte out of four bytes)."""
    if value.layout != torch.strided or value.is_quantized or value.is_meta:
        raise CheckpointError(
            f"the checkpoint {path} holds {name} as a sparse, quantised or empty tensor; save it dense"
        )
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise CheckpointError(
            f"the checkpoint {path} claims shape {tuple(value.shape)} for {name}, more elements than it holds; "
            "it is refused"
        )


def _refused_class(message: str) -> str:
    """What a pickle wanted beyond plain tensors, from torch's message; "" if that was not its fault."""
    if found := re.search(r"GLOBAL ([\w.]+)|(?:class|function) ([\w.]+)", message):
        return f"{found[1] or found[2]}"
    return "classes or functions of its own" if "Unsupported" in message or "GLOBAL" in message else ""


def _training_arguments(content: object) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        return {}
    given = content.get("args")
    given = vars(given) if isinstance(given, argparse.Namespace) else given
    arch = {"arch": content["arch"]} if isinstance(content.get("arch"), str) else {}  # timm's and MoCo's habit
    return arch | (dict(given) if isinstance(given, Mapping) else {})


def _guess_file_type(head: bytes) -> str:
    if head.lstrip()[:1] == b"<":
        return ", it looks like a web page saved in its place"
    if head[257:262] == b"ustar":
        return ", it looks like a tar archive (torch before 0.1.10, or a packed folder); unpack or convert it"
    return ""


def _describe_contents(content: object) -> str:
    if not isinstance(content, Mapping):
        return f": it is a {type(content).__name__}"
    keys = ", ".join(sorted(str(key)[:40] for key in content)[:6])
    return f": its entries are {keys}" if keys else ": it is empty"


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__
