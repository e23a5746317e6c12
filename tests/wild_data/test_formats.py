"""Image files as phones, cameras, the web and annotation tools write them: the rules of image-files.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engine.data.decode import decode_bgr, open_rgb
from engine.data.image_formats import UNREAD_IMAGE_SUFFIXES
from engine.task import DataReport
from segmentation.data.files import read_raw_labels
from tests.engine.data.test_decode import TURNS, encode, make_exif, pack_png, write_empty_png
from tests.wild_data.wild_folder import WildFolder, check_wild_folder

Write = Callable[[Path], None]
Check = Callable[[DataReport, Path], None]

MP4 = b"\0\0\0\x18ftypmp42" + bytes(range(255)) * 20
HEIC = b"\0\0\0\x1cftypheic\0\0\0\0mif1heic" + bytes(40)
HEIC_CURE = ("pip install 'litevit-bench[images]'",) if ".heic" in UNREAD_IMAGE_SUFFIXES else ()


def noise(seed: int, height: int = 12, width: int = 16) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def picture(seed: int) -> Image.Image:
    return Image.fromarray(noise(seed))


def photos(files: dict[str, bytes]) -> Write:
    """Two classes in train and test, and in class ``cat`` of the test further files."""

    def write(root: Path) -> None:
        places = (f"{split}/{name}/{n}" for split in ("train", "test") for name in ("cat", "dog") for n in (0, 1))
        for seed, place in enumerate(places):
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            picture(seed).save(root / f"{place}.png")
        for name, content in files.items():
            (root / "test/cat" / name).write_bytes(content)

    return write


def pairs(image: bytes, labels: bytes) -> Write:
    """Two classes, one pair in train and, in the test, the given one."""

    def write(root: Path) -> None:
        for split, one, other in (
            ("train", encode(picture(1), "JPEG"), encode(Image.fromarray(LABELS), "PNG")),
            ("test", image, labels),
        ):
            for kind, name, content in (("images", "a.jpg", one), ("labels", "a.png", other)):
                (root / kind / split).mkdir(parents=True, exist_ok=True)
                (root / kind / split / name).write_bytes(content)
        (root / "classes.txt").write_text("sky\nroad\n")

    return write


def frames(second: bytes, name: str = "0002.jpg") -> Write:
    """A sequence of three frames, of which the second is given."""

    def write(root: Path) -> None:
        (root / "cat/img").mkdir(parents=True)
        for number in (1, 3):
            (root / f"cat/img/{number:04d}.jpg").write_bytes(encode(picture(number), "JPEG"))
        (root / "cat/img" / name).write_bytes(second)
        (root / "cat/groundtruth.txt").write_text("1,1,5,5\n" * 3)

    return write


def shows(name: str, expected: NDArray[np.uint8]) -> Check:
    """Hold the pixels of a file, RGB, as the decoder of its domain gives them."""

    def check(report: DataReport, root: Path) -> None:
        (path,) = root.rglob(name)
        is_photo = path.parent.name == "cat"
        found = np.asarray(open_rgb(path)) if is_photo else decode_bgr(path.read_bytes(), path)[..., ::-1]
        assert np.array_equal(found, expected)

    return check


def labels_are(expected: NDArray[np.uint8]) -> Check:
    """Hold the labels of the test image."""

    def check(report: DataReport, root: Path) -> None:
        assert np.array_equal(read_raw_labels(root / "labels/test/a.png"), expected)

    return check


LABELS = np.arange(192, dtype=np.uint8).reshape(12, 16) // 8 % 2
JPEG, PNG = encode(picture(90), "JPEG"), encode(picture(91), "PNG")
CUT = JPEG[:-60]
LABEL_PNG = encode(Image.fromarray(LABELS), "PNG")
GRAY_16 = encode(Image.fromarray(np.arange(192, dtype=np.uint16).reshape(12, 16) * 257), "PNG")


def photo(name: str, files: dict[str, bytes], *refused: str, check: Check | None = None, **options: Any) -> WildFolder:
    # two images of train become val
    splits = None if refused else {"train": 2, "val": 2, "test": 4 + len(files) - len(options.get("exclude", ()))}
    return WildFolder(name, "imagefolder", photos(files), options, splits, refused=refused, check=check)


def pair(name: str, image: bytes, labels: bytes, *refused: str, check: Check | None = None) -> WildFolder:
    splits = None if refused else {"train": 1, "test": 1}
    return WildFolder(name, "segfolder", pairs(image, labels), {}, splits, refused=refused, check=check)


def sequence(name: str, write: Write, *refused: str, check: Check | None = None) -> WildFolder:
    return WildFolder(name, "trackfolder", write, {}, None if refused else {"test": 1}, refused=refused, check=check)


def gray(values: NDArray[Any], file_format: str = "PNG", **options: Any) -> bytes:
    return encode(Image.fromarray(values), file_format, **options)


def film(file_format: str) -> bytes:
    return encode(picture(1), file_format, save_all=True, append_images=[picture(2)])


def write_huge(write: Write, place: str) -> Write:
    def write_both(root: Path) -> None:
        write(root)
        write_empty_png(root / place, 40_000, 40_000)

    return write_both


def turned(orientation: int) -> bytes:
    return encode(picture(90), "PNG", exif=make_exif(orientation))


TURNED_LABELS = gray(np.ascontiguousarray(TURNS[6](LABELS[..., None])[..., 0]))
NIBBLES = np.arange(16, dtype=np.uint8)[None].repeat(12, 0) // 8
NIBBLE_PNG = pack_png(16, 12, 4, 0, (b"\0" + b"\0\0\0\0\x11\x11\x11\x11") * 12)
INK = picture(92).convert("CMYK")
CLEAR = picture(93).convert("P")

CASES = [
    photo("a PNG that is named .jpg", {"x.jpg": PNG}, check=shows("x.jpg", noise(91))),
    photo("a motion photo: a video after the end of the JPEG", {"x.jpg": JPEG + MP4}),
    photo(
        "a WebP from the web that is named .jpg",
        {"x.jpg": encode(picture(75), "WEBP", lossless=True)},
        check=shows("x.jpg", noise(75)),
    ),
    photo(
        "files from the web: .jfif, .jpe, .JPEG",
        {f"x{i}.{s}": encode(picture(80 + i), "JPEG") for i, s in enumerate(("jfif", "jpe", "JPEG"))},
    ),
    photo(
        "scans and drawings: .tif, .gif with one picture, .pgm",
        {
            "x.tif": encode(picture(70), "TIFF"),
            "x.gif": encode(picture(71).convert("P"), "GIF"),
            "x.pgm": encode(picture(72).convert("L"), "PPM"),
        },
        check=shows("x.tif", noise(70)),
    ),
    photo(
        "a phone held upright: EXIF orientation 6, not applied", {"x.png": turned(6)}, check=shows("x.png", noise(90))
    ),
    photo("print colors: a CMYK JPEG", {"x.jpg": encode(INK, "JPEG")}),
    photo(
        "a palette with transparency",
        {"x.png": encode(CLEAR, "PNG", transparency=bytes(range(256)))},
        check=shows("x.png", np.asarray(CLEAR.convert("RGB"))),
    ),
    photo(
        "gray with transparency, and one bit",
        {"x.png": encode(picture(73).convert("LA"), "PNG"), "y.png": encode(picture(74).convert("1"), "PNG")},
        check=shows("x.png", np.asarray(picture(73).convert("L").convert("RGB"))),
    ),
    photo(
        "microscopy: 16-bit gray",
        {"x.png": GRAY_16},
        check=shows("x.png", np.arange(192, dtype=np.uint8).reshape(12, 16)[..., None].repeat(3, 2)),
    ),
    photo("a phone's .heic", {"IMG_1.heic": HEIC}, "IMG_1.heic", *HEIC_CURE),
    photo("a phone's .heic that was named .jpg", {"IMG_1.jpg": HEIC}, "IMG_1.jpg", *HEIC_CURE),
    photo("a camera's raw file beside its JPEG", {"x.jpg": JPEG, "x.CR2": b"II*\0"}, "x.CR2", "convert it to .png"),
    photo("a raw file that is left out", {"x.jpg": JPEG, "x.CR2": b"II*\0"}, exclude=["*/*/*.CR2"]),
    photo("a JPEG that was cut off", {"x.jpg": CUT}, "x.jpg cannot be decoded", "fetch it again"),
    photo(
        "a download that was never filled",
        {"x.jpg": CUT + bytes(500)},
        "x.jpg cannot be decoded",
        "zeros",
    ),
    photo(
        "a web page that was saved as an image", {"x.jpg": b"<html>404</html>"}, "x.jpg cannot be decoded", "--exclude"
    ),
    photo("an empty file", {"x.jpg": b""}, "x.jpg", "fetch it again"),
    photo("an animated GIF", {"x.gif": film("GIF")}, "x.gif holds 2 pictures", "save the one that you mean as .png"),
    photo("a TIFF of two pages", {"x.tif": film("TIFF")}, "x.tif holds 2 pictures", "--exclude"),
    photo(
        "a depth map in floating point",
        {"x.tif": gray(np.ones((12, 16), np.float32), "TIFF")},
        "x.tif",
        "save it with 8 bits per channel",
    ),
    WildFolder(
        "a map of 1,600 megapixels",
        "imagefolder",
        write_huge(photos({}), "test/cat/x.png"),
        refused=("x.png has more than 250 million pixels", "cut it into tiles"),
    ),
    pair("a PNG image that is named .jpg", PNG, LABEL_PNG),
    pair("a motion photo with labels", JPEG + MP4, LABEL_PNG),
    pair("a turned photo, labels drawn as it is shown", turned(6), TURNED_LABELS),
    pair(
        "a turned photo and labels with the same tag",
        turned(6),
        gray(LABELS, exif=make_exif(6)),
        check=labels_are(TURNS[6](LABELS[..., None])[..., 0]),
    ),
    pair(
        "a turned photo, labels drawn as it is stored",
        turned(6),
        LABEL_PNG,
        "a.png is 16 x 12",
        "EXIF orientation",
        "turn the label file likewise",
    ),
    pair("labels in 16 bits", JPEG, gray(LABELS.astype(np.uint16)), check=labels_are(LABELS)),
    pair("labels in 16 bits that are no classes", JPEG, gray(LABELS.astype(np.uint16) * 256), "a.png has label 256"),
    pair("labels in 4 bits of gray", JPEG, NIBBLE_PNG, check=labels_are(NIBBLES)),
    pair(
        "labels that were saved as JPEG",
        JPEG,
        gray(LABELS, "JPEG"),
        "a.png is a JPEG image",
        "export the labels as .png",
    ),
    pair(
        "labels in floating point",
        JPEG,
        gray(LABELS.astype(np.float32), "TIFF"),
        "a.png holds floating-point numbers",
        "8-bit .png",
    ),
    WildFolder(
        "labels of 1,600 megapixels",
        "segfolder",
        write_huge(pairs(JPEG, LABEL_PNG), "labels/test/a.png"),
        refused=("a.png has more than 250 million pixels",),
    ),
    pair(
        "an image with labels that was cut off",
        CUT,
        LABEL_PNG,
        "a.jpg cannot be decoded",
        "fetch it again",
    ),
    sequence("frames of which one is a PNG named .jpg", frames(PNG), check=shows("0002.jpg", noise(91))),
    sequence(
        "frames in 16 bits",
        frames(GRAY_16),
        check=shows("0002.jpg", np.arange(192, dtype=np.uint8).reshape(12, 16)[..., None].repeat(3, 2)),
    ),
    sequence(
        "frames of which one was cut off",
        frames(CUT),
        "0002.jpg cannot be decoded",
        "fetch it again",
    ),
    sequence("frames of which one is an animation", frames(film("GIF"), "0002.gif"), "0002.gif holds 2 pictures"),
    sequence(
        "frames of which one is huge",
        write_huge(frames(JPEG), "cat/img/0002.jpg"),
        "0002.jpg has more than 250 million pixels",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_wild_folder(case: WildFolder, tmp_path: Path) -> None:
    check_wild_folder(case, tmp_path)
