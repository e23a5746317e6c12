"""Encode the pictures of a run; the same pixels give the same bytes, as no time and no version is written."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from results.records.picture_manifest import MAX_PICTURE_BYTES, DrawnPicture, PictureEntry, PictureKind

MAX_PNG_BYTES = 90_000
"""A larger picture is a photograph and is stored as JPEG, which needs a fraction of the space."""
JPEG_QUALITIES = (85, 75, 60, 40, 20)
"""Tried in this order until the file is small enough."""


def make_picture(image: Image.Image, stem: str, kind: PictureKind, title: str, **fields: Any) -> DrawnPicture:
    """Encode a picture, as PNG if that is small and as JPEG otherwise, and describe it for the manifest.

    Args:
        image: the picture.
        stem: its file name without the suffix.
        kind: what it shows.
        title: its heading.
        fields: further fields of ``PictureEntry``.
    """
    content, suffix = _encode_png(image), "png"
    if len(content) > MAX_PNG_BYTES:
        content, suffix = encode_jpeg(image), "jpg"
    return DrawnPicture(PictureEntry(file=f"{stem}.{suffix}", kind=kind, title=title, **fields), content)


def _encode_png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def encode_jpeg(image: Image.Image) -> bytes:
    """Encode a picture as JPEG, with less quality, and then at half the size, if readers would not accept it."""
    for quality in JPEG_QUALITIES:
        stream = io.BytesIO()
        # without subsampling of the colors, which would blur text and thin lines; and without optimize=True, with
        # which Pillow fails on pictures that cannot be made small ("Suspension not allowed here")
        image.convert("RGB").save(stream, "JPEG", quality=quality, subsampling=0)
        if stream.tell() <= MAX_PICTURE_BYTES:
            return stream.getvalue()
    return encode_jpeg(image.reduce(2))
