"""Read a JSON file that anyone may have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from foundation.storage.regular_files import read_regular

MAX_JSON_BYTES = 1 << 24
"""Size of the largest configuration that is read; that of a model has some kilobytes."""


def read_user_json(path: Path, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Read a JSON file in UTF-8.

    Args:
        path: the file.
        max_bytes: the size above which the file is refused.

    Raises:
        OSError: it cannot be read, is too large, or is a pipe or a device.
        ValueError: it is not JSON in UTF-8, or is nested too deeply.
    """
    try:
        return json.loads(read_regular(path, max_bytes).decode("utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
