"""The folder of an exported model: written whole or not at all, and read only if no file in it has changed."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from deployment.manifest import MANIFEST_FILENAME, ExportManifest
from foundation.errors import UserError
from foundation.files import grant_default_mode, sha256_file, write_atomic
from results.records.strict_model import format_validation_errors

ManifestT = TypeVar("ManifestT", bound=ExportManifest)


def hash_files(files: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of each file's content by its name, as a manifest lists them."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def write_export(folder: Path, files: Mapping[str, bytes], manifest: ExportManifest) -> None:
    """Write an exported model, whole or not at all; an older export in that folder is replaced.

    Args:
        folder: of the export; its parent is there already.
        files: their content by name.
        manifest: of these files.
    """
    half = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, content in files.items():
            write_atomic(half / name, content)
        write_atomic(half / MANIFEST_FILENAME, manifest.model_dump_json(indent=2) + "\n")
        grant_default_mode(half)
        if folder.exists():
            # a folder that is not empty cannot be replaced by a rename, so the older one is moved out of the way first
            old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent)) / "old"
            folder.rename(old)
            half.rename(folder)
            shutil.rmtree(old.parent)
        else:
            half.rename(folder)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise


def read_export(folder: Path, manifest_class: type[ManifestT]) -> tuple[ManifestT, dict[str, bytes]]:
    """The manifest of an exported model, and the content of its files, whose hashes are those of the manifest.

    Args:
        folder: of the export.
        manifest_class: the manifest of the task.

    Raises:
        UserError: the folder holds no export, its manifest is not valid, or a file is missing or was changed.
    """
    path = folder / MANIFEST_FILENAME
    if not path.is_file():
        raise UserError(f"{folder} holds no exported model (no {MANIFEST_FILENAME}); make one with bench export RUN")
    try:
        manifest = manifest_class.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UserError(
            f"{path} does not hold as a manifest: {format_validation_errors(error)}; export the run again"
        ) from error
    contents = {}
    for name in manifest.files:
        try:
            contents[name] = (folder / name).read_bytes()
        except OSError as error:
            raise UserError(f"{folder / name} cannot be read ({error.strerror}); export the run again") from error
    for name, found in hash_files(contents).items():
        if found != manifest.files[name]:
            raise UserError(f"{folder / name} is not the file that was exported (its SHA-256 differs); export again")
    return manifest, contents


def is_export_outdated(manifest: ExportManifest, weights_file: Path) -> bool:
    """Whether an export holds other weights than a file, for example the last ones of its run."""
    return manifest.origin.checkpoint_sha256 != sha256_file(weights_file)
