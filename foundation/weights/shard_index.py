"""Weights that are split over several files: the index that lists them, their SHA-256 and their size.

``transformers`` and its relatives write ``model.safetensors.index.json`` (or ``pytorch_model.bin.index.json``) beside
``model-00001-of-00003.safetensors`` and so on; its ``weight_map`` says for each tensor in which file it is. Everything
that identifies a weight file goes through this module, so that a changed shard is another start.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from foundation.errors import CheckpointError
from foundation.files import sha256_chunks, sha256_file
from foundation.storage.regular_files import FileTooLargeError
from foundation.text.user_json import read_user_json

INDEX_SUFFIX = ".index.json"
"""The end of the name of an index; the index stands for the weights, as a single weight file does."""

MAX_INDEX_BYTES = 64 << 20
"""An index of 100,000 tensors has about 10 MB; a larger file is not read into memory."""


def is_shard_index(path: Path) -> bool:
    """Return whether a path is the index of sharded weights, by its name."""
    return path.name.endswith(INDEX_SUFFIX)


def read_shard_index(index: Path) -> dict[str, str]:
    """Read the index of sharded weights.

    Args:
        index: the index file.

    Returns:
        For each tensor the name of the file that holds it, in the index's folder.

    Raises:
        CheckpointError: it cannot be read, has no ``weight_map``, or names a file outside its folder.
    """
    try:
        content = read_user_json(index, MAX_INDEX_BYTES)
    except FileTooLargeError as error:
        raise CheckpointError(f"the index {index} is larger than any index of weights; name another file") from error
    except (OSError, ValueError) as error:  # bytes that are not UTF-8 are a ValueError, too
        raise CheckpointError(f"the index {index} cannot be read ({type(error).__name__}); fetch it again") from error
    shards = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(shards, dict) or not shards:
        raise CheckpointError(f"the index {index} lists no tensors under weight_map; fetch it again")
    for tensor, name in shards.items():
        # an index is untrusted: it must not make bench read (or hash) a file elsewhere on this machine
        if not isinstance(name, str) or name in ("", ".", "..") or "\0" in name or name != Path(name).name:
            raise CheckpointError(
                f"the index {index} names the file {str(name)[:80]!r} for {tensor[:80]}, which is not a file name; an "
                "index may only name files in its own folder"
            )
        if "\\" in name or is_shard_index(Path(name)):
            raise CheckpointError(f"the index {index} names {name[:80]!r} for {tensor[:80]}, which is no weight file")
    return shards


def list_weight_files(path: Path) -> tuple[Path, ...]:
    """Return all files that make up a run's weights: the file itself or, for an index, the index and its shards.

    Args:
        path: a weight file, or an index.

    Raises:
        CheckpointError: the index is unusable, or a shard that it names is not there.
    """
    if not is_shard_index(path):
        return (path,)
    shards = [path.with_name(name) for name in sorted(set(read_shard_index(path).values()))]
    if absent := [shard.name for shard in shards if not shard.is_file()]:
        raise CheckpointError(
            f"the weights of {path} are incomplete: {len(absent)} of their {len(shards)} files are missing "
            f"({', '.join(absent[:3])}); fetch them into its folder"
        )
    return (path, *shards)


def hash_weights(path: Path, hash_file: Callable[[Path], str] = sha256_file) -> str:
    """Return the SHA-256 of weights, in hexadecimal: the file's own or, for an index, one over index and shards.

    Args:
        path: a weight file, or an index.
        hash_file: returns the SHA-256 of one file.

    Raises:
        CheckpointError: as ``list_weight_files``.
    """
    files = list_weight_files(path)
    if len(files) == 1:
        return hash_file(path)
    return sha256_chunks(f"{file.name}\0{hash_file(file)}\n".encode() for file in files)


def count_weight_bytes(path: Path) -> int:
    """Return the size of weights in bytes, index and shards included.

    Args:
        path: a weight file, or an index.

    Raises:
        CheckpointError: as ``list_weight_files``.
    """
    return sum(file.stat().st_size for file in list_weight_files(path))
