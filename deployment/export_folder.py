"""The folder of an exported model: it is written completely or not at all, and read only if no file has changed."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from deployment.manifest import MANIFEST_FILENAME, ExportManifest
from foundation.errors import UserError
from foundation.files import grant_default_mode, sha256_file, write_atomic
from foundation.storage.disk_space import require_space
from foundation.storage.leftovers import open_partial_folder
from foundation.storage.regular_files import read_regular
from results.records.strict_model import format_validation_errors

EXPORT_FOLDER = "export"
"""Folder of the exports in the folder of a run or an evaluation."""

_MAX_MANIFEST_BYTES, _MAX_NETWORK_BYTES = 1 << 24, 1 << 34
_MAX_ATTEMPTS = 10
"""How often a folder is moved out of the way that other processes write at the same time."""

ManifestT = TypeVar("ManifestT", bound=ExportManifest)


def hash_files(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 of each file's content by file name, as a manifest lists them.

    Args:
        files: the content of each file by its name.
    """
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def require_export_place(folder: Path) -> None:
    """Require that nothing but an older export is where an export is going to be written: it would be removed.

    Args:
        folder: folder of the export.

    Raises:
        UserError: it is a file, or holds files and no export.
    """
    is_free = not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir()))
    if not (is_free or (folder / MANIFEST_FILENAME).is_file()):
        raise UserError(
            f"{folder} is there already and is no export (no {MANIFEST_FILENAME}); move it away, or name another "
            "folder with --out"
        )


def write_export(folder: Path, files: Mapping[str, bytes], manifest: ExportManifest) -> None:
    """Write an exported model, completely or not at all. An older export in that folder is replaced.

    Args:
        folder: folder of the export; its parent must exist.
        files: the content of each file by its name.
        manifest: the manifest of these files.

    Raises:
        UserError: something else is in that place.
    """
    require_export_place(folder)
    size = sum(map(len, files.values()))
    require_space(folder.parent, size, "the files of this export", num_files=len(files) + 2)
    # next to the final folder, so that renaming it cannot turn into a copy between two file systems
    with open_partial_folder(folder) as half:
        for name, content in files.items():
            write_atomic(half / name, content)
        write_atomic(half / MANIFEST_FILENAME, manifest.model_dump_json(indent=2) + "\n")
        # until now only its owner may enter it
        grant_default_mode(half)
        _replace_folder(half, folder)


def _replace_folder(half: Path, folder: Path) -> None:
    """Give a complete folder its name; an older one of that name goes, also if another process is replacing it."""
    for _ in range(_MAX_ATTEMPTS):
        try:
            half.rename(folder)
            return
        except OSError:
            if not folder.exists():
                raise
        # a folder that is not empty cannot be replaced by a rename, so the older one is moved out of the way first
        with (
            open_partial_folder(folder) as old,
            contextlib.suppress(FileNotFoundError),  # another export has moved it already
        ):
            folder.rename(old / "old")
    raise UserError(f"other processes write {folder} all the time; export again when they have finished")


def read_export(folder: Path, manifest_class: type[ManifestT]) -> tuple[ManifestT, dict[str, bytes]]:
    """Read an exported model after checking that its files are those that its manifest lists.

    Args:
        folder: folder of the export.
        manifest_class: class of the task's manifests.

    Returns:
        The manifest, and the content of each file by its name.

    Raises:
        UserError: the folder holds no export, its manifest is not valid, or a file is missing or was changed.
    """
    path = folder / MANIFEST_FILENAME
    if not path.is_file():
        raise UserError(f"{folder} holds no exported model (no {MANIFEST_FILENAME}); make one with bench export RUN")
    try:
        manifest = manifest_class.model_validate_json(read_regular(path, _MAX_MANIFEST_BYTES))
    except ValidationError as error:
        raise UserError(
            f"{path} is not a valid manifest: {format_validation_errors(error)}; export the run again"
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}); export the run again") from error
    contents = {}
    for name in manifest.files:
        try:
            contents[name] = read_regular(folder / name, _MAX_NETWORK_BYTES)
        except OSError as error:
            raise UserError(
                f"{folder / name} cannot be read ({error.strerror or error}); export the run again"
            ) from error
    # the content itself is hashed and returned, so that a change between the two cannot go unnoticed
    for name, found in hash_files(contents).items():
        if found != manifest.files[name]:
            raise UserError(f"{folder / name} is not the file that was exported (its SHA-256 differs); export again")
    return manifest, contents


def is_export_outdated(manifest: ExportManifest, weights_file: Path) -> bool:
    """Return whether an export holds other weights than a file, for example the last weights of its run.

    Args:
        manifest: manifest of the export.
        weights_file: the file to compare with.
    """
    return manifest.origin.checkpoint_sha256 != sha256_file(weights_file)
