"""Tell what kind of weight file a file is, from its first and last bytes alone. Imports no torch.

Weight files have gigabytes, and their SHA-256 takes minutes, so what cannot be one is refused before it is hashed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO, Any, Literal

from backbones.checkpoints.reading.file_kinds import describe_file_kind
from foundation.display_text import shorten_value
from foundation.errors import CheckpointError
from foundation.storage.regular_files import open_regular

WeightFormat = Literal["safetensors", "zip", "pickle"]

MAX_HEADER_BYTES = 100_000_000
"""Length of the header of a safetensors file, at most; the limit is the format's own."""

MAX_TENSORS = 50_000
"""Number of tensors in one file, at most: backbones have hundreds, and of a million of them reading takes minutes."""

_HEAD_BYTES = 512
# the end of central directory record with the longest comment (APPNOTE.TXT, 4.3.16)
_ZIP_END, _ZIP_END_BYTES = b"PK\5\6", 22 + 65535


def read_weight_format(path: Path) -> WeightFormat:
    """Return how a weight file is packed; the content decides, since public files often have the wrong suffix.

    Args:
        path: one file, no index of several.

    Raises:
        CheckpointError: it cannot be read, is empty or cut off, or is something else than weights.
    """
    try:
        with open_regular(path) as file:
            return _read_format(file, path)
    except OSError as error:
        raise CheckpointError(
            f"the checkpoint {path} cannot be read ({error.strerror or error}); fix its permissions"
        ) from error


def _read_format(file: IO[bytes], path: Path) -> WeightFormat:
    head, size = file.read(_HEAD_BYTES), os.fstat(file.fileno()).st_size
    if not head:
        raise CheckpointError(f"the checkpoint {path} is empty (0 bytes); fetch it again")
    # safetensors starts with the header's length in 8 bytes, followed by the header in JSON; eight letters of a text
    # in JSON would be an enormous length
    if head[8:9] == b"{" and (head[:1] != b"{" or int.from_bytes(head[:8], "little") < size):
        if fault := _find_header_fault(file, size):
            raise CheckpointError(f"the checkpoint {path} is a broken safetensors file: {fault}; fetch it again")
        return "safetensors"
    if head[:2] == b"PK":
        file.seek(max(0, size - _ZIP_END_BYTES))
        if _ZIP_END not in file.read():
            raise CheckpointError(
                f"the checkpoint {path} is a broken archive, perhaps cut off during the download; fetch it again"
            )
        return "zip"
    # before version 1.6 torch wrote plain pickles, one after the other
    if head[:1] == b"\x80":
        return "pickle"
    raise CheckpointError(
        f"{path} is not a checkpoint that torch or safetensors can read{describe_file_kind(path, head)}"
    )


def _find_header_fault(file: IO[bytes], size: int) -> str:
    """Return what is wrong with the header of a safetensors file, or "".

    What it says of shapes and types is checked by the library; this finds what the library does not, or finds late.
    """
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > min(MAX_HEADER_BYTES, size - 8):
        return f"its header would have {length:,} bytes, and the file has {size:,}"
    try:
        header = json.loads(file.read(length), object_pairs_hook=_require_distinct_names)
        ends = [int(each["data_offsets"][1]) for name, each in header.items() if name != "__metadata__"]
    except RecursionError:
        return "its header is nested too deeply"
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        return f"its header cannot be read ({error})"
    if len(ends) > MAX_TENSORS:
        return f"it lists {len(ends):,} tensors, and no backbone has more than {MAX_TENSORS:,}"
    described = 8 + length + max(ends, default=0)
    return "" if described == size else f"its tensors end at byte {described:,}, and the file has {size:,}"


def _require_distinct_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a mapping; of two tensors of one name, readers take either."""
    names = dict(pairs)
    if len(names) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the name {shorten_value(twice)} is there twice")
    return names
