"""Layouts, label spaces and every way a set can be wrong, through the command line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.cli.main import main
from foundation.errors import DataError
from segmentation.data.checks import require_unshifted_labels
from segmentation.data.dataset_layout import ADE20K_LABEL_SPACE, read_camvid
from segmentation.data.files import read_label_map
from segmentation.data.labels import LabelSpace
from segmentation.tasks import ADE20K as TASK
from segmentation.tasks import CAMVID
from tests.segmentation.make import save_pair, write_small_ade

NAME = "ADE_val_00000001"


def no_annotation(ade: Path) -> str:
    (ade / f"annotations/validation/{NAME}.png").unlink()
    return f"{NAME}.jpg has no annotation"


def no_image(ade: Path) -> str:
    (ade / f"images/validation/{NAME}.jpg").unlink()
    return f"{NAME}.png has no image"


def another_size(ade: Path) -> str:
    save_pair(ade.parent, "validation", NAME, np.ones((40, 48)), size=(40, 50))
    return f"{NAME}.jpg is 50 x 40 px but its label file"


def label_151(ade: Path) -> str:
    save_pair(ade.parent, "validation", NAME, np.full((40, 48), 151))
    return f"{NAME}.png has label 151, but labels are 1 to 150, and 0 for ignored pixels"


def reduced_twice(ade: Path) -> str:
    save_pair(ade.parent, "validation", NAME, np.full((40, 48), 255))
    return "255 looks like labels that were already shifted by one"


def color_image(ade: Path) -> str:
    Image.new("RGB", (48, 40)).save(ade / f"annotations/validation/{NAME}.png")
    return f"{NAME}.png is a color image (RGB)"


def empty_split(ade: Path) -> str:
    for folder in ("images", "annotations"):
        shutil.rmtree(ade / folder / "validation")
        (ade / folder / "validation").mkdir()
    return "images/validation holds no files"


def no_split(ade: Path) -> str:
    shutil.rmtree(ade / "images" / "validation")
    return "there is no folder"


def cut_jpeg(ade: Path) -> str:
    path = ade / f"images/validation/{NAME}.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    return f"{NAME}.jpg cannot be decoded"


def no_jpeg(ade: Path) -> str:
    (ade / f"images/validation/{NAME}.jpg").write_bytes(b"")
    return f"{NAME}.jpg cannot be decoded (0 bytes"


def cut_label(ade: Path) -> str:
    path = ade / f"annotations/validation/{NAME}.png"
    path.write_bytes(path.read_bytes()[:100])
    return f"{NAME}.png cannot be decoded"


def elsewhere(ade: Path) -> str:
    ade.rename(ade.parent / "ade")
    return "looked for ADEChallengeData2016 or ade20k or ade, but it holds ade"


WRONG = (
    *(no_annotation, no_image, another_size, label_151, reduced_twice, color_image),
    *(empty_split, no_split, cut_jpeg, no_jpeg, cut_label, elsewhere),
)


@pytest.mark.parametrize("break_it", WRONG, ids=lambda function: function.__name__)
def test_wrong_data_is_one_sentence(
    break_it: Callable[[Path], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = break_it(write_small_ade(tmp_path))
    assert main(["check", "data", "ade20k", "--data-root", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert len(said.err.strip().splitlines()) == 1, said.err


@pytest.mark.parametrize("break_it", [no_annotation, empty_split, elsewhere], ids=lambda function: function.__name__)
def test_a_run_on_wrong_data_writes_nothing(
    break_it: Callable[[Path], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = break_it(write_small_ade(tmp_path / "data"))
    out = tmp_path / "runs"
    words = ["run", "ade20k", "--backbone", "vit_nano", "--subset", "--data-root", str(tmp_path / "data")]
    assert main([*words, "--out", str(out)]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_cut_set_needs_subset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_small_ade(tmp_path)
    words = ["run", "ade20k", "--backbone", "vit_nano", "--data-root", str(tmp_path), "--out", str(tmp_path / "o")]
    assert main(words) == 2
    assert "train has 2 of 20,210 pairs; test has 2 of 2,000 pairs" in capsys.readouterr().err


def test_what_check_says_of_a_sound_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the contact sheet is written
    write_small_ade(tmp_path)
    assert main(["check", "data", "ade20k", "--data-root", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "train: 2 pairs opened, 150 of 150 classes seen, 0." in said
    assert "NOT THE OFFICIAL SET: train has 2 of 20,210 pairs" in said


def test_label_numbers_become_classes(tmp_path: Path) -> None:
    path = tmp_path / "label.png"
    Image.fromarray(np.array([[0, 1, 150]], np.uint8)).save(path)
    assert read_label_map(path, ADE20K_LABEL_SPACE).tolist() == [[255, 0, 149]]
    with pytest.raises(DataError, match="has label 150, but labels are 0 to 10, and 11"):
        read_label_map(path, LabelSpace(11, 0, (11,)))


def test_the_fingerprint_sees_every_byte(tmp_path: Path) -> None:
    ade = write_small_ade(tmp_path)
    first = TASK.check_data(tmp_path).fingerprint
    assert TASK.check_data(tmp_path).fingerprint == first
    with (ade / f"images/validation/{NAME}.jpg").open("ab") as file:
        file.write(b"\0")
    assert TASK.check_data(tmp_path).fingerprint != first


def test_real_ade20k(shared_data: Path) -> None:
    report = TASK.check_data(shared_data / "ade20k", "all")
    assert report.splits == {"train": 5, "test": 5}
    assert report.deviations == ("train has 5 of 20,210 pairs", "test has 5 of 2,000 pairs")
    assert any("classes were not seen anywhere" in note for note in report.notes)


def test_labels_shifted_by_one_are_found_by_their_shares(shared_data: Path) -> None:
    folder = shared_data / "ade20k" / "ADEChallengeData2016"
    lines = (folder / "objectInfo150.txt").read_text().splitlines()[1:]
    shares = np.array([float(line.split("\t")[1]) for line in lines])
    total = np.zeros(256, np.int64)
    total[1:151] = (shares * 1e6).astype(int)
    require_unshifted_labels(total, folder)
    with pytest.raises(DataError, match="look shifted by one"):
        require_unshifted_labels(np.roll(total, -1), folder)


def test_real_camvid(shared_data: Path, tmp_path: Path) -> None:
    import tarfile

    archive = shared_data / "camvid" / "camvid_480x360.tar"
    if not archive.is_file():
        pytest.skip(f"no {archive}")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    report = CAMVID.check_data(tmp_path, "sample")
    assert report.splits == CAMVID.expected
    assert not report.deviations
    assert "every class was seen in the sample" in report.notes
    assert len(read_camvid(tmp_path).splits["val"]) == 101


def own_folder(root: Path, classes: str = "sky\nroad\n") -> None:
    (root / "classes.txt").write_text(classes)
    for split, shade in (("train", 0), ("test", 255)):
        for part in ("images", "labels"):
            (root / part / split).mkdir(parents=True)
        Image.new("RGB", (20, 20), (shade,) * 3).save(root / "images" / split / "a.jpg")
        Image.fromarray(np.array([[0, 1], [255, 1]], np.uint8).repeat(10, 0).repeat(10, 1)).save(
            root / "labels" / split / "a.png"
        )


def test_a_folder_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_folder(tmp_path)
    words = ["check", "data", "segfolder", "--data-root", str(tmp_path), "--json"]
    assert main(words) == 0
    assert "train: 1 pairs opened, 2 of 2 classes seen, 25.0 % of the pixels are ignored" in capsys.readouterr().out
    (tmp_path / "classes.txt").write_text("sky\n")
    assert main(words) == 2
    assert "names 1 classes; give 2 to 255" in capsys.readouterr().err
    (tmp_path / "classes.txt").unlink()
    assert main(words) == 2
    assert "looked for classes.txt" in capsys.readouterr().err
