"""Versions of installed packages, also of those that come under several names."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from foundation.run_scope import memoize_in_run

OWN_NAME = "litevit-bench"

# Builds of one library that fill the same import name; a machine has one of them.
_OTHER_BUILDS = {
    "opencv-python": ("opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml"),
}


@memoize_in_run
def find_build(name: str) -> tuple[str, str] | None:
    """Find the installed build of a library.

    Args:
        name: the name on the package index, e.g. ``opencv-python``.

    Returns:
        The build's own name, e.g. ``opencv-python-headless``, and its version; None if none is installed.
    """
    for build in (name, *_OTHER_BUILDS.get(name, ())):
        try:
            return build, version(build)
        except PackageNotFoundError:
            continue
    if name == OWN_NAME and (own := _read_own_version()):
        return name, own
    return None


def find_version(name: str) -> str | None:
    """Return the version of a library, whichever build of it is installed; None if none is.

    >>> find_version("no-such-package") is None
    True
    """
    found = find_build(name)
    return found[1] if found else None


def get_own_version() -> str:
    """Return the version of bench; ``unknown`` where its source was copied without pyproject.toml and not installed."""
    return find_version(OWN_NAME) or "unknown"


def _read_own_version() -> str | None:
    # a source tree on PYTHONPATH was never installed, so only its pyproject.toml says which version it is
    try:
        text = (Path(__file__).resolve().parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r'^version = "([^"]+)"', text, re.MULTILINE)
    return found[1] if found and f'name = "{OWN_NAME}"' in text else None
