"""The manifest of an archive: its first member, which names every other one with size and SHA-256."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, ValidationError

from foundation.display_text import format_one_line
from foundation.errors import ArchiveError
from results.records.record import Sha256
from results.records.strict_model import StrictModel, format_validation_errors

MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 256_000_000
"""A larger manifest is refused before it is read; a million files need about 150 MB."""

MAX_NAME_BYTES = 255
"""Longest name of a file or folder, as on all common file systems."""

MAX_PATH_BYTES = 256
"""Longest path in an archive: what the header of a plain tar file can hold."""

ArchiveKind = Literal["results", "offline"]
"""``results`` holds runs (``bench pack``), ``offline`` weights and data (``bench get --pack``)."""


class ManifestFile(StrictModel):
    """A file of an archive: its path below the archive's root, its size and its content."""

    path: str
    bytes: int = Field(ge=0)
    sha256: Sha256


class ArchiveManifest(StrictModel):
    """What an archive holds; ``made_by`` is the version of bench that wrote it."""

    kind: ArchiveKind
    version: Literal[1] = 1
    made_by: str
    files: list[ManifestFile]

    @property
    def total_bytes(self) -> int:
        """Return the size of all files together, unpacked."""
        return sum(file.bytes for file in self.files)


def parse_manifest(content: bytes, kind: ArchiveKind, origin: str) -> ArchiveManifest:
    """Read a manifest, and check every path in it.

    Args:
        content: the JSON.
        kind: the kind of archive that is expected.
        origin: the archive, for messages.

    Raises:
        ArchiveError: it is not a manifest, is of another kind, or names a path that must not be written.
    """
    try:
        manifest = ArchiveManifest.model_validate_json(content)
    except ValidationError as error:
        raise ArchiveError(f"the manifest of {origin} is not valid: {format_validation_errors(error)}") from error
    if manifest.kind != kind:
        verbs = {"results": "bench pack, for bench merge", "offline": "bench get --pack, for bench get --unpack"}
        raise ArchiveError(f"{origin} is an archive of {verbs[manifest.kind]}; one of {verbs[kind]} is needed")
    names = [file.path for file in manifest.files]
    for name in names:
        # first, as every folder of a path is looked at
        if len(name.encode("utf-8", "replace")) > MAX_PATH_BYTES:
            raise ArchiveError(
                f"{origin} has a file with a path of {len(name):,} characters, which a plain tar file cannot hold; "
                "nothing was unpacked, do not trust this archive"
            )
        require_safe_name(name, origin)
    seen = set(names)
    if len(seen) < len(names):
        raise ArchiveError(f"the manifest of {origin} names a file twice, so it is not clear which content it has")
    for name in names:
        parts = name.split("/")
        for depth in range(1, len(parts)):
            if "/".join(parts[:depth]) in seen:
                raise ArchiveError(f"{origin} has {_quote(name)} both as a file and as a folder")
    return manifest


def require_safe_name(name: str, origin: str) -> None:
    """Accept the path of a member only if it stays below the folder that it is unpacked to.

    Args:
        name: the path, with forward slashes.
        origin: the archive, for messages.

    Raises:
        ArchiveError: it is absolute, leads upwards, is hidden, or holds what some system reads in another way.
    """
    parts = name.split("/")
    # hidden files are refused too: .git/hooks and .github/workflows run code where an archive is unpacked in a checkout
    bad = any(
        not part or part.startswith(".") or len(part.encode("utf-8", "replace")) > MAX_NAME_BYTES for part in parts
    )
    # a backslash separates folders and a colon names a drive on Windows; control characters mislead a terminal
    if bad or re.search(r"[\\\x00-\x1f\x7f]|^[A-Za-z]:|[\ud800-\udfff]", name):
        raise ArchiveError(
            f"{origin} has a file named {_quote(name)}, which could lie outside of the folder or be hidden in it; "
            "nothing was unpacked, do not trust this archive"
        )


def _quote(name: str) -> str:
    return format_one_line(repr(name[:200]))
