"""Photographs through the real command: runs, checks, downloads, cut sets."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import calculate_md5

from backbones.registry import get_card
from classification.image_tasks import IMAGE_TASKS
from foundation.errors import DataError, UserError
from tests.classification.data import make
from tests.conftest import Bench

SMALL = ("--backbone", "vit_pico", "--tier", "smoke", "--set", "img_size=32")
FINETUNE = (*SMALL, "workers=0", "batch_size=8")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes that colour tells apart."""
    root = tmp_path_factory.mktemp("photos")
    for split, count, first in (("train", 24, 0), ("test", 8, 24)):  # no image is in both splits
        for number, name in enumerate(("dark", "light")):
            for index in range(count):
                path = make.write_noise_image(root / split / name / f"{index}.png", first + index)
                make.set_image_brightness(path, number)
    return root


def only_record(out: Path) -> dict[str, Any]:
    (path,) = out.rglob("record.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


@pytest.mark.parametrize("protocol", ["finetune", "linear", "knn"])
def test_a_users_folder_runs(bench: Bench, photos: Path, tmp_path: Path, protocol: str) -> None:
    words = FINETUNE if protocol == "finetune" else (*SMALL, "pool=avg")
    done = bench(
        "run", "imagefolder", "--protocol", protocol, *words, "--data-root", str(photos), "--out", str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    record = only_record(tmp_path)
    assert record["data"]["deviations"] == []
    assert record["data"]["splits"]["test"] == record["expected"] == record["done"] == 16
    assert set(record["result"]["metrics"]) == {"top1", "mean_per_class"}
    if protocol != "finetune":
        assert record["result"]["metrics"]["top1"]["value"] == 100, "colour is in the features of any network"


def test_a_cut_set_needs_the_word(bench: Bench, tmp_path: Path) -> None:
    make.write_flowers(tmp_path / "data", each=1)
    words = ("run", "flowers", "--protocol", "knn", *SMALL, "pool=avg", "--data-root", str(tmp_path / "data"))
    refused = bench(*words, "--out", str(tmp_path / "runs"))
    assert refused.returncode == 2
    assert "test has 102 images where the official split has 6,149" in refused.stderr
    assert "add --subset" in refused.stderr
    assert not (tmp_path / "runs").exists()
    done = bench(*words, "--out", str(tmp_path / "runs"), "--subset")
    assert done.returncode == 0, done.stderr
    assert "(img_size=32, pool=avg, not the official data)" in done.stdout
    record = only_record(tmp_path / "runs")
    said = record["data"]["deviations"]
    assert sum("MD5" in sentence for sentence in said) == 2
    assert sum("where the official split has" in sentence for sentence in said) == 3
    assert any("other labels than the official ones" in sentence for sentence in said)
    assert record["result"]["primary_metric"] == "mean_per_class", "the field's custom for Flowers"
    table = bench("table", "--runs", str(tmp_path / "runs"))
    assert "not the official data" in table.stdout


def test_images_for_a_look_inside_are_those_of_the_probes(photos: Path) -> None:
    task, card = IMAGE_TASKS["imagefolder"], get_card("vit_nano")
    items = task.load_images(photos, "val", card, 48)
    data = task.load_data(photos)
    assert len(items) == len(data.splits["val"].indices) == 8
    assert sorted(items.labels) == [0] * 4 + [1] * 4
    assert len({items.get_image_name(index) for index in range(8)}) == 8
    assert items[3]["images"].shape == (3, 48, 48)
    assert items[3]["item"] == 3
    assert items.get_preprocessing()["crop_pct"] == 0.9
    with pytest.raises(UserError, match="no split 'dev'; it has train, val, test"):
        task.load_images(photos, "dev", card, 48)


def test_check_data_says_what_is_there(bench: Bench, photos: Path, tmp_path: Path) -> None:
    done = bench("check", "data", "imagefolder", "--data-root", str(photos), cwd=tmp_path)
    assert done.returncode == 0
    assert "train: 40 items in 2 classes, 20 to 20 each (dark 20, light 20)" in done.stdout
    assert "a sample of the files was opened" in done.stdout
    shutil.copytree(photos, tmp_path / "copy")
    bad = tmp_path / "copy" / "train" / "light" / "5.png"
    bad.write_bytes(bad.read_bytes()[:300])
    sampled = bench("check", "data", "imagefolder", "--data-root", str(tmp_path / "copy"), "--json")
    assert json.loads(sampled.stdout)["class_counts"]["train"] == {"dark": 20, "light": 20}
    every = bench("check", "data", "imagefolder", "--data-root", str(tmp_path / "copy"), "--all")
    assert every.returncode == 2
    assert f"{bad} cannot be decoded" in every.stderr
    words = ("--protocol", "knn", *SMALL, "pool=avg", "--out", str(tmp_path / "runs"))
    run = bench("run", "imagefolder", *words, "--data-root", str(tmp_path / "copy"))
    assert run.returncode == 2
    assert f"bench: {bad} cannot be decoded" in run.stderr, "a run that meets it names it, and gives no number"
    assert only_record(tmp_path / "runs")["status"] == "failed"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_image_in_training_is_named(bench: Bench, photos: Path, tmp_path: Path, workers: int) -> None:
    shutil.copytree(photos, tmp_path / "copy")
    for bad in (tmp_path / "copy" / "train" / "light").iterdir():
        bad.write_bytes(bad.read_bytes()[:300])
    words = (*FINETUNE, f"workers={workers}", "--out", str(tmp_path / "runs"))
    run = bench("run", "imagefolder", *words, "--data-root", str(tmp_path / "copy"))
    assert run.returncode == 2, run.stderr
    assert run.stderr.count("cannot be decoded") == 1
    assert "Traceback" not in run.stderr


def test_data_by_hand_and_data_without_network(bench: Bench, tmp_path: Path) -> None:
    cars = bench("get", "data", "cars", "--data-root", str(tmp_path))
    assert cars.returncode == 2
    assert "cars is not downloaded automatically" in cars.stderr
    assert "stanford_cars/" in cars.stderr
    own = bench("get", "data", "imagefolder", "--data-root", str(tmp_path))
    assert "your own images" in own.stderr
    digits = bench("get", "data", "digits")
    assert "nothing to download" in digits.stderr


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """CIFAR-10's archive, from a server of this machine."""
    make.write_cifar10(tmp_path / "site")
    archive = tmp_path / "site" / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "site" / "cifar-10-batches-py", "cifar-10-batches-py")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{running.server_port}/cifar-10-python.tar.gz")
        yield archive
        running.shutdown()


def test_download_checks_the_sum(server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CIFAR10, "tgz_md5", "0" * 32)
    with pytest.raises(DataError, match=r"cifar10 could not be downloaded to .*; the same command tries again"):
        IMAGE_TASKS["cifar10"].download_data(tmp_path / "data")
    monkeypatch.setattr(CIFAR10, "tgz_md5", calculate_md5(server))
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: (tmp_path / "data/cifar-10-batches-py").is_dir())
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    IMAGE_TASKS["cifar10"].download_data(tmp_path / "data")
    assert IMAGE_TASKS["cifar10"].check_data(tmp_path / "data", "all").splits == {"train": 40, "val": 10, "test": 20}
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    IMAGE_TASKS["cifar10"].download_data(tmp_path / "data")  # what is here needs no network
