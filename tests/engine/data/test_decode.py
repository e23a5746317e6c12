"""Every kind of image file a set may hold, against values worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.data.decode import open_rgb
from foundation.errors import DataError
from tests.classification.data.make import write_noise_image


def save(path: Path, mode: str, colour: object, suffix: str) -> Path:
    file = path / f"x{suffix}"
    Image.new(mode, (8, 6), colour).save(file)  # type: ignore[arg-type]
    return file


@pytest.mark.parametrize(
    ("mode", "colour", "suffix", "expected"),
    [
        ("RGB", (10, 20, 30), ".png", (10, 20, 30)),
        ("L", 77, ".jpg", (77, 77, 77)),
        ("1", 1, ".png", (255, 255, 255)),
        ("RGBA", (10, 20, 30, 0), ".png", (10, 20, 30)),
        ("LA", (77, 0), ".png", (77, 77, 77)),
        ("CMYK", (255, 0, 0, 0), ".jpg", (0, 255, 255)),
        ("CMYK", (0, 0, 0, 255), ".tiff", (0, 0, 0)),
        ("I;16", 65535, ".png", (255, 255, 255)),
        ("I;16", 25700, ".png", (100, 100, 100)),
        ("I;16", 25700, ".tiff", (100, 100, 100)),
    ],
)
def test_each_mode_gives_the_colour_it_shows(
    tmp_path: Path, mode: str, colour: object, suffix: str, expected: tuple[int, ...]
) -> None:
    image = open_rgb(save(tmp_path, mode, colour, suffix))
    assert (image.mode, image.size) == ("RGB", (8, 6))
    assert np.abs(np.asarray(image).astype(int) - expected).max() <= 2, "JPEG may be off by a little"


def test_a_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    image.save(tmp_path / "x.png", transparency=1)
    assert np.asarray(open_rgb(tmp_path / "x.png"))[0, 0].tolist() == [200, 100, 50]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    whole = write_noise_image(tmp_path / "whole.jpg", 0, size=(200, 200)).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tiff")
    Image.fromarray(np.full((4, 4), 70_000, np.int32)).save(tmp_path / "deep.tiff")
    for name, reason in {
        "cut.jpg": "cannot be decoded (image file is truncated",
        "page.jpg": "is not a readable image",
        "none.jpg": "is missing",
        "float.tiff": "floating-point pixels",
        "deep.tiff": "pixels from 70000 to 70000, not 0 to 65535",
    }.items():
        with pytest.raises(DataError) as error:
            open_rgb(tmp_path / name)
        assert str(error.value).startswith(str(tmp_path / name))
        assert reason in str(error.value)
