"""Decoder libraries write nothing beside our sentence, and the pixels stay those of the whole file."""

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from engine.data.decode import decode_bgr, open_rgb
from engine.data.file_hashes import hash_files
from engine.data.quiet_decoders import DamagedPngError, silence_opencv, strip_png
from foundation.errors import DataError

NOISE = np.random.default_rng(0).integers(0, 255, (40, 48, 3), np.uint8)


def encode(kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(NOISE).save(stream, kind, **options)
    return stream.getvalue()


def make_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def insert_chunks(*chunks: bytes) -> bytes:
    """Return a PNG with chunks after its header."""
    data = encode("PNG")
    return data[:33] + b"".join(chunks) + data[33:]


REMARKS = (
    make_chunk(b"iCCP", b"x\0\0" + zlib.compress(b"a profile that is none")),
    make_chunk(b"sBIT", b"\x20\x20\x20"),
    make_chunk(b"gAMA", struct.pack(">I", 1)),
    make_chunk(b"tEXt", b"Comment\0text"),
)
# rotated by 90 degrees
TURNED = make_chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0")


def test_metadata_of_a_png_reach_no_library_and_change_no_pixel(capfd: pytest.CaptureFixture[str]) -> None:
    data = insert_chunks(*REMARKS, TURNED)
    np.testing.assert_array_equal(decode_bgr(data, "a.png"), np.rot90(NOISE[..., ::-1], -1))
    assert capfd.readouterr().err == ""
    whole = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert "libpng warning" in capfd.readouterr().err, "the case is none"
    np.testing.assert_array_equal(whole, decode_bgr(data, "a.png"))


def test_a_plain_png_is_passed_on_as_it_is() -> None:
    data = encode("PNG")
    assert strip_png(data) is data


@pytest.mark.parametrize("size", [20, 40, 900, -1])
def test_a_png_that_is_cut_off_is_found_before_libpng_meets_it(size: int) -> None:
    with pytest.raises(DamagedPngError, match="cut off"):
        strip_png(encode("PNG")[:size])


def test_a_changed_chunk_of_a_png_is_found_and_one_of_metadata_left_out() -> None:
    data = encode("PNG")
    with pytest.raises(DamagedPngError, match="its chunk IDAT has another checksum"):
        strip_png(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    text = bytearray(make_chunk(b"tRNS", bytes(6)))
    text[-1] ^= 1
    assert strip_png(insert_chunks(bytes(text))) == data
    # libpng decodes it, and so did bench
    assert strip_png(data[:-1] + b"x") == data


def test_libtiff_is_silent_and_its_error_is_ours(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(encode("TIFF", compression="tiff_lzw"))
    data[200] ^= 0xFF
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.tif cannot be decoded"):
        open_rgb(tmp_path / "a.tif")
    assert capfd.readouterr().err == ""


def test_the_log_of_opencv_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    silence_opencv()
    with pytest.raises(DataError, match="cannot be decoded"):
        decode_bgr(encode("BMP")[:900], "a.bmp")
    assert not cv2.VideoCapture(str(tmp_path / "nothing.mp4"), cv2.CAP_FFMPEG).isOpened()
    assert capfd.readouterr().err == ""


def test_ffmpeg_is_silent_too_where_the_environment_was_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read at the first video, perhaps long after the first image."""
    silence_opencv()
    monkeypatch.delenv("OPENCV_FFMPEG_LOGLEVEL")
    silence_opencv()
    assert os.environ["OPENCV_FFMPEG_LOGLEVEL"] == "-8"
    monkeypatch.setenv("OPENCV_FFMPEG_LOGLEVEL", "48")
    silence_opencv()
    assert os.environ["OPENCV_FFMPEG_LOGLEVEL"] == "48", "a user's own stays"


def test_files_larger_than_any_image_are_not_hashed(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(10**10)
    with pytest.raises(DataError, match=r"a.png has 10,000,000,000 bytes, and an image or table at most 1,000,000,000"):
        hash_files(tmp_path, ["a.png"])
