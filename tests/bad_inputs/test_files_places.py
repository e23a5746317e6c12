"""Paths that lead nowhere, records of ``--run``, archives, videos and configs that are damaged."""

import contextlib
import functools
import gzip
import io
import os
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.cli.main import main
from engine.data.loading.quiet_decoders import silence_opencv
from tests.bad_inputs.bad_input import BadInput, check_bad_input, name_case
from tests.bad_inputs.damage import (
    LINK_SAYS,
    NOT_REGULAR_SAYS,
    NOT_TEXT_SAYS,
    damage_file,
    write_image,
)
from tests.bad_inputs.test_files_checkpoints import PTH, write_pth
from tests.results.make import write_digits_run

NO_FOLDER = "there is no folder (.*/)?(x|nowhere|zero); name"
NO_RUNS = "no folder of runs at (x|runs); run something first"
# words of a command that gets the path x, and what is said of a path that leads nowhere or to no folder
PATHS: dict[str, tuple[list[str], str]] = {
    "merge": (["merge", "x", "--out", "o"], f"{NO_FOLDER}|there is no folder /dev/zero"),
    "pack": (["pack", "x", "-o", "o.tar.gz"], NO_FOLDER),
    "submit": (["submit", "x"], NO_FOLDER),
    "verify": (["verify", "x"], NO_RUNS),
    "table": (["table", "--runs", "x"], NO_RUNS),
    "items": (["items", "--runs", "x", "--out", "i.csv"], NO_RUNS),
    "list": (["list", "runs", "--runs", "x"], NO_RUNS),
    "choose": (["choose", "--task", "digits", "--under", "10ms", "--runs", "x"], NO_RUNS),
    "show": (["show", "run", "x"], NO_RUNS),
    "compare": (["compare", "x", "x"], NO_RUNS),
    "export": (["export", "x", "--format", "onnx"], NO_RUNS),
    "predict with a run": (["predict", "x", "--run", "x", "--out", "o"], NO_RUNS),
    "evaluate": (["evaluate", "digits", "--run", "x"], NO_RUNS),
    "check images": (["check", "data", "imagefolder", "--data-root", "x"], "x is not a folder; name your folder"),
    "check masks": (
        ["check", "data", "segfolder", "--data-root", "x"],
        "no segfolder under x: there is no such folder",
    ),
    "check videos": (["check", "data", "trackfolder", "--data-root", "x"], "there is no folder x; name one"),
    "score": (["score", "lasot", "--results", "x", "--data-root", "x"], "--results x is not a folder; name one"),
    "run": (["run", "digits", "--backbone", "vit_nano", "--protocol", "knn", "--out", "x"], "output folder x"),
    "add": (["add", "backbone", "q", "--from", "x"], "cannot read x/record.json: "),
}
RUN = "runs/digits/r"
PLACES = ("broken link", "link circle", "a device", "a pipe", "empty")


def write_letter(folder: Path) -> None:
    (folder / "x").write_text("x")


def write_run(folder: Path) -> None:
    write_digits_run(folder / RUN, "vit_nano", [True, False] * 5)
    write_image(folder / "a.png")


@functools.cache
def pack_run(name: str) -> bytes:
    """Return an archive of one run, as ``bench pack`` writes it."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(io.StringIO()):
        folder, record = write_digits_run(Path(place) / RUN, "vit_nano", [True, False] * 5)
        folder.rename(folder.with_name(f"vit_nano-{record.run_id}"))
        os.chdir(place)
        try:
            assert main(["pack", "runs", "-o", name]) == 0
        finally:
            os.chdir(here)
        return (Path(place) / name).read_bytes()


def write_archive(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(pack_run(name)) and None


def write_foreign_archive(member: tarfile.TarInfo) -> Callable[[Path], None]:
    """Return what writes an archive of another program with one member."""

    def write(folder: Path) -> None:
        with tarfile.open(folder / "a.tar.gz", "w:gz") as archive:
            archive.addfile(member, io.BytesIO(bytes(member.size)))

    return write


def make_member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 4, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.size, member.linkname = kind, size, target
    return member


def write_gzip_bomb(folder: Path) -> None:
    (folder / "a.tar.gz").write_bytes(gzip.compress(bytes(10**7)))


def write_video(folder: Path) -> None:
    silence_opencv()  # FFmpeg reads its setting when it is first used
    writer = cv2.VideoWriter(str(folder / "v.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 48))
    for number in range(4):
        writer.write(np.full((48, 64, 3), 40 * number, np.uint8))
    writer.release()


def write_card(content: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "cards").mkdir()
        (folder / "cards" / "mine.json").write_text(content)

    return write


def write_config(folder: Path) -> None:
    (folder / "c.py").write_text("model = dict(type='EncoderDecoder',\n    a=1)\n")
    write_pth(folder)


NOT_OURS = "is not an archive of bench|that is no plain file"
CUT = "is cut off; copy it again"
ARCHIVE = {
    **dict.fromkeys(("empty", "a picture", "a web page", "escapes"), CUT),
    **dict.fromkeys(("zeros", "garbage", "deep"), NOT_OURS),
    "cut off": "a.tar.(gz|zst)",
}
RECORD = {
    **dict.fromkeys(("empty", "zeros", "cut off", "a web page", "deep", "escapes"), "r/record.json is not a record: "),
    **dict.fromkeys(("garbage", "a picture", "UTF-16"), "cannot read runs/digits/r/record.json"),
    "a terabyte": "record.json.*bytes",
    **dict.fromkeys(("missing", "a folder", "a pipe", "a device", *LINK_SAYS), "no run|record.json"),
}
NO_VIDEO = "v.mp4 is not a video that OpenCV can read|v.mp4 is a video file that cannot be opened"
TRACK = ["track", "v.mp4", "--init", "1,1,8,8", "--run", "r"]
CONFIG = ["evaluate", "mini_ade", "--config", "c.py", "--checkpoint", "w.pth", "--dry-run"]

CASES = [
    *(
        case
        for verb, (words, says) in PATHS.items()
        for case in damage_file(f"{verb}: x is", words, "x", write_letter, dict.fromkeys(PLACES, says))
    ),
    *damage_file("record of show", ["show", "run", RUN], f"{RUN}/record.json", write_run, RECORD),
    *damage_file(
        "record of predict", ["predict", "a.png", "--run", RUN, "--out", "o"], f"{RUN}/record.json", write_run, RECORD
    ),
    *damage_file(
        "archive in gzip", ["merge", "a.tar.gz", "--out", "o"], "a.tar.gz", write_archive("a.tar.gz"), ARCHIVE
    ),
    *damage_file(
        "archive in zstd", ["merge", "a.tar.zst", "--out", "o"], "a.tar.zst", write_archive("a.tar.zst"), ARCHIVE
    ),
    *damage_file(
        "archive of weights", ["get", "--unpack", "a.tar.gz"], "a.tar.gz", write_archive("a.tar.gz"),
        {**ARCHIVE, **NOT_REGULAR_SAYS, **LINK_SAYS, "missing": "No such file", "a folder": "Is a directory"},
    ),
    *(
        BadInput(f"archive with {what}", ["merge", "a.tar.gz", "--out", "o"], NOT_OURS, write_foreign_archive(member))
        for what, member in {
            "a path upwards": make_member("../../x"),
            "an absolute path": make_member("/tmp/x"),
            "a link": make_member("x", tarfile.SYMTYPE, 0, "/etc/passwd"),
            "a device": make_member("x", tarfile.CHRTYPE, 0),
            "a name of escapes": make_member("\x1b[2J\nx"),
            "another first member": make_member("x"),
        }.items()
    ),
    BadInput("archive that swells", ["merge", "a.tar.gz", "--out", "o"], NOT_OURS, write_gzip_bomb),
    *damage_file(
        "video", TRACK, "v.mp4", write_video,
        {
            **dict.fromkeys(("zeros", "garbage", "a web page", "deep", "escapes", "cut off"), NO_VIDEO),
            **dict.fromkeys(("missing", "a pipe", "a device", *LINK_SAYS), "there is no video file or folder v.mp4"),
            "empty": r"v.mp4 is empty \(0 bytes\)", "a folder": "v.mp4",
        },
    ),
    *damage_file(
        "config of mmseg", CONFIG, "c.py", write_config,
        {
            **NOT_TEXT_SAYS,
            **dict.fromkeys(("missing", "a folder", "a pipe", "a device", *LINK_SAYS), "there is no config at c.py"),
        },
    ),
    *damage_file(
        "syntax of a config of mmseg", CONFIG, "c.py", write_config,
        {"empty": "c.py", **dict.fromkeys(("cut off", "a web page", "deep", "escapes"), "c.py cannot be read .Syntax")},
        notes=True,
    ),
    *damage_file("checkpoint of mmseg", CONFIG, "w.pth", write_config, {"a terabyte": PTH["a terabyte"]}),
    *damage_file("checkpoint of mmseg", CONFIG, "w.pth", write_config, {"missing": PTH["missing"]}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=name_case)
def test_damaged_places(case: BadInput, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check_bad_input(case, tmp_path, capfd)
