"""Text files and names that are not UTF-8, or write one letter in two ways: used, or refused in a sentence."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.cli.main import main
from benchmarks.matrix.suite import read_suite
from benchmarks.score_results import score_results
from foundation.errors import UserError
from results.records.store import read_record
from results.score_request import ScoreRequest
from segmentation.as_is.mmseg_config import read_mmseg_config
from tests.wild_data.wild_folder import WildFolder, check_wild_folder

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"
"""The same word as Windows and Linux write it, and as a Mac does."""

LATIN = os.fsdecode(b"caf\xe9")
"""A name in Latin-1, as it comes out of an old zip."""


def write_images(root: Path, classes: tuple[str, str], prefix: str = "") -> None:
    """Two classes in three splits, with as many images in each."""
    for seed, split in enumerate(("train", "val", "test")):
        for label, name in enumerate(classes):
            for number in range(3):
                path = root / split / name / f"{prefix}{split}{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.random.default_rng([seed, label, number]).integers(0, 255, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(path)


def write_masks(root: Path, content: bytes) -> None:
    """Two classes whose list has the given content."""
    for split in ("train", "test"):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for number in range(2):
            image = np.random.default_rng([number, len(split)]).integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(image).save(root / "images" / split / f"{number}.png")
            Image.fromarray((np.eye(8) > number).astype(np.uint8)).save(root / "labels" / split / f"{number}.png")
    (root / "classes.txt").write_bytes(content)


def list_classes(content: bytes, classes: tuple[str, str] = (COMPOSED, "cat")) -> Callable[[Path], None]:
    """Write images, and a list of their classes with the given content."""

    def write(root: Path) -> None:
        write_images(root, classes)
        (root / "classes.txt").write_bytes(content)

    return write


SPLITS = {"train": 6, "val": 6, "test": 6}
MASKS = {"train": 2, "test": 2}

CASES = [
    WildFolder(
        "a class list with a mark and CRLF",
        "imagefolder",
        list_classes("\ufeffcat\r\ncaf\u00e9\r\n".encode()),
        splits=SPLITS,
        notes=("cat, caf\u00e9",),
    ),
    WildFolder(
        "class folders in Latin-1",
        "imagefolder",
        lambda root: write_images(root, (LATIN, "cat")),
        refused=("caf\\xe9", "is not UTF-8", "convmv"),
    ),
    WildFolder(
        "file names in Latin-1",
        "imagefolder",
        lambda root: write_images(root, ("coffee", "cat"), prefix=LATIN),
        refused=("caf\\xe9", "is not UTF-8", "convmv"),
    ),
    WildFolder(
        "accents of a Mac in all names",
        "imagefolder",
        lambda root: write_images(root, (DECOMPOSED, "cat"), prefix=DECOMPOSED),
        splits=SPLITS,
    ),
    WildFolder(
        "a class list in Latin-1",
        "segfolder",
        lambda root: write_masks(root, "sol\nm\u00fcll\n".encode("latin-1")),
        refused=("classes.txt is not UTF-8: line 2", "iconv -f WINDOWS-1252"),
    ),
    WildFolder(
        "a class list in UTF-16",
        "segfolder",
        lambda root: write_masks(root, "sol\nm\u00fcll\n".encode("utf-16")),
        refused=("classes.txt is UTF-16, not UTF-8", "iconv"),
    ),
    WildFolder(
        "a class list with accents",
        "segfolder",
        lambda root: write_masks(root, "\ufeffsol\r\nm\u00fcll\r\n".encode()),
        splits=MASKS,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.task}: {case.name}")
def test_folders(case: WildFolder, tmp_path: Path) -> None:
    check_wild_folder(case, tmp_path)


def test_a_suite_in_latin_1(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_bytes('summary = "caf\u00e9"\n'.encode("latin-1"))
    with pytest.raises(UserError, match=r"suite.toml is not UTF-8: line 1 has the byte 0xe9"):
        read_suite(str(path))


def test_a_config_of_mmsegmentation_in_utf_16_is_not_executed(tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    path.write_bytes("raise SystemExit\n".encode("utf-16"))
    with pytest.raises(UserError, match=r"config.py is UTF-16, not UTF-8"):
        read_mmseg_config(path)


@pytest.mark.parametrize("written", [COMPOSED, DECOMPOSED])
@pytest.mark.parametrize("stored", [COMPOSED, DECOMPOSED])
def test_predictions_name_files_and_classes_in_either_form(stored: str, written: str, tmp_path: Path) -> None:
    write_images(tmp_path / "data", (stored, "cat"), prefix=stored)
    rows = [f"test/{name}/{written}test{number}.png,{name}" for name in (written, "cat") for number in range(3)]
    file = tmp_path / "predictions.csv"
    file.write_text("\n".join(["file,class", *rows]), encoding="utf-8-sig")
    report = score_results(ScoreRequest("imagefolder", (file,), data_root=tmp_path / "data"))
    assert report.data["metrics"]["top1"] == 100


def test_predictions_in_utf_16_are_named(tmp_path: Path) -> None:
    write_images(tmp_path / "data", ("a", "b"))
    (tmp_path / "predictions.csv").write_bytes("file,class\n".encode("utf-16-le"))
    with pytest.raises(UserError, match=r"predictions.csv is UTF-16, not UTF-8; save it as UTF-8: iconv -f UTF-16LE"):
        score_results(ScoreRequest("imagefolder", (tmp_path / "predictions.csv",), data_root=tmp_path / "data"))


def test_folders_whose_names_are_not_utf_8_can_be_written_to_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["run", "digits", "--backbone", "vit_pico", "--protocol", "knn", "--tier", "smoke", "--device", "cpu"]
    assert main([*words, "--out", LATIN]) == 0
    assert "caf\\udce9" in capsys.readouterr().out
    (path,) = Path(LATIN).rglob("record.json")
    record = read_record(path.parent)
    assert "caf\\udce9" in record.environment.command, "the code of the byte, which every reader of JSON accepts"
    assert main(["table", "--runs", LATIN, "--html", f"{LATIN}/page"]) == 0
    assert main(["table", "--runs", LATIN, "--json"]) == 0


def test_weights_whose_name_is_not_utf_8_are_not_called_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"{LATIN}.safetensors"
    path.write_bytes(b"weights")
    words = ["run", "digits", "--backbone", "vit_pico", "--checkpoint", str(path), "--out", str(tmp_path / "runs")]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "caf\\xe9.safetensors is not UTF-8, so no record can hold it; rename it" in said and "broken" not in said


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_with_few_letters_gets_codes(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "data", ("\u043a\u043e\u0442", "cat"))
    words = ["check", "data", "imagefolder", "--data-root", "data"]
    for more in ([], ["--json"]):
        written = io.BytesIO()
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding=encoding, write_through=True))
        assert main([*words, *more]) == 0
        text = written.getvalue().decode(encoding)
        assert "\\u043a\\u043e\\u0442" in text
    assert json.loads(text)["class_counts"]["train"] == {"\u043a\u043e\u0442": 3, "cat": 3}
