"""The table of image formats: what is opened, what is refused, and which extra opens it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS

from engine.data import image_formats
from engine.data.image_formats import (
    IMAGE_SUFFIXES,
    OPTIONAL_FORMATS,
    UNREAD_IMAGE_SUFFIXES,
    describe_unopened,
    get_pillow_formats,
    is_image_name,
)


def test_every_suffix_of_torchvision_is_opened_and_none_is_opened_and_refused() -> None:
    assert set(IMG_EXTENSIONS) <= set(IMAGE_SUFFIXES)
    assert not set(IMAGE_SUFFIXES) & set(UNREAD_IMAGE_SUFFIXES)
    assert all(
        (suffix in IMAGE_SUFFIXES) is each.is_present and (suffix in UNREAD_IMAGE_SUFFIXES) is not each.is_present
        for each in OPTIONAL_FORMATS
        for suffix in each.suffixes
    )
    assert len(set(IMAGE_SUFFIXES)) == len(IMAGE_SUFFIXES)
    assert is_image_name("a/B.JPEG") and not is_image_name("a/b.csv")


def test_a_reader_is_there_for_every_suffix() -> None:
    readers = get_pillow_formats()
    for suffix in IMAGE_SUFFIXES:
        assert Image.registered_extensions().get(suffix) in (*readers, "JPEG"), suffix


def test_an_unopened_image_names_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    absent = tuple(each._replace(is_present=False) for each in OPTIONAL_FORMATS)
    monkeypatch.setattr(image_formats, "OPTIONAL_FORMATS", absent)
    for name, kind in (("1.HEIC", "HEIF"), ("1.avif", "AVIF"), ("1.jxl", "JPEG XL")):
        sentence = describe_unopened(tmp_path / name)
        assert sentence.startswith(f"{tmp_path / name} is an image in the format {kind}") and "[images]" in sentence
    # a phone's image under another name: the first bytes say what it is
    renamed = tmp_path / "IMG_1.jpg"
    renamed.write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0" + bytes(20))
    assert "HEIF" in describe_unopened(renamed)
    assert "convert it to .png" in describe_unopened("x/cover.psd")


def test_nothing_is_said_about_other_files(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(content, "PNG")
    (tmp_path / "sound.jpg").write_bytes(content.getvalue())
    assert describe_unopened(tmp_path / "sound.jpg") == "" and describe_unopened(tmp_path / "labels.csv") == ""
