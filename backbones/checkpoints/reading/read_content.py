"""Read the content of a weight file, or of the shards of an index, without running code from it.

Files are read as safetensors or by ``torch.load`` with ``weights_only``, which unpickles tensors and plain containers
only. Every kind of broken or unsuitable file gives one sentence that says what it is.
"""

from __future__ import annotations

import argparse
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from backbones.checkpoints.reading.file_format import MAX_TENSORS, read_weight_format
from backbones.checkpoints.reading.file_kinds import describe_refused_class, describe_zip_kind
from backbones.checkpoints.reading.pickle_stubs import PICKLE_STUBS
from backbones.checkpoints.reading.weight_versions import find_tensors
from foundation.errors import CheckpointError
from foundation.weights.shard_index import is_shard_index, list_weight_files, read_shard_index

_DAMAGE = (
    *(RuntimeError, EOFError, ValueError, LookupError, OSError, AttributeError, TypeError, MemoryError),
    *(ArithmeticError, AssertionError, NameError, ImportError, struct.error),
)
"""What torch and pickle raise on truncated or random bytes, found by trying (``tests/fuzz``)."""

MAX_UNPACK_RATIO = 3
"""An archive is refused if it unpacks to more than this many times its size: torch stores without compression."""


class FileContent(NamedTuple):
    """The content of a weight file, unpickled.

    Attributes:
        kind: "torch" or "safetensors", with "sharded" in front for an index.
        content: what the file holds: a mapping, in a usable file.
        arguments: the arguments of the training run as stored in the file.
    """

    kind: str
    content: object
    arguments: Mapping[str, Any]


def read_content(path: Path, *, names_only: bool = False) -> FileContent:
    """Read a weight file, or all shards of an index, without running code from it.

    Args:
        path: the file, as ``require_weight_file`` returns it.
        names_only: only names and shapes are needed; the values are then not read where that is possible.

    Raises:
        CheckpointError: it cannot be read, is not a checkpoint, or is unsafe.
    """
    if is_shard_index(path):
        return _read_shards(path, names_only=names_only)
    found = read_weight_format(path)
    if found == "safetensors":
        return FileContent("safetensors", *_read_safetensors(path))
    content = _read_torch(path, path.stat().st_size, zipped=found == "zip", names_only=names_only)
    return FileContent("torch", content, _training_arguments(content))


def _read_shards(index: Path, *, names_only: bool) -> FileContent:
    """Read the shards of an index into one mapping from names to tensors.

    Raises:
        CheckpointError: a shard lacks a tensor that the index promises, or two shards hold the same one.
    """
    stated = read_shard_index(index)
    tensors: dict[str, Tensor] = {}
    kind = "safetensors"
    arguments: dict[str, Any] = {}
    for shard in list_weight_files(index)[1:]:
        part = read_content(shard, names_only=names_only)
        inside = find_tensors(part.content).tensors
        if twice := tensors.keys() & inside.keys():
            raise CheckpointError(f"two files of {index} hold {min(twice)}; fetch the files again")
        kind, arguments = part.kind, {**arguments, **part.arguments}
        tensors |= inside
    if absent := sorted(stated.keys() - tensors.keys()):
        raise CheckpointError(
            f"{len(absent)} tensors that {index} lists are in none of its files ({absent[0][:80]} ...); fetch them "
            "again"
        )
    return FileContent(f"sharded {kind}", tensors, arguments)


def _read_safetensors(path: Path) -> tuple[Mapping[str, object], Mapping[str, Any]]:
    """Read a safetensors file; return its tensors and its metadata."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
        return load_file(path), metadata
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"the checkpoint {path} is a broken safetensors file: {_first_line(error)}") from error


def _read_torch(path: Path, size: int, *, zipped: bool, names_only: bool) -> object:
    """Read a file written by ``torch.save``, allowing only tensors and plain containers."""
    if zipped:
        _require_valid_archive(path, size)
    try:
        with torch.serialization.safe_globals(PICKLE_STUBS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about unusual pickles; what matters is in our message
            # a mapped file is read where its values are used, which its names and shapes are not; the older plain
            # pickles cannot be mapped
            return torch.load(path, map_location="cpu", weights_only=True, mmap=names_only and zipped)
    except pickle.UnpicklingError as error:
        if needed := _refused_class(str(error)):
            raise CheckpointError(
                f"the checkpoint {path} needs {needed} to be read, which bench refuses because it can run code; "
                f"{describe_refused_class(needed)}"
            ) from error
        raise CheckpointError(f"{path} is not a checkpoint that torch or safetensors can read") from error
    except _DAMAGE as error:
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
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CheckpointError(
            f"the checkpoint {path} is a broken archive, perhaps cut off during the download; fetch it again"
        ) from error
    if declared > MAX_UNPACK_RATIO * size:
        raise CheckpointError(
            f"the checkpoint {path} of {size} bytes claims to unpack to {declared} bytes, "
            f"more than {MAX_UNPACK_RATIO} times its size, which no weight file does; fetch it from a source you trust"
        )
    # beside the tensors there is an entry or two
    if len(names) > MAX_TENSORS + 100:
        raise CheckpointError(
            f"the checkpoint {path} has {len(names):,} entries, and no backbone has more than {MAX_TENSORS:,} tensors; "
            "save its weights alone"
        )
    if kind := describe_zip_kind(names):
        raise CheckpointError(f"{path} is {kind}")


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


def _first_line(error: BaseException) -> str:
    """Return the first line of an error, at most 200 characters, or its type if it has no message."""
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__
