"""The pictures of a run: files in its folder ``pictures`` and the manifest that says what each of them shows.

A run writes them after its record; pages and ``bench show run`` read them. They are not part of what a run claims: a
run without pictures is complete. As run folders may come from somebody else, a reader takes regular PNG and JPEG files
of a limited size only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from foundation.errors import RecordError
from foundation.files import write_atomic
from foundation.storage.regular_files import open_regular, read_regular
from results.records.strict_model import StrictModel, load_json

PICTURES_DIR = "pictures"
MANIFEST_FILE = "pictures.json"
MAX_MANIFEST_BYTES = 500_000
MAX_PICTURE_BYTES = 250_000

PictureKind = Literal["overlay", "class_bars", "film_strip", "success_plot", "reconstruction", "curve", "item_sheet"]
"""What a picture shows.

- ``overlay``: an image with truth, prediction and errors, and the legend of its colors.
- ``class_bars``: the score of each class.
- ``film_strip``: frames of a video with the true and the predicted box.
- ``success_plot``: success over the overlap threshold.
- ``reconstruction``: an image, what a pre-training saw of it, and what it made of it.
- ``curve``: losses or scores over the training.
- ``item_sheet``: small pictures of test items in a grid; ``items`` and ``tile_size`` say where each of them is.
"""

# the first bytes of a file decide its type: a name may lie, and an SVG could contain a script
_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


class PictureEntry(StrictModel):
    """A picture of a run.

    Attributes:
        file: name of the file in the folder ``pictures``, without any folder.
        kind: what it shows.
        title: what it shows, in a few words, for the heading: ``"worst image: frame_0102, mIoU 31.2 %"``.
        caption: what a reader needs to understand it; may be empty.
        item: name of the test item that it shows, as in the per-item file; empty if it shows none or several.
        items: for an ``item_sheet``, the names of the items of its tiles, row by row.
        tile_size: for an ``item_sheet``, width and height of a tile in pixels; tiles have no gap between them.
    """

    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,120}\.(png|jpg)$")
    kind: PictureKind
    title: str = Field(max_length=300)
    caption: str = Field(default="", max_length=1000)
    item: str = Field(default="", max_length=500)
    items: tuple[str, ...] = Field(default=(), max_length=2_000, strict=False)
    tile_size: tuple[int, int] | None = Field(default=None, strict=False)


class StoredPicture(NamedTuple):
    """A picture that can be displayed: its entry, its path and its media type."""

    entry: PictureEntry
    path: Path
    media_type: str


class DrawnPicture(NamedTuple):
    """A picture that is not written yet: its entry in the manifest and the content of its file."""

    entry: PictureEntry
    content: bytes


class _Manifest(StrictModel):
    pictures: tuple[PictureEntry, ...] = Field(max_length=200, strict=False)


def has_picture_manifest(run_folder: Path) -> bool:
    """Return whether the pictures of a run were written; a run may also have none to show."""
    return (run_folder / PICTURES_DIR / MANIFEST_FILE).is_file()


def is_picture_folder_damaged(run_folder: Path) -> bool:
    """Return whether a run has a manifest of pictures and none of them can be displayed; one without any is whole."""
    entries = _read_entries(run_folder / PICTURES_DIR / MANIFEST_FILE)
    return has_picture_manifest(run_folder) and entries != () and not read_pictures(run_folder)


def write_pictures(run_folder: Path, pictures: Sequence[DrawnPicture]) -> None:
    """Write pictures and then their manifest, so that a manifest never names a file that is not there.

    Args:
        run_folder: the run's folder.
        pictures: the pictures, in the order in which they are to be displayed.

    Raises:
        RecordError: a picture is larger than readers accept, two have the same name, or the folder is a link.
    """
    names = [picture.entry.file for picture in pictures]
    folder = run_folder / PICTURES_DIR
    if folder.is_symlink():  # a foreign run could have it point to a folder of the reader
        raise RecordError(f"{folder} is a link, so no pictures are written there; remove it")
    if len(set(names)) < len(names):
        raise RecordError(f"two pictures for {folder} have the same name ({', '.join(names)}); name each differently")
    for picture in pictures:
        if len(picture.content) > MAX_PICTURE_BYTES:
            raise RecordError(
                f"the picture {picture.entry.file} has {len(picture.content):,} bytes, more than the "
                f"{MAX_PICTURE_BYTES:,} that are displayed; draw it smaller"
            )
    folder.mkdir(exist_ok=True)
    for picture in pictures:
        write_atomic(folder / picture.entry.file, picture.content)
    write_picture_manifest(run_folder, [picture.entry for picture in pictures])


def write_picture_manifest(run_folder: Path, entries: Sequence[PictureEntry]) -> None:
    """Write the manifest of a run's pictures atomically; the files themselves are already there.

    Args:
        run_folder: the run's folder.
        entries: the pictures, in the order in which they are to be displayed.
    """
    manifest = _Manifest(pictures=tuple(entries))
    write_atomic(run_folder / PICTURES_DIR / MANIFEST_FILE, manifest.model_dump_json(indent=1, exclude_defaults=True))


def read_pictures(run_folder: Path) -> list[StoredPicture]:
    """Return the pictures of a run in the order of its manifest; what cannot be displayed safely is left out.

    Symbolic links are left out, because a link in a foreign folder could point to a private file of the reader, and so
    are files above ``MAX_PICTURE_BYTES`` and files whose content is neither PNG nor JPEG.
    """
    folder = run_folder / PICTURES_DIR
    found = []
    for entry in _read_entries(folder / MANIFEST_FILE) or ():
        path = folder / entry.file
        if _is_small_file(path, MAX_PICTURE_BYTES):
            try:
                with open_regular(path, MAX_PICTURE_BYTES) as file:
                    media_type = detect_picture_type(file.read(8))
            except OSError:  # it may not be read, or was removed since
                continue
            if media_type is not None:
                found.append(StoredPicture(entry, path, media_type))
    return found


def _read_entries(path: Path) -> tuple[PictureEntry, ...] | None:
    """Return the entries of a manifest; ``None`` if it cannot be read."""
    if not _is_small_file(path, MAX_MANIFEST_BYTES):
        return None
    try:
        content = read_regular(path, MAX_MANIFEST_BYTES).decode("utf-8")
        return _Manifest.model_validate(load_json(content)).pictures
    except (OSError, ValueError):  # a damaged manifest costs the pictures, never the record
        return None


def _is_small_file(path: Path, limit: int) -> bool:
    return path.is_file() and not path.is_symlink() and not path.parent.is_symlink() and path.stat().st_size <= limit


def detect_picture_type(content: bytes) -> str | None:
    """Return the media type of a PNG or JPEG, decided by its first bytes, or ``None`` for everything else."""
    return next((kind for start, kind in _SIGNATURES.items() if content.startswith(start)), None)
