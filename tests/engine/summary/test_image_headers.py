"""Sizes, channels and formats are those of the files, whatever the files are called."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.summary import image_headers
from engine.summary.image_headers import ImageHeader, collect_image_facts, read_header, read_headers

MODES = {
    "1": "black and white, 1 bit",
    "L": "gray, 8 bit",
    "P": "palette, 8 bit",
    "RGB": "RGB, 8 bit",
    "RGBA": "RGB with transparency, 8 bit",
    "I;16": "gray, 16 bit",
}


@pytest.mark.parametrize("mode", MODES)
def test_channels_and_depth_are_named(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new(mode, (5, 3)).save(path)
    assert read_header(path, "x/a.png") == ImageHeader("x/a.png", (5, 3), MODES[mode], "PNG")


def test_color_of_16_bits_is_not_called_8(tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((3, 5, 3), np.uint16))
    assert read_header(tmp_path / "a.png", "a.png").pixels == "RGB, 16 bit"


def test_the_content_tells_the_format_and_an_orientation_is_seen(tmp_path: Path) -> None:
    image, tags = Image.new("RGB", (5, 3)), Image.Exif()
    tags[0x0112] = 6
    image.save(tmp_path / "a.png", "JPEG", exif=tags)
    header = read_header(tmp_path / "a.png", "a.png")
    assert (header.size, header.file_format, header.is_turned) == ((5, 3), "JPEG", True)
    facts = collect_image_facts([header])
    assert facts is not None and (facts.turned, facts.num_misnamed, facts.misnamed) == (1, 1, ("a.png",))


def test_a_member_of_an_archive_is_read_and_damage_has_no_format(tmp_path: Path) -> None:
    class Member:
        name = "a.png"

        def read_bytes(self) -> bytes:
            stream = io.BytesIO()
            Image.new("L", (2, 2)).save(stream, "PNG")
            return stream.getvalue()

    assert read_header(Member(), "a.png").file_format == "PNG"
    (tmp_path / "b.png").write_bytes(b"no image")
    assert read_header(tmp_path / "b.png", "b.png").file_format == ""
    assert collect_image_facts([read_header(tmp_path / "b.png", "b.png")]) is None


def test_sizes_are_those_of_real_images_by_area() -> None:
    sizes = [(10, 10), (4, 30), (20, 20), (20, 20)]
    facts = collect_image_facts(ImageHeader("a.png", size, "RGB, 8 bit", "PNG") for size in sizes)
    assert facts is not None
    assert (facts.smallest, facts.median, facts.largest) == ((10, 10), (20, 20), (20, 20))
    assert facts.most_common == ((20, 20), 2)


def test_of_a_large_split_an_even_part_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_headers, "MAX_HEADERS", 3)
    found = read_headers(lambda item: ImageHeader(str(item), (1, 1), "", "PNG"), 9)
    assert [header.name for header in found] == ["0", "3", "6"]
