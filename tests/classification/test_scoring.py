"""``bench score`` of classifiers: every test image once, known classes, the counting of our own runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.score_results import score_results
from classification.digits_task import DIGITS
from classification.image_tasks import IMAGE_TASKS
from engine.evaluation.model_source import ModelSource
from foundation.errors import BenchError, DataError, IncompleteError
from results.score_request import ScoreRequest
from tests.classification.as_is import make
from tests.classification.data import make as data_make
from tests.conftest import Bench


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three classes of three images."""
    return make.write_class_folders(tmp_path / "data", ["a", "b", "c"])


def score(root: Path, text: str, task: str = "imagefolder", partial: bool = False) -> dict[str, object]:
    file = root.parent / "predictions.csv"
    file.write_text(text)
    request = ScoreRequest(task, (file,), data_root=root, partial=partial)
    return score_results(request).data


def write_rows(root: Path, column: str = "class", wrong: int = 0) -> str:
    lines = [f"file,{column}"]
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        name = path.parent.name if number >= wrong else "c"
        lines.append(f"{path.relative_to(root).as_posix()},{name if column == 'class' else 'abc'.index(name)}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("column", ["class", "index"])
def test_a_file_of_predictions(root: Path, column: str) -> None:
    data = score(root, write_rows(root, column, wrong=2))
    assert data["metrics"] == {"top1": pytest.approx(700 / 9), "mean_per_class": pytest.approx((100 / 3 + 200) / 3)}
    assert data["images"] == data["expected"] == 9 and data["partial"] is False
    low, high = data["intervals"]["top1"]  # type: ignore[index]
    assert low == pytest.approx(45.26, abs=0.01) and high == pytest.approx(93.68, abs=0.01)


def test_our_own_predictions_get_the_number_of_their_evaluation(root: Path, tmp_path: Path) -> None:
    file = make.save_model(tmp_path / "x.pth", make.make_model(3))
    outcome = make.open_folder(ModelSource(backbone="vit_pico", checkpoint=file), root).run(tmp_path)
    data = score(root, (tmp_path / "predictions.csv").read_text())
    assert data["metrics"] == {name: metric.value for name, metric in outcome.metrics.items()}
    items = "\n".join(",".join(map(str, row)) for row in [outcome.item_columns, *outcome.item_rows])
    assert score(root, items)["metrics"] == data["metrics"]


def test_predictions_for_a_part_of_imagenet_may_be_any_of_its_classes(tmp_path: Path) -> None:
    root = make.write_class_folders(tmp_path / "data", [make.TENCH, make.GOLDFISH])
    file = make.save_model(tmp_path / "x.pth", make.make_model(1000))
    evaluation = make.open_folder(ModelSource(backbone="vit_pico", checkpoint=file), root)
    outcome = evaluation.run(tmp_path)
    data = score(root, (tmp_path / "predictions.csv").read_text())
    assert data["metrics"] == {name: metric.value for name, metric in outcome.metrics.items()}


def test_top5_of_imagenet(tmp_path: Path) -> None:
    root = tmp_path / "data"
    make.write_class_folders(root / "imagenet" / "val", [make.TENCH, make.GOLDFISH], each=1)
    top = [[make.TENCH, "n01484850"], ["n01484850", make.GOLDFISH]]
    lines = ["file,class,top5"]
    for name, each in zip((make.TENCH, make.GOLDFISH), top, strict=True):
        cell = json.dumps(each).replace('"', '""')
        lines.append(f'/some/where/val/{name}/{name}_0.png,{each[0]},"{cell}"')
    assert score(root, "\n".join(lines), "imagenet")["metrics"] == {"top1": 50, "top5": 100, "mean_per_class": 50}
    without = [line.rpartition(',"')[0] or "file,class" for line in lines]
    assert set(score(root, "\n".join(without), "imagenet")["metrics"]) == {"top1", "mean_per_class"}  # type: ignore[call-overload]


def test_digits_have_no_files_and_are_scored_by_number(root: Path) -> None:
    labels = DIGITS.list_test_items(Path())["label"]
    rows = "\n".join(["item,prediction", *(f"{item},{label}" for item, label in enumerate(labels))])
    data = score(root, rows, "digits")
    assert data["metrics"] == {"top1": 100, "mean_per_class": 100} and data["images"] == 359


def test_a_part_is_refused_unless_it_is_meant(root: Path) -> None:
    part = "\n".join(write_rows(root).splitlines()[:-2])
    with pytest.raises(IncompleteError, match=r"for 7 of 9 test images of imagefolder, the first missing is c/c_1.png"):
        score(root, part)
    data = score(root, part, partial=True)
    assert data["partial"] is True and data["images"] == 7 and data["metrics"]["top1"] == 100  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: text.replace("a/a_0.png", "a/x.png"),
            r"names 'a/x.png', which is no test image .*\(1 of 9 lines",
        ),
        (lambda text: text.replace("a/a_0.png", "a/a_1.png"), "two predictions for a/a_1.png"),
        (lambda text: text.replace("a_0.png,a", "a_0.png,dog"), r"predicts 'dog', which is none of the 3 classes"),
        (lambda text: text.replace("a_0.png,a", "a_0.png,3"), "nor a number from 0 to 2"),
        (lambda text: text.replace("file,class", "name,class"), "has the columns name, class"),
        (lambda text: text.replace("a_0.png,a", "a_0.png"), "line 2 .* does not have 2 cells"),
        (lambda text: "file,class\n", "has no predictions"),
        (lambda text: "item,prediction\n9,0\n", "has the item '9', and the test split of imagefolder has items 0 to 8"),
        (lambda text: "item,label,prediction\n0,1,1\n", "results for another split"),
        (lambda text: 'file,class,top5\na/a_0.png,a,"[""b""]"\n', "a top5 that does not begin with its class"),
        (lambda text: "file,class,top5\na/a_0.png,a,0 1\n", "which is no JSON list"),
        (lambda text: 'file,class,top5\na/a_0.png,a,"[""a""]"\n', "has 1 classes in top5, not 5"),
        (lambda text: "file,class,class\na/a_0.png,b,a\n", "has the column class twice"),
        (lambda text: text.replace("a/a_0.png", "/data/train/b/a_0.png"), "which is no test image"),
    ],
)
def test_files_that_are_no_result(root: Path, change: object, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        score(root, change(write_rows(root)))  # type: ignore[operator]


def test_the_command(bench: Bench, root: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(write_rows(root, wrong=1))
    words = ("score", "imagefolder", "--results", str(file), "--data-root", str(root))
    done = bench(*words, "--out", str(tmp_path / "score.json"))
    assert done.returncode == 0, done.stderr
    assert "top1 88.89 % [" in done.stdout and "9 of 9 test images of imagefolder" in done.stdout
    assert json.loads((tmp_path / "score.json").read_text())["metrics"]["top1"] == pytest.approx(800 / 9)
    assert bench(*words, "--by", "sequence").returncode == 2


def test_every_task_with_a_test_split_is_scored() -> None:
    from benchmarks.score_results import SCORERS

    assert {DIGITS.name, *IMAGE_TASKS} <= SCORERS.keys()


def test_numbers_of_folders_that_are_numbers(tmp_path: Path) -> None:
    """A class "2" is a name; an index 2 is the third of the sorted names 1, 10, 2."""
    root = make.write_class_folders(tmp_path / "data", ["1", "2", "10"], each=1)
    right = "\n".join(["file,class", *(f"{name}/{name}_0.png,{name}" for name in ("1", "2", "10"))])
    assert score(root, right)["metrics"]["top1"] == 100  # type: ignore[index]
    numbers = "\n".join(["file,index", "1/1_0.png,0", "10/10_0.png,1", "2/2_0.png,2"])
    assert score(root, numbers)["metrics"]["top1"] == 100  # type: ignore[index]
    with pytest.raises(DataError):
        score(root, "file,index\n1/1_0.png,10\n")
    # a class "0" would be a number beside names
    with pytest.raises(DataError, match="predicts '0'"):
        score(root, "file,class\n1/1_0.png,0\n10/10_0.png,1\n2/2_0.png,2\n")


@pytest.mark.parametrize("class_map", ["index", "a,1\nc,6\n"])
def test_predictions_of_an_evaluation_on_a_part_of_the_classes_of_a_head(class_map: str, tmp_path: Path) -> None:
    """The answers that no image of the data has are named by the head, or by the number of the output."""
    folders = ("3", "7") if class_map == "index" else ("a", "c")
    root, file = make.write_class_folders(tmp_path / "data", folders), tmp_path / "map.csv"
    file.write_text(class_map)
    weights = make.save_model(tmp_path / "x.pth", make.make_model(1000 if class_map == "index" else 8))
    setting = f"class_map={'index' if class_map == 'index' else file}"
    source = ModelSource(backbone="vit_pico", checkpoint=weights, overrides=(setting,))
    outcome = make.open_folder(source, root).run(tmp_path)
    text = (tmp_path / "predictions.csv").read_text()
    assert score(root, text)["metrics"] == {name: metric.value for name, metric in outcome.metrics.items()}
    # without the numbers of an evaluation, such a name may be misspelled
    with pytest.raises(DataError, match="which is none of the 2 classes"):
        score(root, text.replace("file,class,index,probability", "file,class,number,probability"))


def test_a_name_with_its_class_folder_is_enough(tmp_path: Path) -> None:
    """Images may have one name in every class; a folder of another split is another image."""
    root = make.write_class_folders(tmp_path / "data" / "test", ["a", "b"], each=1)
    for path in list(root.rglob("*.png")):
        path.rename(path.with_name("0.png"))
    data = root.parent
    assert score(data, "file,class\na/0.png,a\nb/0.png,b\n")["metrics"]["top1"] == 100  # type: ignore[index]
    with pytest.raises(DataError, match="which is no test image"):
        score(data, "file,class\n/x/train/a/0.png,a\n/x/train/b/0.png,b\n")


def test_a_nested_class_is_found_by_its_folders(tmp_path: Path) -> None:
    """The class folder of ``fruit/apple/0.png`` is apple, and two fruits may both have an image of that name."""
    root = tmp_path / "data" / "test"
    for number, name in enumerate("ab"):
        data_make.write_noise_image(root / name / "x" / "0.png", number)
    file = tmp_path / "predictions.csv"

    def score_nested(text: str) -> dict[str, object]:
        file.write_text(text)
        options = {"nested_classes": "path"}
        return score_results(ScoreRequest("imagefolder", (file,), root.parent, data_options=options)).data

    assert score_nested("file,class\na/x/0.png,a/x\nb/x/0.png,b/x\n")["metrics"]["top1"] == 100  # type: ignore[index]
    with pytest.raises(DataError, match="which is no test image"):
        score_nested("file,class\n/y/train/a/x/0.png,a/x\n/y/train/b/x/0.png,b/x\n")
def test_results_of_a_run_on_class_folders_are_scored_on_the_fifth_that_it_was_tested_on(tmp_path: Path) -> None:
    root = make.write_class_folders(tmp_path / "data", ["a", "b", "c"], each=5)
    split = IMAGE_TASKS["imagefolder"].load_test_split(root, whole_folder=False).splits["test"]
    lines = [f"{item},{label},{label}" for item, label in enumerate(split.labels)]
    data = score(root, "\n".join(["item,label,prediction", *lines]))
    assert data["metrics"]["top1"] == 100.0 and data["images"] == data["expected"] == len(split.labels) == 3  # type: ignore[index]
    names = [split.images.get_relative_name(member) for member in split.indices]
    rows = [f"{name},{name.partition('/')[0]}" for name in names]
    assert score(root, "\n".join(["file,class", *rows])) == {**data, "results": str(tmp_path / "predictions.csv")}
    # as many of other images are a part of the whole
    other = next(path for path in sorted(root.rglob("*.png")) if path.relative_to(root).as_posix() not in names)
    with pytest.raises(IncompleteError, match="3 of 15"):
        score(root, "\n".join(["file,class", f"{other.relative_to(root)},a", *rows[1:]]))
