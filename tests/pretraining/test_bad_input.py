"""What is wrong with a pre-training is one sentence, and nothing is written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from backbones.create import create_backbone
from benchmarks.cli.main import main
from engine.data.data_options import make_data_options
from foundation.errors import DataError
from foundation.run_scope import open_run_scope
from pretraining.data import readers
from pretraining.data.dataset import ImageFileDataset
from results.records.picture_manifest import read_pictures
from tests.pretraining.test_run import run

MAE = ("pretrain", "mae", "--backbone", "vit_pico", "--data", "digits")
DISTILL = ("pretrain", "mae_distill", "--backbone", "vit_pico", "--data", "digits")

BAD = [
    (("pretrain", "mea", "--backbone", "vit_pico", "--data", "digits"), "method 'mea'; did you mean mae"),
    (("pretrain", "mae", "--backbone", "vit_pico", "--data", "digit"), "data 'digit'; did you mean digits"),
    ((*MAE, "--set", "mask_ratio=0"), "mask_ratio: Input should be greater than 0, not 0"),
    ((*MAE, "--set", "mask_ratio=1"), "mask_ratio: Input should be less than 1, not 1"),
    ((*MAE, "--set", "mask_ratio=0.99"), "mask_ratio 0.99 leaves 0 of 16 patches visible"),
    ((*MAE, "--set", "img_size=33"), "multiples of 8 px, not 33 x 33"),
    ((*MAE, "--set", "scale=[0.5,0.1]"), "is not a range of fractions of the area"),
    ((*MAE, "--set", "resize=torch"), "the images of digits are in memory, where it changes nothing; leave it out"),
    (
        (*MAE, "--set", "optimizer.layer_decay=0.75", "optimizer.swin_layers=mae_lite"),
        "optimizer.swin_layers changes nothing, because vit_pico is no Swin; leave it out",
    ),
    ((*MAE, "--set", "resize=opencv"), "resize: Input should be 'pillow' or 'torch'"),
    ((*MAE, "--teacher", "mae_base"), "method mae has no teacher"),
    ((*MAE, "--knn-data", "photos"), "--knn-data photos has no labels"),
    (DISTILL, "method mae_distill needs a teacher: --teacher NAME"),
    ((*DISTILL, "--teacher", "vit_base"), "the teacher vit_base has no weights"),
    ((*DISTILL, "--teacher", "mae_small"), "the weights of mae_small are fetched by hand"),
    (
        (*DISTILL, "--teacher", "timm/hiera_base_224"),
        "timm's default is mae_in1k_ft_in1k; name them, for example --teacher timm/hiera_base_224.mae",
    ),
    ((*DISTILL, "--teacher", "timm/vit_base_patch16_224"), "example --teacher timm/vit_base_patch16_224.mae"),
    (
        (*DISTILL, "--teacher", "vit_pico", "--teacher-checkpoint", "nowhere"),
        "the teacher vit_pico: there is no checkpoint at nowhere; fix --teacher-checkpoint\n",
    ),
    (("pretrain", "simmim", "--backbone", "vit_pico", "--data", "digits"), "simmim is for Swin: run mae"),
    (("pretrain", "mae", "--backbone", "vit_pico", "--data", "imagenet"), "there is no folder"),
    (("add", "backbone", "mine", "--from", "."), "cannot read record.json"),
]


@pytest.mark.parametrize(("words", "sentence"), BAD, ids=lambda value: str(value)[-40:])
def test_bad_input(
    words: tuple[str, ...],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    device = ("--device", "cpu") if words[0] == "pretrain" else ()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert main([*words, *device]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir()), "nothing was written"


@pytest.mark.parametrize(
    ("made", "given", "sentence"),
    [
        ({"img_size": 64}, "vit_pico", "were made at another input or patch size"),
        ({}, "vit_cifar", "is made for 36 x 36 px and the student's input is 32 x 32"),
        ({}, "vit_nano", "the teacher vit_pico: the checkpoint .* does not fit"),
    ],
)
def test_a_teacher_of_another_size(made: Any, given: str, sentence: str, tmp_path: Path) -> None:
    """By its card, or by its weights."""
    file = tmp_path / "teacher.pth"
    torch.save(create_backbone(given, checkpoint="random", num_classes=0, **made).model.state_dict(), file)
    given = "vit_pico" if given == "vit_nano" else given  # weights of another width
    with pytest.raises(Exception, match=sentence):
        run(tmp_path / "runs", method="mae_distill", teacher=given, teacher_checkpoint=str(file))
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """24 images, one of them cut short, in two folders, and files that are no images."""
    folder = tmp_path / "images"
    random = np.random.default_rng(0)
    for number in range(24):
        path = folder / ("a" if number % 2 else "b/c") / f"{number:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40 + number, 48, 3), dtype=np.uint8)).save(path)
    (folder / "README.txt").write_text("no image")
    (folder / "._07.jpg").write_bytes(b"no image either")
    broken = folder / "a" / "07.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    return folder


SMALL = ("epochs=2", "batch_size=8", "schedule.warmup=0", "knn_monitor.interval=0", "workers=0")


def test_a_corrupt_image_stops_the_run_by_name(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"07\.jpg cannot be decoded .*counted with --skip-bad"):
        run(tmp_path / "runs", *SMALL, data="folder", data_root=photographs)


def test_corrupt_images_are_left_out_and_counted(photographs: Path, tmp_path: Path) -> None:
    cell = run(tmp_path / "runs", *SMALL, data="folder", data_root=photographs, skip_bad=True)
    assert cell.record.status == "complete"
    assert cell.record.data.splits == {"train": 24}
    assert cell.record.result is not None
    assert cell.record.result.details["skipped"] == ["a/07.jpg"]
    assert "knn" not in cell.record.result.metrics, "no labels, no check"
    assert "reconstruction" in {picture.entry.kind for picture in read_pictures(cell.folder)}


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        (
            "b/IMG_1.psd",
            r"IMG_1\.psd is an image in a format that bench does not open; convert it to \.png, or leave it",
        ),
        ("clip.mp4", r"belongs to nothing that is read: clip\.mp4; leave it out with --exclude clip\.mp4"),
    ],
)
def test_no_file_is_left_out_in_silence(photographs: Path, name: str, cure: str) -> None:
    before = readers.read_image_folder(photographs)
    (photographs / name).write_bytes(b"more")
    with pytest.raises(DataError, match=cure):
        readers.read_image_folder(photographs)
    with open_run_scope(data_options=make_data_options({"exclude": [name]})):
        assert readers.read_image_folder(photographs).fingerprint == before.fingerprint


def test_two_views_of_files(photographs: Path) -> None:
    pool = readers.read_image_folder(photographs)
    item = ImageFileDataset(pool, 16, (0.2, 1.0), "bicubic", 2, skip_bad=True)[0]
    assert item["crops"].shape == (2, 3, 16, 16)
    assert item["crops"].dtype == torch.uint8
    assert bool((item["crops"][0] != item["crops"][1]).any())
    assert item["bad"] == -1
    assert ImageFileDataset(pool, 16, (0.2, 1.0), "bicubic", 2, skip_bad=True)[pool.paths.index("a/07.jpg")]["bad"] >= 0


def test_a_folder_of_broken_images_is_refused(photographs: Path) -> None:
    for path in photographs.rglob("*.jpg"):
        path.write_bytes(b"broken")
    with pytest.raises(DataError, match="16 images in a row cannot be decoded"):
        _ = ImageFileDataset(readers.read_image_folder(photographs), 16, (0.2, 1.0), "bicubic", 1, skip_bad=True)[0]


def test_an_empty_folder_is_a_sentence(photographs: Path) -> None:
    shutil.rmtree(photographs / "a")
    shutil.rmtree(photographs / "b")
    with pytest.raises(DataError, match="holds no image"):
        readers.read_image_folder(photographs)
