"""Every kind of image file a set may hold, against values worked out by hand and the libraries' own calls."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, PngImagePlugin

from engine.data.decode import MAX_PIXELS, OPENCV_DOMAINS, decode_bgr, describe_decoder, find_jpeg_end, open_rgb
from engine.data.image_formats import OPTIONAL_FORMATS, OptionalFormat, get_pillow_formats
from foundation.errors import DataError
from tests.classification.data.make import write_noise_image

TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}
"""EXIF orientation, and what shows the stored pixels upright (Exif 2.32, 4.6.4: where the 0th row and column are)."""


def make_pixels(height: int = 6, width: int = 8) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def encode(image: Image.Image, file_format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def make_exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif.tobytes()


def pack_png(width: int, height: int, bits: int, color_type: int, rows: bytes) -> bytes:
    """Return a PNG of its bare parts (PNG specification, 5.3 and 11.2); ``rows`` begin with their filter's number."""

    def pack(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    palette = pack(b"PLTE", bytes(3 * 2 ** min(bits, 8))) if color_type == 3 else b""
    chunks = (pack(b"IHDR", header), palette, pack(b"IDAT", zlib.compress(rows)), pack(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def write_empty_png(path: Path, width: int, height: int) -> Path:
    """Write a PNG whose header states a size, with hardly any pixels: 80 bytes that would become gigabytes."""
    path.write_bytes(pack_png(width, height, 8, 0, bytes(64)))
    return path


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
        ("1", 1, ".bmp", (255, 255, 255)),
        ("RGBA", (10, 20, 30, 0), ".png", (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), ".tiff", (10, 20, 30)),
        ("LA", (77, 0), ".png", (77, 77, 77)),
        ("LA", (77, 0), ".tiff", (77, 77, 77)),
        ("CMYK", (255, 0, 0, 0), ".jpg", (0, 255, 255)),
        ("CMYK", (0, 0, 0, 255), ".tiff", (0, 0, 0)),
        ("CMYK", (255, 0, 0, 51), ".tiff", (0, 204, 204)),
        ("I;16", 65535, ".png", (255, 255, 255)),
        ("I;16", 25700, ".png", (100, 100, 100)),
        ("I;16", 25700, ".tiff", (100, 100, 100)),
        ("P", 0, ".gif", (0, 0, 0)),
    ],
)
def test_each_mode_gives_the_colour_it_shows(
    tmp_path: Path, mode: str, colour: object, suffix: str, expected: tuple[int, ...]
) -> None:
    path = save(tmp_path, mode, colour, suffix)
    image = open_rgb(path)
    assert (image.mode, image.size) == ("RGB", (8, 6))
    assert np.abs(np.asarray(image).astype(int) - expected).max() <= 2, "JPEG may be off by a little"
    other = decode_bgr(path.read_bytes(), path)
    assert other.shape == (6, 8, 3) and np.abs(other[..., ::-1].astype(int) - expected).max() <= 2


@pytest.mark.parametrize("transparency", [None, 1, bytes([255, 0])])
def test_a_palette_with_and_without_transparency(tmp_path: Path, transparency: Any) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    path = tmp_path / "x.png"
    image.save(path, **({} if transparency is None else {"transparency": transparency}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # PIL says of some palettes that they should be converted otherwise
        assert np.asarray(open_rgb(path))[0, 0].tolist() == [200, 100, 50]
    assert decode_bgr(path.read_bytes(), path)[0, 0].tolist() == [50, 100, 200]


def test_sixteen_bits_are_scaled_by_one_rule(tmp_path: Path) -> None:
    values = np.array([[0, 256, 257, 25_700, 65_278, 65_535]], np.uint16)
    path = tmp_path / "x.png"
    Image.fromarray(values).save(path)
    assert np.asarray(open_rgb(path))[0, :, 0].tolist() == [0, 0, 1, 100, 254, 255], "divided by 257"
    assert decode_bgr(path.read_bytes(), path)[0, :, 0].tolist() == [0, 1, 1, 100, 254, 255], "the upper 8 bits"
    color = np.stack([values, values // 2, values // 4], -1)
    path.write_bytes(cv2.imencode(".png", color)[1].tobytes())
    upper = (color >> 8).astype(np.uint8)
    assert (np.asarray(open_rgb(path))[..., ::-1] == upper).all(), "Pillow reads the upper 8 bits of 16-bit colors"
    assert (decode_bgr(path.read_bytes(), path) == upper).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP"])
def test_the_orientation_is_applied_where_opencv_does(tmp_path: Path, file_format: str, orientation: int) -> None:
    pixels = make_pixels()
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = encode(Image.fromarray(pixels), file_format, exif=make_exif(orientation), **options)
    upright = TURNS[orientation](pixels)
    assert (decode_bgr(data, "x")[..., ::-1] == upright).all()
    (tmp_path / "x").write_bytes(data)
    # torchvision and timm leave EXIF alone; a TIFF's orientation belongs to the format, and Pillow applies it
    assert (np.asarray(open_rgb(tmp_path / "x")) == (upright if file_format == "TIFF" else pixels)).all()


SOUND = {
    "baseline": ("RGB", "JPEG", {"quality": 80}),
    "progressive": ("RGB", "JPEG", {"progressive": True}),
    "no subsampling": ("RGB", "JPEG", {"subsampling": 0}),
    "gray": ("L", "JPEG", {}),
    "ink": ("CMYK", "JPEG", {}),
    "tagged": ("RGB", "JPEG", {"exif": make_exif(6)}),
    "png": ("RGB", "PNG", {}),
    "gray png": ("L", "PNG", {}),
    "transparent png": ("RGBA", "PNG", {}),
    "palette png": ("P", "PNG", {}),
}


@pytest.mark.parametrize("kind", SOUND)
def test_pixels_of_sound_files_are_those_of_the_libraries(tmp_path: Path, kind: str) -> None:
    mode, file_format, options = SOUND[kind]
    data = encode(Image.fromarray(make_pixels(45, 60)).convert(mode), file_format, **options)
    path = tmp_path / "any name"
    path.write_bytes(data)
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(open_rgb(path)), np.asarray(image.convert("RGB")))
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert expected is not None and np.array_equal(decode_bgr(data, path), expected)


def test_a_file_is_opened_by_its_content(tmp_path: Path) -> None:
    pixels = make_pixels(40, 50)
    png, jpeg = (encode(Image.fromarray(pixels), kind) for kind in ("PNG", "JPEG"))
    path = tmp_path / "png.jpg"
    path.write_bytes(png)
    assert (np.asarray(open_rgb(path)) == pixels).all() and (decode_bgr(png, path)[..., ::-1] == pixels).all()
    # phones append the video of a motion photo; its bytes may look like the end of a JPEG
    for tail in (b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40, bytes(5000), b"\xff\xd9" * 9):
        path.write_bytes(jpeg + tail)
        assert (decode_bgr(jpeg + tail, path) == decode_bgr(jpeg, path)).all()
        photo = open_rgb(path)
        path.write_bytes(jpeg)
        assert (np.asarray(photo) == np.asarray(open_rgb(path))).all()


def test_a_png_with_large_metadata_is_sound(tmp_path: Path) -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("history", "x" * 3_000_000, zip=True)
    pixels = make_pixels()
    path = tmp_path / "x.png"
    Image.fromarray(pixels).save(path, pnginfo=notes)
    assert (np.asarray(open_rgb(path)) == pixels).all()
    assert (decode_bgr(path.read_bytes(), path)[..., ::-1] == pixels).all()


def test_a_cut_jpeg_is_found_though_a_whole_preview_is_in_it(tmp_path: Path) -> None:
    preview = encode(Image.fromarray(make_pixels()), "JPEG")
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "x"
    body = exif.tobytes() + preview
    data = encode(Image.fromarray(make_pixels(80, 90)), "JPEG")
    whole = data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
    assert find_jpeg_end(whole) == len(whole) - 2 and find_jpeg_end(whole + b"mp4") == len(whole) - 2
    path = tmp_path / "x.jpg"
    for cut in (whole[: len(whole) // 2], whole[:-2], whole[: len(body) + 40], whole[: len(whole) // 2] + bytes(9000)):
        assert find_jpeg_end(cut) == -1
        path.write_bytes(cut)
        for read in (lambda: open_rgb(path), lambda data=cut: decode_bgr(data, path)):
            with pytest.raises(DataError, match=r"x\.jpg cannot be decoded"):
                read()


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
def test_a_cut_file_of_any_format_is_refused(tmp_path: Path, file_format: str) -> None:
    data = encode(Image.fromarray(make_pixels(60, 60)), file_format)
    path = tmp_path / "x.img"
    path.write_bytes(data[: int(len(data) * 0.7)])
    with pytest.raises(DataError, match=r"x\.img cannot be decoded"):
        open_rgb(path)
    with pytest.raises(DataError, match=r"the frame .*x\.img cannot be decoded"):
        decode_bgr(path.read_bytes(), path, "the frame")


def test_a_switch_of_pillow_does_not_let_a_cut_file_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as many scripts do
    path = tmp_path / "x.jpg"
    path.write_bytes(encode(Image.fromarray(make_pixels(60, 60)), "JPEG")[:-200])
    for read in (lambda: open_rgb(path), lambda: decode_bgr(path.read_bytes(), path)):
        with pytest.raises(DataError, match="cannot be decoded"):
            read()


@pytest.mark.parametrize("each", OPTIONAL_FORMATS, ids=lambda each: each.name)
def test_both_decoders_open_every_format_that_is_there(tmp_path: Path, each: OptionalFormat) -> None:
    if not each.is_present:
        pytest.skip(f"no reader of {each.name}: the extra images is not installed")
    get_pillow_formats()  # registers the readers and writers
    pixels = make_pixels(32, 48) // 8 + np.arange(48, dtype=np.uint8)[:, None] * 4
    data = encode(Image.fromarray(pixels), each.pillow_names[0], exif=make_exif(1))
    path = tmp_path / f"x{each.suffixes[0]}"
    path.write_bytes(data)
    found = np.asarray(open_rgb(path))
    assert found.shape == (32, 48, 3) and np.abs(found.astype(int) - pixels).mean() < 8, "the formats lose a little"
    assert np.array_equal(decode_bgr(data, path)[..., ::-1], found)


@pytest.mark.parametrize("size", [(40_000, 40_000), (20_000, 15_000), (MAX_PIXELS + 1, 1)])
def test_too_large_an_image_is_refused_by_its_header(
    tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_empty_png(tmp_path / "x.png", *size)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for read in (lambda: open_rgb(path), lambda: decode_bgr(path.read_bytes(), path)):
            with pytest.raises(DataError, match=r"x\.png has more than 250 million pixels.*cut it into tiles"):
                read()
    # the same where other code took Pillow's own check away
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(DataError, match=r"x\.png has more than 250 million pixels"):
        open_rgb(path)


@pytest.mark.parametrize("file_format", ["GIF", "TIFF", "PNG", "WEBP"])
def test_a_file_with_several_pictures_is_refused(tmp_path: Path, file_format: str) -> None:
    first, second = (Image.fromarray(make_pixels() // part) for part in (1, 2))
    data = encode(first, file_format, save_all=True, append_images=[second])
    path = tmp_path / "x.gif"
    path.write_bytes(data)
    for read in (lambda: open_rgb(path), lambda: decode_bgr(data, path)):
        with pytest.raises(DataError, match=r"x\.gif holds 2 pictures .*save the one that you mean"):
            read()
    # official sets from the web may hold some, and torchvision reads the first picture
    assert (np.asarray(open_rgb(path, takes_first_picture=True)) == np.asarray(Image.open(path).convert("RGB"))).all()
    single = encode(first.convert("P"), file_format, **({"lossless": True} if file_format == "WEBP" else {}))
    path.write_bytes(single)
    assert (np.asarray(open_rgb(path)) == np.asarray(first.convert("P").convert("RGB"))).all()


def test_a_map_with_versions_in_lower_resolution_is_one_picture(tmp_path: Path) -> None:
    first, second = (Image.fromarray(make_pixels() // part) for part in (1, 2))
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.asarray(first), photometric="rgb")
    tifffile.imwrite(path, np.asarray(second)[::2, ::2], photometric="rgb", append=True, subfiletype=1)
    data = path.read_bytes()
    assert (np.asarray(open_rgb(tmp_path / "x.tif")) == np.asarray(first)).all()
    assert (decode_bgr(data, "x.tif")[..., ::-1] == np.asarray(first)).all()


def test_a_phones_jpeg_with_further_views_is_its_first_picture() -> None:
    first, second = (Image.fromarray(make_pixels() // part) for part in (1, 2))
    data = encode(first, "MPO", save_all=True, append_images=[second])
    plain = cv2.imdecode(np.frombuffer(encode(first, "JPEG"), np.uint8), cv2.IMREAD_COLOR)
    assert (decode_bgr(data, "x.jpg") == plain).all()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    whole = write_noise_image(tmp_path / "whole.jpg", 0, size=(200, 200)).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    (tmp_path / "phone.jpg").write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic" + bytes(40))
    (tmp_path / "empty.png").write_bytes(b"")
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tiff")
    Image.fromarray(np.full((4, 4), 70_000, np.int32)).save(tmp_path / "deep.tiff")
    bands = cv2.imencode(".tiff", np.full((4, 4, 3), 0.5, np.float32))[1].tobytes()
    (tmp_path / "bands.tiff").write_bytes(bands)
    for name, reason in {
        "cut.jpg": "cannot be decoded (image file is truncated",
        "page.jpg": "cannot be decoded (its content is that of no image format that is read)",
        "phone.jpg": "HEIF",
        "empty.png": "cannot be decoded (0 bytes)",
        "none.jpg": "is missing",
        "float.tiff": "floating-point pixels of unknown range; save it with 8 bits per channel",
        "bands.tiff": "save it with 8 bits per channel",
        "deep.tiff": "pixels from 70000 to 70000, not 0 to 65535",
    }.items():
        with pytest.raises(DataError) as error:
            open_rgb(tmp_path / name)
        assert str(error.value).startswith(str(tmp_path / name))
        assert (reason in str(error.value)) or name == "phone.jpg"
        if (tmp_path / name).exists():
            with pytest.raises(DataError):
                decode_bgr((tmp_path / name).read_bytes(), tmp_path / name)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
def test_damage_anywhere_is_pixels_or_one_sentence(tmp_path: Path, file_format: str) -> None:
    data = encode(Image.fromarray(make_pixels(20, 20)), file_format)
    rng = np.random.default_rng(1)
    path = tmp_path / "x.img"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PIL's remarks on damaged metadata
        for _ in range(60):
            broken = bytearray(data)
            for place in rng.integers(0, min(len(data), 300), 3):
                broken[place] = int(rng.integers(256))
            path.write_bytes(bytes(broken))
            for read in (lambda: open_rgb(path), lambda content=bytes(broken): decode_bgr(content, path)):
                try:
                    read()
                except DataError as error:
                    assert "x.img" in str(error)


def test_the_decoder_of_a_domain_is_named_with_its_version() -> None:
    assert describe_decoder("classification").startswith(f"Pillow {version('pillow')}")
    for domain in OPENCV_DOMAINS:
        assert describe_decoder(domain).startswith(f"OpenCV {cv2.__version__} with ")
        assert f"Pillow {version('pillow')}" in describe_decoder(domain)


def test_a_scan_in_which_zero_is_white_is_no_negative(tmp_path: Path) -> None:
    """The same picture with 8 and with 16 bits, as radiographs are stored."""
    levels = np.array([[0, 10, 200, 255]], np.uint8)
    for bits, scale in ((8, 1), (16, 257)):
        path = tmp_path / f"{bits}.tif"
        values = (255 - levels).astype(np.uint16 if bits == 16 else np.uint8) * scale
        tifffile.imwrite(path, values, photometric="miniswhite")
        assert np.asarray(open_rgb(path))[..., 0].tolist() == levels.tolist()
        assert decode_bgr(path.read_bytes(), path)[..., 0].tolist() == levels.tolist()


def test_a_strip_that_would_take_gigabytes_when_resized_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (1000, 1)).save(tmp_path / "long.png")
    open_rgb(tmp_path / "long.png")
    Image.new("RGB", (1, 1001)).save(tmp_path / "longer.png")
    with pytest.raises(DataError, match=r"longer\.png is 1 x 1,001 px, .* cut it into pieces, or leave it out with"):
        open_rgb(tmp_path / "longer.png")
