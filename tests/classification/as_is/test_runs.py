"""The network of a run, evaluated again: the very number of its record, from the same items to the last byte."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from classification.as_is.predict import predict_images
from classification.digits_task import DIGITS
from classification.image_tasks import IMAGE_TASKS
from engine.evaluation.contract import Evaluation
from engine.evaluation.model_source import ModelSource
from foundation.errors import CheckpointError, UserError
from results.records.store import read_record
from tests.classification.as_is import make

SHORT = ("epochs=2", "schedule.warmup=0")
PHOTOS = (*SHORT, "img_size=32", "batch_size=8", "workers=0")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders without splits."""
    return make.write_class_folders(tmp_path_factory.mktemp("photos"), ["b class", "a", "c"], each=12)


@pytest.fixture(scope="module")
def photo_run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on them, of a search whose winner is trained again on train and val."""
    out = tmp_path_factory.mktemp("runs")
    return make.train(out, photos, "imagefolder", *PHOTOS, "search.lr=[0.01, 0.1]", "train_on=train+val")


@pytest.mark.shared_data
def test_a_run_on_real_flowers(shared_data: Path, tmp_path: Path) -> None:
    with tarfile.open(shared_data / "flowers102" / "flowers-102_subset192.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    folder = make.train(
        tmp_path / "runs", tmp_path, "flowers", "img_size=32", "workers=0", tier="smoke", allow_subset=True
    )
    evaluation = make.open_folder(ModelSource(run=folder), tmp_path, "flowers")
    require_same_number(evaluation, folder, tmp_path)


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make.train(tmp_path_factory.mktemp("digits"), Path(), "digits", *SHORT)


def require_same_number(evaluation: Evaluation, folder: Path, out: Path) -> None:
    record, outcome = read_record(folder), evaluation.run(out)
    assert record.result is not None
    assert {name: metric.value for name, metric in outcome.metrics.items()} == {
        name: metric.value for name, metric in record.result.metrics.items()
    }
    assert make.hash_items(outcome) == record.result.items.sha256
    assert len(outcome.item_rows) == evaluation.plan.num_expected_items == record.expected


def test_digits(digits_run: Path, tmp_path: Path) -> None:
    evaluation = DIGITS.open_evaluation(ModelSource(run=digits_run), Path())
    require_same_number(evaluation, digits_run, tmp_path)
    assert evaluation.plan.config == {"recipe": {"num_classes": 10}}
    assert evaluation.data.splits == {"test": 359}
    assert evaluation.backbone.checkpoint is not None and evaluation.backbone.init == "checkpoint"


def test_a_limited_run_is_evaluated_on_its_items(tmp_path: Path) -> None:
    folder = make.train(tmp_path, Path(), "digits", "max_items=40", tier="smoke")
    evaluation = DIGITS.open_evaluation(ModelSource(run=folder), Path())
    require_same_number(evaluation, folder, tmp_path)
    assert evaluation.plan.config["recipe"]["max_items"] == 40, "another board than that of all items"


def test_a_part_of_the_images_is_another_board(digits_run: Path, tmp_path: Path) -> None:
    whole, part, more = (
        DIGITS.open_evaluation(ModelSource(run=digits_run, overrides=(f"max_items={limit}",)), Path())
        for limit in (359, 50, 1000)
    )
    assert part.plan.config["recipe"] == {"num_classes": 10, "max_items": 50}
    assert part.run(tmp_path).metrics["top1"].n == 50 and part.data.fingerprint != whole.data.fingerprint
    assert whole.plan.config == more.plan.config == {"recipe": {"num_classes": 10}}


def test_a_search_and_its_last_training(photos: Path, photo_run: Path, tmp_path: Path) -> None:
    evaluation = make.open_folder(ModelSource(run=photo_run), photos)
    require_same_number(evaluation, photo_run, tmp_path)
    assert evaluation.classifier.file.path.parent.parent.name == "final"
    assert evaluation.class_names == ("a", "b class", "c")


def test_a_search_on_train_takes_the_weights_of_its_winner(photos: Path, tmp_path: Path) -> None:
    folder = make.train(tmp_path, photos, "imagefolder", *PHOTOS, "search.lr=[0.01, 0.1]")
    evaluation = make.open_folder(ModelSource(run=folder), photos)
    record = read_record(folder)
    assert record.result is not None
    trial, _, epoch = record.result.selection.chosen.rpartition(", epoch ")
    assert evaluation.classifier.file.path == folder / trial / "checkpoints" / f"best_{int(epoch):08d}.pth"
    require_same_number(evaluation, folder, tmp_path)


def test_a_checkpoint_in_the_folder_of_a_run(digits_run: Path, tmp_path: Path) -> None:
    (state,) = (digits_run / "checkpoints").glob("step_00000002.pth")
    last = DIGITS.open_evaluation(ModelSource(checkpoint=state), Path())
    assert last.run(tmp_path).metrics["top1"].n == 359
    tested = DIGITS.open_evaluation(ModelSource(run=digits_run), Path())
    same = DIGITS.open_evaluation(ModelSource(checkpoint=tested.classifier.file.path), Path())
    require_same_number(same, digits_run, tmp_path)


def test_weights_that_are_damaged_or_of_another_run_are_refused(digits_run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(digits_run, tmp_path / "run"))
    (tested,) = {DIGITS.open_evaluation(ModelSource(run=copy), Path()).classifier.file.path}
    content = tested.read_bytes()
    tested.write_bytes(content[:-100] + bytes(100))
    with pytest.raises(CheckpointError, match="is damaged"):
        DIGITS.open_evaluation(ModelSource(run=copy), Path())
    tested.write_bytes(content)
    record = json.loads((copy / "record.json").read_text())
    (copy / "record.json").write_text(json.dumps({**record, "run_id": "0123456789abcdef"}))
    with pytest.raises(CheckpointError, match=r"belongs to run .*, not this one"):
        DIGITS.open_evaluation(ModelSource(run=copy), Path())
    tested.unlink()
    with pytest.raises(CheckpointError, match="does not have its tested weights any more"):
        DIGITS.open_evaluation(ModelSource(run=copy), Path())


def test_frozen_protocols_keep_no_network(tmp_path: Path) -> None:
    folder = make.train(tmp_path, Path(), "digits", protocol="knn", checkpoint="random")
    with pytest.raises(UserError, match="has the protocol knn, which trains no network and keeps no classifier"):
        DIGITS.open_evaluation(ModelSource(run=folder), Path())


def test_a_run_on_other_classes_is_refused(digits_run: Path, photo_run: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"3 of 3 classes of imagefolder \(a, b class, c\) are none of the 10 classes"):
        make.open_folder(ModelSource(run=digits_run), photos)
    with pytest.raises(UserError, match="the run was trained on imagefolder, whose 3 classes are not those of digits"):
        DIGITS.open_evaluation(ModelSource(run=photo_run), Path())
    other = make.write_class_folders(tmp_path / "other", ["a", "c", "strange"])
    with pytest.raises(UserError, match=r"1 of 3 classes of imagefolder \(strange\)"):
        make.open_folder(ModelSource(run=photo_run), other)


def test_new_images_of_the_classes_of_a_run(photo_run: Path, tmp_path: Path) -> None:
    """Its classes are found by their names, whatever their order; a class without images may still be predicted."""
    root = make.write_class_folders(tmp_path / "new" / "test", ["c", "b class"], each=4, first=7000).parent
    evaluation = make.open_folder(ModelSource(run=photo_run), root)
    assert evaluation.columns.columns == (1, 2, 0) and evaluation.class_names == ("b class", "c", "a")
    outcome = evaluation.run(tmp_path)
    expected = make.compute_logits(evaluation)[:, [1, 2, 0]].argmax(1)
    assert [row[2] for row in outcome.item_rows] == expected.tolist()
    alone = make.open_folder(ModelSource(run=photo_run, overrides=("restrict=true",)), root)
    assert alone.columns.columns == (1, 2)
    assert alone.plan.config["recipe"] == {"num_classes": 2} and alone.backbone.arguments["restrict"] is True
    assert alone.run(tmp_path).metrics["top1"].value >= outcome.metrics["top1"].value


def test_an_order_of_classes_that_only_the_run_knows_is_part_of_the_id(
    photo_run: Path, photos: Path, tmp_path: Path
) -> None:
    """As a run of Oxford Pets, whose label files have another order than the names of its folders."""
    copy = Path(shutil.copytree(photo_run, tmp_path / "run"))
    record = json.loads((copy / "record.json").read_text())
    record["result"]["details"]["class_names"] = ["c", "a", "b class"]
    (copy / "record.json").write_text(json.dumps(record))
    own = make.open_folder(ModelSource(run=copy), photos)
    assert own.columns.columns == (1, 2, 0)
    arguments = own.backbone.arguments
    as_trained = make.open_folder(ModelSource(run=photo_run), photos).backbone.arguments
    # away from its run, whose record would be asked otherwise
    file = Path(shutil.copy(own.classifier.file.path, tmp_path / "alone.pth"))
    preprocessing = (f"img_size={arguments['img_size']}", "mean=0.5", "std=0.5", f"crop_pct={arguments['crop_pct']}")
    unnamed = ModelSource(backbone="vit_pico", checkpoint=file, overrides=preprocessing)
    named_by_nobody = make.open_folder(unnamed, photos)
    assert named_by_nobody.columns.columns == (0, 1, 2)
    assert set(arguments) - set(named_by_nobody.backbone.arguments) == {"class_columns"}
    assert named_by_nobody.backbone.arguments == as_trained, "the usual order is left out"


def test_predictions_have_the_names_of_the_run(photo_run: Path, photos: Path, tmp_path: Path) -> None:
    images = sorted(photos.rglob("*.png"))[:5]
    report = predict_images(ModelSource(run=photo_run), images, tmp_path)
    lines = (tmp_path / "predictions.csv").read_text().splitlines()
    assert lines[0] == "file,class,index,probability,top5" and len(lines) == 6
    assert report.data["images"] == 5 and lines[1].split(",")[1] in ("a", "b class", "c")
    assert "5 images classified" in report.text
    # a second call would lose the answers of the first
    with pytest.raises(UserError, match=r"predictions\.csv is there already; name another folder"):
        predict_images(ModelSource(run=photo_run), images[:1], tmp_path)
    assert (tmp_path / "predictions.csv").read_text().splitlines() == lines


def test_a_checkpoint_in_a_run_is_not_taken_for_one_of_a_card(photo_run: Path, photos: Path, tmp_path: Path) -> None:
    """The card has another input size than the run, no names of classes, and every image would be tested."""
    file = make.open_folder(ModelSource(run=photo_run), photos).classifier.file.path
    with pytest.raises(UserError, match=r"is of the run in .*; leave --backbone out, or copy the file"):
        make.open_folder(ModelSource(backbone="vit_pico", checkpoint=file), photos)
    copy = shutil.copy(file, tmp_path / "x.pth")
    assert make.open_folder(ModelSource(backbone="vit_pico", checkpoint=Path(copy)), photos).plan.notes


def test_the_record_of_a_run_names_its_classes(photo_run: Path) -> None:
    record = read_record(photo_run)
    assert record.result is not None and record.result.details["class_names"] == ["a", "b class", "c"]
    assert IMAGE_TASKS["imagefolder"].metrics[0].name == "top1"
