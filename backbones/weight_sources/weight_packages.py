"""Pretrained weights that come as packages of the package index: ``pip install`` is the fetch. Imports no torch."""

from __future__ import annotations

import sysconfig
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from foundation.errors import CheckpointError

PACKAGE_SCHEME = "package"
"""Marks the address of weights in a package: ``package:DISTRIBUTION/PATH/IN/IT``."""


def find_package_file(address: str) -> Path | None:
    """Return a file of an installed package; ``None`` if it is not installed. Nothing of the package is imported.

    Args:
        address: name of the distribution, a slash, and the path of the file as the distribution lists it.
    """
    package, _, inner = address.partition("/")
    try:
        path = Path(str(distribution(package).locate_file(inner)))
    except PackageNotFoundError:
        return None
    return path if path.is_file() else None


def get_package_folder() -> Path:
    """Return the folder in which packages are installed."""
    return Path(sysconfig.get_paths()["purelib"])


def make_missing_package_error(name: str, address: str) -> CheckpointError:
    """Return the error for weights whose package is not installed.

    Args:
        name: the backbone.
        address: of its weights, as ``find_package_file`` takes it.
    """
    package = address.partition("/")[0]
    return CheckpointError(
        f"the weights of {name} come with the package {package}, which is not installed: pip install {package} (or "
        "litevit-bench[weights]), give the file with --checkpoint FILE, or, for a training, ask for random "
        "weights with --checkpoint random"
    )
