"""What a command left in a folder, in a form in which two runs of it can be compared.

Times, speeds and what tells one attempt from the next are left out; everything else must be equal to the last bit.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import sqlite3
import tarfile
from collections import defaultdict
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from tests.faults.kill_points import hide_random_parts

OF_ATTEMPTS = {"cost", "environment", "earlier_attempts", "speed", "date", "created", "seconds", "data_root"}
"""Keys of JSON files that say when, where and how fast."""

OF_THE_MOMENT = {"cache/file_hashes.sqlite", "tmp/.ses"}
"""What depends on when a file was written (a digest is kept of files that are some seconds old), and ONNX Runtime's."""

UNEQUAL = ("*.jsonl", "sha256/*.json", "timings/*.json", "tracked/*_times.txt")
"""Files that are there each time with another content: attempts, digests of checkpoints with times in them, times."""

OF_LIBRARIES = (".cache/", ".config/", "cache/torchinductor")
"""Caches of libraries; whether they are made depends on the process."""

CLOCK = re.compile(rb"20\d\d-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?([+]00:00|Z| UTC)?")


def list_outcomes(area: Path) -> dict[str, str]:
    """What is in a folder and its subfolders: path, and digest of what must not depend on a kill.

    Logs are left out, as each attempt writes its own, and so are ledgers (checked by the product's own reader).
    """
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(area.rglob("*")):
        name = path.relative_to(area).as_posix()
        if "logs" in path.parts or name.endswith(".lock") or name in OF_THE_MOMENT or name.startswith(OF_LIBRARIES):
            continue
        if path.is_dir():
            if not any(path.iterdir()):
                found[f"{hide_random_parts(name)}/"].append("empty folder")
        else:
            described = _describe(PurePosixPath(name), path.read_bytes())
            digest = hashlib.sha256(described).hexdigest()
            found[hide_random_parts(name)].append(described.decode() if path.suffix == ".json" else digest)
    return {name: "\n".join(sorted(contents)) for name, contents in found.items()}


def _describe(name: PurePosixPath, content: bytes) -> bytes:
    """What must be equal of a file's content."""
    if any(map(name.match, UNEQUAL)):
        return b""
    if name.suffix == ".sqlite":
        return b"database"
    if name.suffix == ".pth":
        return _describe_tensors(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    if name.suffix == ".json":
        return json.dumps(_drop_attempts(json.loads(content)), sort_keys=True).encode()
    if name.name.endswith((".tar.gz", ".tar.zst", ".tgz")):
        return _describe_archive(content)
    return CLOCK.sub(b"", content)


def _describe_archive(content: bytes) -> bytes:
    parts = []
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            file = archive.extractfile(member)
            text = _describe(PurePosixPath(member.name), file.read()) if file else b""
            parts.append(f"{hide_random_parts(member.name)} {hashlib.sha256(text).hexdigest()}")
    return "\n".join(parts).encode()


def _drop_attempts(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _drop_attempts(value) for name, value in content.items() if name not in OF_ATTEMPTS}
    return [_drop_attempts(value) for value in content] if isinstance(content, list) else content


def _describe_tensors(content: Any) -> bytes:
    """Names and values of everything in a checkpoint but the seconds that it took."""
    if isinstance(content, torch.Tensor):
        return f"{content.dtype}{tuple(content.shape)}".encode() + content.contiguous().numpy().tobytes()
    if isinstance(content, dict):
        parts = (f"{name}:".encode() + _describe_tensors(value) for name, value in content.items() if name not in TIMES)
        return b"{" + b",".join(parts) + b"}"
    if isinstance(content, list | tuple):
        return b"[" + b",".join(map(_describe_tensors, content)) + b"]"
    return repr(content).encode()


TIMES = {"seconds", "time", "cfg", "experiment_name", "exp_name"}
"""Keys of a checkpoint that say when, how long, and in which attempt."""


def show_difference(first: str, second: str) -> str:
    """Where two descriptions begin to differ."""
    where = next(
        (n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
    return f"...{first[max(0, where - 80) : where + 80]}... and ...{second[max(0, where - 80) : where + 80]}..."


def require_whole_databases(area: Path) -> None:
    """Every SQLite file can be read and is what its own check calls whole."""
    for path in area.rglob("*.sqlite"):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)], path
