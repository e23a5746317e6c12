"""Damaged images, label files, frames and predictions: each is named in one sentence, and none is decoded unbounded."""

import io
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bad_inputs.bad_input import BadInput, check_bad_input, name_case
from tests.bad_inputs.damage import (
    IN_DATA_SAYS,
    LINK_SAYS,
    NOT_IMAGE_SAYS,
    NOT_REGULAR_SAYS,
    TERABYTE_SAYS,
    damage_file,
    make_png,
    write_image,
)


def check_data(task: str) -> list[str]:
    """Return the words of the command that opens every file of a task's data."""
    return ["check", "data", task, "--data-root", ".", "--all", "--json"]


def write_classes(folder: Path) -> None:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            for number in range(2):
                write_image(folder / split / name / f"{number}.jpg")


def write_mask(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.arange(64).reshape(8, 8) % 2).astype(np.uint8)).save(path)


def write_pairs(folder: Path) -> None:
    for number in range(4):
        write_image(folder / "images" / f"{number}.png")
        write_mask(folder / "masks" / f"{number}.png")
    (folder / "classes.txt").write_text("sky\nroad\n")


def write_predictions(folder: Path) -> None:
    for split in ("train", "test"):
        write_image(folder / "data" / "images" / split / f"{split}.png")
        write_mask(folder / "data" / "masks" / split / f"{split}.png")
    (folder / "data" / "classes.txt").write_text("sky\nroad\n")
    write_mask(folder / "r" / "test.png")


def write_sequence(folder: Path) -> None:
    for number in range(4):
        write_image(folder / "cat" / "img" / f"{number:04d}.jpg", (40, 30))
    (folder / "cat" / "groundtruth.txt").write_text("4,5,10,8\n" * 4)


ABSENT = {"broken link": "is missing", "link circle": "Too many levels of symbolic links"}
COLOR = "is a color image .RGB.; a label file has one number per pixel"
PREDICTION = ["score", "segfolder", "--data-root", "data", "--results", "r"]


def make_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def make_lying_png(width: int, height: int, depth: int = 8, color: int = 0, extra: bytes = b"") -> bytes:
    """Return a PNG of 64 gray pixels whose header claims something else."""
    header = make_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    pixels = make_chunk(b"IDAT", zlib.compress((b"\0" + bytes(8)) * 8))
    return b"\x89PNG\r\n\x1a\n" + header + extra + pixels + make_chunk(b"IEND", b"")


def encode(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (40, 48, 3), np.uint8)
    (image or Image.fromarray(noise)).save(stream, kind, **options)
    return stream.getvalue()


def claim_jpeg_size(width: int, height: int) -> bytes:
    """Return a small JPEG whose frame header has another size."""
    data = encode("JPEG")
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


def flip_byte(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


_PNG, _JPEG = make_png(8), encode("JPEG")
_BOUND = "has more than 250 million pixels"
_LIE = r"its header claims [\d,]+ x [\d,]+ px, more than [\d,]+ bytes can hold"
_BROKEN = "cannot be decoded"
_MOVING = encode("GIF", save_all=True, append_images=[Image.new("RGB", (48, 40), (n, 0, 0)) for n in range(1, 4)])
# content of an image file -> what is said
CONTENTS: dict[str, tuple[bytes, str]] = {
    "40,000 x 40,000 in a PNG": (make_lying_png(40_000, 40_000), _BOUND),
    "400 megapixels in a PNG": (make_lying_png(20_000, 20_000), _BOUND),
    "2^31 x 2^31 in a PNG": (make_lying_png(2**31 - 1, 2**31 - 1), _BOUND),
    "60,000 x 60,000 in a JPEG": (claim_jpeg_size(60_000, 60_000), _BOUND),
    "60,000 x 60,000 in a BMP": (encode("BMP")[:18] + struct.pack("<ii", 60_000, 60_000) + encode("BMP")[26:], _BOUND),
    "10^8 x 10^8 in a PPM": (b"P6\n99999999 99999999\n255\n" + bytes(10), _BOUND),
    "a lie of 121 megapixels in a PNG": (make_lying_png(11_000, 11_000), _LIE),
    "a lie of 121 megapixels in a JPEG": (claim_jpeg_size(11_000, 11_000), _LIE),
    "a strip": (make_lying_png(60_000, 1), "one side more than 1,000 times the other"),
    "no width": (make_lying_png(0, 8), _BROKEN),
    "a depth of 3 bits": (make_lying_png(8, 8, depth=3), _BROKEN),
    "fewer pixels than claimed": (make_lying_png(80, 80), _BROKEN),
    "a changed pixel": (flip_byte(_PNG, 45), _BROKEN),
    "a bomb in a color profile": (
        make_lying_png(8, 8, extra=make_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(80_000_000), 1))), _BROKEN
    ),
    "a short tRNS chunk": (make_lying_png(8, 8, extra=make_chunk(b"tRNS", b"\0")), _BROKEN),
    "a PNG cut off in its pixels": (encode("PNG")[:900], _BROKEN),
    "a JPEG cut off in its pixels": (_JPEG[:-40], "truncated"),
    "a JPEG cut off in its tables": (_JPEG[:90], _BROKEN),
    "a JPEG that ends in zeros": (_JPEG[:-80] + bytes(80), "as an unfinished download"),
    "a TIFF with damaged pixels": (flip_byte(encode("TIFF", compression="tiff_adobe_deflate"), 200), _BROKEN),
    "a GIF cut off": (encode("GIF")[:900], "truncated"),
    "a BMP cut off": (encode("BMP")[:900], _BROKEN),
    "a WebP cut off": (encode("WEBP")[:200], _BROKEN),
    "an animation": (_MOVING, "holds 4 pictures .an animation or pages., and one is needed"),
    "floating-point pixels": (
        encode("TIFF", Image.fromarray(np.ones((8, 8), np.float32))), "floating-point pixels of unknown range"
    ),
    "a document": (b"%PDF-1.7\n", "no image format"),
    "a program in PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image format"),
}  # fmt: skip


def content_cases(
    reader: str, words: list[str], file: str, make: Callable[[Path], None], skipped: str = "(?!)"
) -> list[BadInput]:
    """Return one case for each content of an image file, but for those whose names match a pattern."""

    def write(content: bytes) -> Callable[[Path], None]:
        def write_folder(folder: Path) -> None:
            make(folder)
            (folder / file).write_bytes(content)

        return write_folder

    return [
        BadInput(f"{reader}: {name}", words, says, write(content))
        for name, (content, says) in CONTENTS.items()
        if not re.search(skipped, name)
    ]


CASES = [
    *damage_file(
        "image to classify", check_data("imagefolder"), "train/cat/0.jpg", write_classes,
        {**NOT_IMAGE_SAYS, **IN_DATA_SAYS, **ABSENT, "cut off": "train/cat/0.jpg cannot be decoded"},
    ),
    *damage_file(
        "image to pre-train on",
        ["pretrain", "mae", "--backbone", "vit_nano", "--data", "folder", "--data-root", ".", "--dry-run"],
        "train/cat/0.jpg", write_classes, {**TERABYTE_SAYS, **IN_DATA_SAYS, **ABSENT},
    ),
    *damage_file(
        "image to segment", check_data("segfolder"), "images/0.png", write_pairs,
        {
            **NOT_IMAGE_SAYS, **IN_DATA_SAYS, **ABSENT, "cut off": "images/0.png cannot be decoded",
            "a picture": "images/0.png is 4 x 4 px but its label file masks/0.png is 8 x 8",
            **dict.fromkeys(("missing", "a folder"), "masks/0.png has no image of that name; fetch it"),
        },
    ),
    *damage_file(
        "label file", check_data("segfolder"), "masks/0.png", write_pairs,
        {
            **NOT_IMAGE_SAYS, **IN_DATA_SAYS, **ABSENT, "cut off": "masks/0.png cannot be decoded", "a picture": COLOR,
            **dict.fromkeys(("missing", "a folder"), "images/0.png has no annotation"),
        },
    ),
    *damage_file(
        "predicted labels", PREDICTION, "r/test.png", write_predictions,
        {
            **NOT_IMAGE_SAYS, **NOT_REGULAR_SAYS, **LINK_SAYS, "cut off": "r/test.png cannot be decoded",
            "a picture": COLOR, "a folder": "cannot read r/test.png: Is a directory",
            "missing": "r holds no PNG files",
        },
    ),
    *damage_file(
        "frame", check_data("trackfolder"), "cat/img/0000.jpg", write_sequence,
        {
            **NOT_IMAGE_SAYS, **IN_DATA_SAYS, **ABSENT, "cut off": "the frame cat/img/0000.jpg cannot be decoded",
            "a picture": "ends outside of its image of 4 x 4 px",
            **dict.fromkeys(("missing", "a folder"), "sequence cat has 3 frames and 4 boxes in its ground truth"),
        },
    ),
    *content_cases("image to classify", check_data("imagefolder"), "train/cat/0.jpg", write_classes),
    # libpng itself writes a line about the first one, whose chunks are whole
    *content_cases("image to segment", check_data("segfolder"), "images/0.png", write_pairs, "fewer pixels"),
    *content_cases("frame", check_data("trackfolder"), "cat/img/0000.jpg", write_sequence, "fewer pixels"),
    # other sentences refuse the formats that change label values
    *content_cases(
        "label file", check_data("segfolder"), "masks/0.png", write_pairs, "JPEG|TIFF|floating|animation|WebP|cut off"
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=name_case)
def test_damaged_images(case: BadInput, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check_bad_input(case, tmp_path, capfd)
