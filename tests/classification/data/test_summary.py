"""The summary of an image set makes the usual mistakes visible, and its sheet shows all splits and classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from classification.data.dataset_splits import ImageSplit
from classification.data.image_collections import ImageFiles
from classification.data.summary import summarize_images
from classification.digits_task import DIGITS
from tests.classification.data.make import write_noise_image


def make_splits(root: Path, files: Mapping[str, Sequence[tuple[str, int]]]) -> dict[str, ImageSplit]:
    """Splits of files with their labels; each new name has pixels of its own."""
    for number, name in enumerate(name for members in files.values() for name, _ in members):
        if not (root / name).exists():
            write_noise_image(root / name, number)
    return {
        split: ImageSplit(
            ImageFiles(root, [name for name, _ in members]), range(len(members)), [label for _, label in members]
        )
        for split, members in files.items()
    }


def test_sizes_labels_and_samples_of_every_split_and_class(tmp_path: Path) -> None:
    files = {
        split: [
            (f"{split}/{name}/{index}.png", label) for label, name in enumerate(("cat", "dog")) for index in range(5)
        ]
        for split in ("train", "val", "test")
    }
    summary = summarize_images(make_splits(tmp_path, files), ["cat", "dog"])
    train = summary.splits["train"]
    assert train.num_items == 10 and train.labels == {"cat": 5, "dog": 5}
    assert train.images is not None
    assert train.images.most_common == ((40, 32), 10)
    assert train.images.pixels == {"RGB, 8 bit": 10} and train.images.formats == {"PNG": 10}
    assert summary.findings == ()
    assert len(summary.samples) == 12
    for part in ("train/cat", "train/dog", "val/cat", "val/dog", "test/cat", "test/dog"):
        assert sum(name.startswith(part) for name in summary.samples) == 2
    pictures = summary.draw_samples().pictures
    assert [picture.caption[1].split(",")[0] for picture in pictures] == [
        name.split("/")[0] for name in summary.samples
    ]
    assert [picture.caption[0] for picture in pictures] == [name.split("/")[1] for name in summary.samples]
    assert summary.draw_samples().num_columns == 6, "images of 40 x 32 pixels need no large tile"


def test_the_choice_does_not_depend_on_other_images(tmp_path: Path) -> None:
    few = {"train": [(f"{index}.png", 0) for index in range(30)], "test": [(f"t{index}.png", 0) for index in range(9)]}
    more = {**few, "train": [*few["train"], ("z.png", 0)]}
    first, again = (summarize_images(make_splits(tmp_path, files), ["a"]).samples for files in (few, more))
    assert len(set(first) & set(again)) >= 11


def test_a_class_without_images_in_a_split_and_fewer_images_than_samples(tmp_path: Path) -> None:
    files = {"train": [("a.png", 0), ("b.png", 2)], "test": [("c.png", 2)]}
    summary = summarize_images(make_splits(tmp_path, files), ["x", "y", "z"])
    assert sorted(summary.samples) == ["a.png", "b.png", "c.png"]
    assert summary.splits["test"].labels == {"x": 0, "y": 0, "z": 1}


def test_splits_as_classes_are_seen(tmp_path: Path) -> None:
    files = {"train": [("a.png", 0), ("b.png", 1)], "test": [("c.png", 2)]}
    summary = summarize_images(make_splits(tmp_path, files), ["seg_pred", "seg_test", "seg_train"])
    assert summary.findings[0].startswith("3 of 3 classes are called like splits (seg_pred, seg_test, seg_train)")
    assert not summarize_images(make_splits(tmp_path, files), ["train", "bus", "tram"]).findings


def test_duplicates_and_wrong_suffixes_are_seen(tmp_path: Path) -> None:
    write_noise_image(tmp_path / "a.png", 1)
    for name in ("b.png", "c.png"):
        (tmp_path / name).write_bytes((tmp_path / "a.png").read_bytes())
    Image.new("RGB", (4, 4)).save(tmp_path / "d.jpg", "PNG")
    files = {"train": [("a.png", 0), ("b.png", 1), ("d.jpg", 0)], "test": [("c.png", 0)]}
    summary = summarize_images(make_splits(tmp_path, files), ["cat", "dog"])
    assert summary.findings == (
        "train: 1 image has the content of an earlier one: b.png = a.png",
        "1 item of test has the content of an item of train: c.png = a.png",
        "1 image of equal content with two labels: b.png is dog and a.png is cat",
        "train: 1 file with a suffix of another format, such as d.jpg; they are opened by their content",
    )


def test_a_format_or_a_size_that_tells_the_class_is_seen(tmp_path: Path) -> None:
    files = {"train": [(f"{index}.{'jpg' if index % 2 else 'png'}", index % 2) for index in range(8)]}
    (finding,) = summarize_images(make_splits(tmp_path, files), ["cat", "dog"]).findings
    assert finding == (
        "train: every image of cat is PNG and no other one is (the same holds for other classes): a network may "
        "learn that in place of the class"
    )
    for index in (1, 3, 5, 7):
        write_noise_image(tmp_path / "b" / f"{index}.png", index, size=(9, 9))
    files = {"train": [(f"{index}.png", index % 2) for index in range(8)]}
    (finding,) = summarize_images(make_splits(tmp_path / "b", files), ["cat", "dog"]).findings
    assert finding.startswith("train: every image of cat is 40 x 32 px and no other one is (the same holds")


def test_digits_have_a_summary_without_files(tmp_path: Path) -> None:
    summary = DIGITS.summarize_data(tmp_path)
    assert {split: facts.num_items for split, facts in summary.splits.items()} == dict(DIGITS.expected)
    images = summary.splits["test"].images
    assert images is not None and images.smallest == images.largest == (8, 8) and "gray, 8 bit" in images.pixels
    assert {picture.caption[0] for picture in summary.draw_samples().pictures} == set("0123456789")


def test_a_class_in_two_spellings_is_seen(tmp_path: Path) -> None:
    def find(*names: str) -> tuple[str, ...]:
        files = {"train": [("a.png", 0), ("b.png", 1)], "test": [("c.png", 2)]}
        return tuple(text for text in summarize_images(make_splits(tmp_path, files), names).findings if "alike" in text)

    for pair in (("Cat", "cat"), ("big cat", "big_cat"), ("01", "1"), ("cat ", "cat")):
        assert find(*pair, "dog") == (
            f"the classes {pair[0]!r} and {pair[1]!r} are written nearly alike: are they one class?",
        )
    assert find("A", "a", "b") == find("1", "10", "100") == find("cat", "cats", "dog") == ()
