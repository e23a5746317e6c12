"""Stores made up for tests, with a ledger and folders as bench makes them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.results.make import write_digits_run

RIGHT = (True,) * 17 + (False,) * 3


def add_run(store: Path, name: str = "vit_nano", right: Sequence[bool] = RIGHT, seed: int = 0, **changes: Any) -> Path:
    """Write a complete run into a store, as ``bench run`` does, and return its folder."""
    with tempfile.TemporaryDirectory() as folder:
        _, record = write_digits_run(Path(folder) / "run", name, right, seed, **changes)
    target = store / record.task / f"{name}-{record.protocol}-{record.tier}-seed{seed}-{record.run_id}"
    write_digits_run(target, name, right, seed, **changes)
    return target


def read_tree(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder, without locks."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
