"""Label files and images of segmentation: every kind of file gives its own numbers, or one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foundation.errors import DataError
from segmentation.data.dataset_layout import ImageLabelPair
from segmentation.data.files import read_bgr_image, read_image_pair, read_label_map, read_raw_labels
from segmentation.data.labels import LabelSpace
from tests.engine.data.test_decode import TURNS, encode, make_exif, make_pixels, pack_png, write_empty_png

SPACE = LabelSpace(200, 0, (255,))


def write_pair(folder: Path, image: bytes, labels: bytes) -> ImageLabelPair:
    (folder / "a.jpg").write_bytes(image)
    (folder / "a.png").write_bytes(labels)
    return ImageLabelPair("a", folder / "a.jpg", folder / "a.png")


@pytest.mark.parametrize(
    ("bits", "row", "expected"),
    [
        (1, b"\x4d", [0, 1, 0, 0, 1, 1, 0, 1]),
        (2, b"\x1b\xe4", [0, 1, 2, 3, 3, 2, 1, 0]),
        (4, b"\x01\x23\x4e\xf5", [0, 1, 2, 3, 4, 14, 15, 5]),
        (8, bytes(range(8)), list(range(8))),
        (16, b"\x00\x01\x01\x00\xff\xff" + bytes(10), [1, 256, 65535, 0, 0, 0, 0, 0]),
    ],
)
@pytest.mark.parametrize("is_palette", [False, True])
def test_labels_are_the_numbers_in_the_file(
    tmp_path: Path, bits: int, row: bytes, expected: list[int], is_palette: bool
) -> None:
    path = tmp_path / "a.png"
    color_type = 3 if is_palette and bits < 16 else 0  # a palette has at most 8 bits
    path.write_bytes(pack_png(8, 1, bits, color_type, b"\0" + row))
    assert read_raw_labels(path).tolist() == [expected], "Pillow spreads 2 and 4 bits of gray over 0 to 255"


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".gif", ".pgm"])
def test_exact_formats_keep_labels(tmp_path: Path, suffix: str) -> None:
    labels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    Image.fromarray(labels).save(tmp_path / f"a{suffix}")
    assert (read_raw_labels(tmp_path / f"a{suffix}") == labels).all()


def test_sixteen_bit_labels_are_not_cut_to_eight(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.full((4, 4), 257, np.uint16)).save(path)  # its lower 8 bits are 1
    assert (read_raw_labels(path) == 257).all()
    with pytest.raises(DataError, match=r"a\.png has label 257, but"):
        read_label_map(path, SPACE)


def test_what_is_no_label_file_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "jpeg.png", "JPEG")
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tif")
    Image.new("LA", (4, 4)).save(tmp_path / "alpha.png")
    Image.new("P", (4, 4)).save(
        tmp_path / "film.gif", save_all=True, append_images=[Image.new("P", (4, 4), 1)], optimize=False
    )
    write_empty_png(tmp_path / "huge.png", 40_000, 40_000)
    for name, reason in {
        "jpeg.png": "is a JPEG image, whose compression changes label values; export the labels as .png",
        "float.tif": "holds floating-point numbers; save its class numbers as an 8-bit .png",
        "alpha.png": "has a channel of transparency (LA)",
        "film.gif": "holds 2 pictures",
        "huge.png": "has more than 250 million pixels",
    }.items():
        with pytest.raises(DataError) as error:
            read_raw_labels(tmp_path / name)
        assert str(error.value).startswith(f"the label file {tmp_path / name} {reason}")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_and_its_labels_are_turned_alike(tmp_path: Path, orientation: int) -> None:
    pixels, exif = make_pixels(), make_exif(orientation)
    labels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    upright = TURNS[orientation](labels[..., None])[..., 0]
    stored = encode(Image.fromarray(pixels), "PNG", exif=exif)
    for content in (encode(Image.fromarray(labels), "PNG", exif=exif), encode(Image.fromarray(upright), "PNG")):
        image, found = read_image_pair(write_pair(tmp_path, stored, content), SPACE)
        assert (image[..., ::-1] == TURNS[orientation](pixels)).all() and (found == upright).all()


def test_labels_drawn_on_the_image_before_it_is_turned_are_refused(tmp_path: Path) -> None:
    labels = encode(Image.fromarray(np.zeros((6, 8), np.uint8)), "PNG")
    turned = encode(Image.fromarray(make_pixels()), "JPEG", exif=make_exif(6))
    with pytest.raises(DataError, match=r"a\.jpg is 6 x 8 px but .*a\.png is 8 x 6; the image is turned as its EXIF"):
        read_image_pair(write_pair(tmp_path, turned, labels), SPACE)
    other = encode(Image.fromarray(make_pixels(8, 6)), "JPEG")
    with pytest.raises(DataError, match="the two must have the same size, so fetch both again"):
        read_image_pair(write_pair(tmp_path, other, labels), SPACE)


def test_images_are_opened_by_content_and_damage_is_found_by_decoding(tmp_path: Path) -> None:
    pixels = make_pixels(40, 40)
    path = tmp_path / "a.jpg"
    path.write_bytes(encode(Image.fromarray(pixels), "PNG"))
    assert (read_bgr_image(path)[..., ::-1] == pixels).all()
    jpeg = encode(Image.fromarray(pixels), "JPEG")
    path.write_bytes(jpeg)
    sound = read_bgr_image(path)
    path.write_bytes(jpeg + bytes(range(255)) * 100)  # a motion photo: more than 4,096 bytes after the end
    assert (read_bgr_image(path) == sound).all()
    path.write_bytes(jpeg[: len(jpeg) // 2])
    with pytest.raises(DataError, match=r"the image .*a\.jpg cannot be decoded"):
        read_bgr_image(path)
