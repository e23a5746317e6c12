"""Images and label files as people have them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engine.data.data_options import make_data_options
from engine.task import DataReport
from foundation.run_scope import open_run_scope
from segmentation.data.files import read_label_map
from segmentation.data.own_folder.read_folder import read_segfolder
from tests.wild_data.wild_folder import WildFolder, check_wild_folder

Rows = Sequence[Sequence[int]]
Rgb = tuple[int, int, int]

SKY_ROAD: Rows = [[0, 1], [1, 0]]
SKY, ROAD, CAR = (10, 20, 30), (128, 64, 128), (64, 0, 128)


def write_image(path: Path, size: int = 8) -> None:
    """An image of noise that no other path has."""
    seed = int.from_bytes(hashlib.sha256(str(path.name + path.parent.name).encode()).digest()[:4], "big")
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size, 3), np.uint8)
    Image.fromarray(pixels).save(path, format={".tif": "TIFF", ".jpg": "JPEG"}.get(path.suffix.lower(), "PNG"))


def enlarge(rows: Rows) -> NDArray[np.uint8]:
    """A label map (8, 8) of two by two values."""
    return np.array(rows, np.uint8).repeat(4, 0).repeat(4, 1)


def write_mask(path: Path, rows: Rows = SKY_ROAD, palette: Sequence[Rgb] = (), colors: Sequence[Rgb] = ()) -> None:
    """A label file: gray, with a palette, or with a color for each value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = enlarge(rows)
    if colors:
        Image.fromarray(np.array(colors, np.uint8)[labels]).save(path)
        return
    picture = Image.fromarray(labels)
    if palette:
        picture.putpalette([channel for color in palette for channel in color])
    picture.save(path)


def write_pairs(
    root: Path,
    image: str = "images/{split}/{name}.jpg",
    mask: str = "labels/{split}/{name}.png",
    splits: Sequence[str] = ("train", "test"),
    rows: Rows = SKY_ROAD,
    **kind: Any,
) -> None:
    """Two pairs in each split."""
    for split in splits:
        for name in ("a", "b"):
            write_image(root / image.format(split=split, name=f"{split}_{name}"))
            write_mask(root / mask.format(split=split, name=f"{split}_{name}"), rows, **kind)


def write_text(root: Path, name: str, text: str, encoding: str = "utf-8") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(text.encode(encoding))


def make_writer(
    classes: str = "sky\nroad\n", list_name: str = "classes.txt", encoding: str = "utf-8", **pairs: Any
) -> Callable[[Path], None]:
    """Writes pairs and a class list."""

    def write(root: Path) -> None:
        write_pairs(root, **pairs)
        if list_name:
            write_text(root, list_name, classes, encoding)

    return write


def then(first: Callable[[Path], None], second: Callable[[Path], object]) -> Callable[[Path], None]:
    """Writes the one, then the other."""

    def write(root: Path) -> None:
        first(root)
        second(root)

    return write


def hold_labels(expected: Rows, **options: Any) -> Callable[[DataReport, Path], None]:
    """Hold the class indices of the first test image, read with the same options."""

    def check(report: DataReport, root: Path) -> None:
        with open_run_scope(data_options=make_data_options(options)):
            dataset = read_segfolder(root)
        found = read_label_map(dataset.splits["test"][0].label_path, dataset.label_space)
        assert (found == enlarge(expected)).all(), found

    return check


PLAIN = make_writer()
VOC_PALETTE = [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
LABELMAP = "# label:color_rgb:parts:actions\nsky:10,20,30::\nroad:128,64,128::\n"
CLASS_DICT = "name,r,g,b\nsky,10,20,30\nroad,128,64,128\n"
TWO = {"train": 2, "test": 2}


def write_litter(root: Path) -> None:
    for name in ("__MACOSX/images/train/._a.jpg", "images/.DS_Store", "labels/train/Thumbs.db"):
        write_text(root, name, "x")


def write_roboflow(root: Path) -> None:
    write_pairs(root, "{split}/{name}_jpg.rf.1f.jpg", "{split}/{name}_jpg.rf.1f_mask.png", ("train", "valid", "test"))
    for split in ("train", "valid", "test"):
        write_text(root, f"{split}/_classes.csv", "Pixel Value, Class\n0, sky\n1, road\n")
    write_text(root, "README.roboflow.txt", "exported by Roboflow")


def write_voc(root: Path, home: str = "", subsets: Sequence[str] = ("train", "val"), **kind: Any) -> None:
    write_pairs(root, f"{home}JPEGImages/{{name}}.jpg", f"{home}SegmentationClass/{{name}}.png", subsets, **kind)
    for subset in subsets:
        write_text(root, f"{home}ImageSets/Segmentation/{subset}.txt", f"{subset}_a\n{subset}_b\n")


def write_cvat(root: Path) -> None:
    write_voc(root, subsets=("Train", "Test"), colors=(SKY, ROAD))
    write_text(root, "labelmap.txt", LABELMAP)
    write_pairs(root, "JPEGImages/{name}.jpg", "SegmentationObject/{name}.png", ("Train", "Test"))


def write_voc2012(root: Path) -> None:
    home = "VOCdevkit/VOC2012/"
    rows = np.arange(22).tolist()
    rows[21] = 255
    write_voc(root, home)
    for path in (root / home / "SegmentationClass").iterdir():
        picture = Image.fromarray(np.array([rows], np.uint8).repeat(8, 0))
        picture.putpalette([0] * 768)
        picture.save(path)
        Image.new("RGB", (22, 8)).save(root / home / "JPEGImages" / f"{path.stem}.jpg")
        pixels = np.random.default_rng(len(path.stem)).integers(0, 255, (8, 22, 3), np.uint8)
        pixels[0, 0] = [ord(letter) for letter in (path.stem[0], path.stem[-1], "x")]
        Image.fromarray(pixels).save(root / home / "JPEGImages" / f"{path.stem}.jpg")
    write_text(root, f"{home}ImageSets/Segmentation/trainval.txt", "train_a\n")
    write_text(root, f"{home}ImageSets/Main/car_train.txt", "train_a 1\n")
    write_image(root / home / "JPEGImages/detection_only.jpg")
    write_text(root, f"{home}Annotations/train_a.xml", "<annotation/>")


def write_cityscapes(root: Path, *kinds: str) -> None:
    ids = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33, 0, 3]
    for split in ("train", "val", "test"):
        for name in ("aachen_000000_000019", "ulm_000001_000019"):
            home = f"{split}/{name.split('_')[0]}/{name}"
            write_image(root / f"leftImg8bit/{home}_leftImg8bit.png")
            pixels = np.random.default_rng(len(home)).integers(0, 255, (8, 21, 3), np.uint8)
            pixels[0, 0] = (len(split), ord(name[0]), len(home))
            Image.fromarray(pixels).save(root / f"leftImg8bit/{home}_leftImg8bit.png")
            labels = np.array([[0] * 21 if split == "test" else ids], np.uint8).repeat(8, 0)
            for kind in ("labelIds", "color", "instanceIds", *kinds):
                path = root / f"gtFine/{home}_gtFine_{kind}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                values = (
                    np.array([[*range(19), 255, 255]], np.uint8).repeat(8, 0) if kind == "labelTrainIds" else labels
                )
                Image.fromarray(values).save(path)
            write_text(root, f"gtFine/{home}_gtFine_polygons.json", "{}")


def put_in_archives(root: Path) -> None:
    for name in ("leftImg8bit", "gtFine"):
        (root / f"{name}_trainvaltest").mkdir()
        (root / name).rename(root / f"{name}_trainvaltest" / name)


def hold_cityscapes(report: DataReport, root: Path) -> None:
    dataset = read_segfolder(root)
    expected = np.array([[*range(19), 255, 255]] * 8)
    assert (read_label_map(dataset.splits["test"][0].label_path, dataset.label_space) == expected).all()
    assert dataset.label_space.class_names[13] == "car"
    assert [pair.name for pair in dataset.splits["test"]] == ["aachen_000000_000019", "ulm_000001_000019"]


def hold_voc(report: DataReport, root: Path) -> None:
    dataset = read_segfolder(root)
    assert dataset.label_space.class_names[15] == "person"
    assert read_label_map(dataset.splits["test"][0].label_path, dataset.label_space)[0].tolist() == [*range(21), 255]


def save_jpeg_mask(root: Path) -> None:
    path = root / "labels/train/train_a.png"
    Image.open(path).save(path, format="JPEG")


def save_other_size(root: Path) -> None:
    Image.fromarray(enlarge(SKY_ROAD)[:6]).save(root / "labels/train/train_a.png")


def save_strange_color(root: Path) -> None:
    path = root / "labels/train/train_a.png"
    pixels = np.array(Image.open(path))
    pixels[0, :3] = (128, 64, 127)
    Image.fromarray(pixels).save(path)


def save_transparent(root: Path) -> None:
    path = root / "labels/train/train_a.png"
    picture = Image.open(path).convert("RGBA")
    picture.putpixel((0, 0), (10, 20, 30, 0))
    picture.save(path)


def save_other_palette(root: Path) -> None:
    """As a program does that numbers the colours of each mask as they come."""
    path = root / "labels/train/train_a.png"
    picture = Image.open(path)
    picture.putpalette([channel for color in (VOC_PALETTE[1], VOC_PALETTE[0]) for channel in color])
    picture.save(path)


def write_deepglobe(root: Path) -> None:
    write_pairs(root, "{split}/{name}_sat.jpg", "{split}/{name}_mask.png", ("train", "valid"), colors=(SKY, ROAD))
    write_text(root, "class_dict.csv", CLASS_DICT)


def write_mmseg(root: Path) -> None:
    write_pairs(root, "img_dir/{split}/{name}.jpg", "ann_dir/{split}/{name}.png", ("train", "val"))
    write_text(root, "classes.txt", "sky\nroad\n")


def write_boxes(root: Path) -> None:
    """YOLO's boxes in the place of label files."""
    for split in ("train", "val"):
        write_image(root / f"images/{split}/{split}.jpg")
        write_text(root, f"labels/{split}/{split}.txt", "0 0.5 0.5 0.1 0.1")
    write_text(root, "classes.txt", "sky\nroad\n")


def lift_case(root: Path) -> None:
    for path in (root / "labels").rglob("*.png"):
        path.rename(path.with_name(f"{path.stem.upper()}.PNG"))


CASES = [
    WildFolder("plain", "segfolder", PLAIN, splits=TWO, notes=("classes.txt: 2 classes (sky, road)",)),
    # 5: what labels mean
    WildFolder(
        "masks of 0 and 255",
        "segfolder",
        make_writer(rows=[[0, 255], [255, 0]]),
        refused=("--map 255=1", "classes.txt"),
    ),
    WildFolder(
        "masks of 0 and 255 with --map",
        "segfolder",
        make_writer(rows=[[0, 255], [255, 0]]),
        {"map": ["255=road"]},
        splits=TWO,
        notes=("--map 255=road: label 255 is class 'road'",),
        check=hold_labels(SKY_ROAD, map=["255=road"]),
    ),
    WildFolder(
        "background missing from the list",
        "segfolder",
        make_writer(rows=[[0, 1], [2, 0]]),
        refused=("train_a.png has label 2", "--ignore 2", "background"),
    ),
    WildFolder(
        "labels from 1",
        "segfolder",
        make_writer(rows=[[1, 2], [2, 1]]),
        refused=("train_a.png", "label 0", "--ignore 0"),
    ),
    WildFolder(
        "labels from 1, with a line for 0 that is ignored",
        "segfolder",
        make_writer("background\nsky\nroad\n", rows=[[1, 2], [2, 1]]),
        {"ignore": [0]},
        splits=TWO,
        notes=("--ignore 0", "class 'background' is left out"),
        check=hold_labels(SKY_ROAD, ignore=[0]),
    ),
    WildFolder(
        "void value 11",
        "segfolder",
        make_writer(rows=[[0, 11], [1, 0]]),
        refused=("label 11", "--ignore 11", "--map 11="),
    ),
    WildFolder(
        "void value 11 with --ignore",
        "segfolder",
        make_writer(rows=[[0, 11], [1, 0]]),
        {"ignore": [11]},
        splits=TWO,
        notes=("--ignore 11: label 11 is not counted",),
        check=hold_labels([[0, 255], [1, 0]], ignore=[11]),
    ),
    WildFolder(
        "an option for a class that is not there",
        "segfolder",
        PLAIN,
        {"map": ["7=tree"]},
        refused=("no class tree", "sky, road"),
    ),
    WildFolder(
        "colours with class_dict.csv",
        "segfolder",
        make_writer(CLASS_DICT, "class_dict.csv", colors=(SKY, ROAD)),
        splits=TWO,
        notes=("class_dict.csv: 2 colours (sky, road)",),
        check=hold_labels(SKY_ROAD),
    ),
    WildFolder(
        "colours without a table",
        "segfolder",
        make_writer(colors=(SKY, ROAD)),
        refused=("is a color image", "class_dict.csv", "--colours"),
    ),
    WildFolder(
        "colours named by --colours",
        "segfolder",
        make_writer("10 20 30 sky\n128 64 128 road\n", "palette.txt", colors=(SKY, ROAD)),
        {"colours": "palette.txt"},
        splits=TWO,
        check=hold_labels(SKY_ROAD, colours="palette.txt"),
    ),
    WildFolder(
        "a colour that the table lacks",
        "segfolder",
        then(make_writer(CLASS_DICT, "class_dict.csv", colors=(SKY, ROAD)), save_strange_color),
        refused=("labels/train/train_a.png", "(128, 64, 127) in 3 pixels", "(128, 64, 128) (road)"),
    ),
    WildFolder(
        "transparent colours",
        "segfolder",
        then(make_writer(CLASS_DICT, "class_dict.csv", colors=(SKY, ROAD)), save_transparent),
        refused=("labels/train/train_a.png", "1 transparent pixels", "fill them"),
    ),
    WildFolder(
        "numbers beside a table of colours",
        "segfolder",
        make_writer(CLASS_DICT, "class_dict.csv"),
        refused=("labels/test/test_", "is gray", "--exclude class_dict.csv"),
    ),
    WildFolder(
        "two lists that differ",
        "segfolder",
        then(PLAIN, lambda root: write_text(root, "labelmap.txt", "car:1,2,3::\nroad:128,64,128::\n")),
        refused=("labelmap.txt", "classes.txt", "--exclude"),
    ),
    WildFolder(
        "a palette of colours",
        "segfolder",
        make_writer(CLASS_DICT, "class_dict.csv", palette=(ROAD, SKY)),
        splits=TWO,
        check=hold_labels([[1, 0], [0, 1]]),
    ),
    WildFolder(
        "a palette without a table",
        "segfolder",
        make_writer(palette=VOC_PALETTE),
        splits=TWO,
        check=hold_labels(SKY_ROAD),
    ),
    WildFolder(
        "CamVid's own table with void",
        "segfolder",
        make_writer(
            "64 0 128\tCar\n0 0 0\tVoid\n128 64 128\tRoad\n",
            "label_colors.txt",
            rows=[[0, 1], [2, 0]],
            colors=(CAR, (0, 0, 0), ROAD),
        ),
        {"ignore": [1]},
        splits=TWO,
        notes=("colour (0, 0, 0) is not counted, so class 'Void' is left out",),
        check=hold_labels([[0, 255], [1, 0]], ignore=[1]),
    ),
    WildFolder(
        "JPEG masks", "segfolder", then(PLAIN, save_jpeg_mask), refused=("labels/train/train_a.png", "JPEG", "export")
    ),
    WildFolder(
        "a mask of another size",
        "segfolder",
        then(PLAIN, save_other_size),
        refused=("images/train/train_a.jpg is 8 x 8", "8 x 6"),
    ),
    WildFolder(
        "palettes that contradict each other",
        "segfolder",
        then(make_writer(palette=VOC_PALETTE), save_other_palette),
        refused=("labels/train/train_a.png", "(128, 0, 0)", "--colours FILE", "gray"),
    ),
    # 6: layouts
    WildFolder(
        "DeepGlobe's pairs in one folder", "segfolder", write_deepglobe, splits=TWO, notes=("_mask.png is the label",)
    ),
    WildFolder("mmseg's img_dir and ann_dir", "segfolder", write_mmseg, splits=TWO),
    WildFolder(
        "COCO's years",
        "segfolder",
        make_writer(
            image="images/{split}2017/{name}.jpg", mask="annotations/{split}2017/{name}.png", splits=("train", "val")
        ),
        splits=TWO,
    ),
    WildFolder(
        "a folder that looks like a split",
        "segfolder",
        make_writer(image="images/{split}/{name}.jpg", mask="labels/{split}/{name}.png", splits=("train_extra", "val")),
        refused=("train_extra", "looks like a split", "--exclude images/train_extra"),
    ),
    WildFolder(
        "images of one year and labels of another",
        "segfolder",
        make_writer(image="images/2019/{name}.jpg", mask="labels/2020/{name}.png"),
        refused=("images/2019/", "labels/2020/", "has the folders and name of an image", "rename"),
    ),
    WildFolder(
        "a table under a name of its own",
        "segfolder",
        then(PLAIN, lambda root: write_text(root, "class_dict_seg.csv", CLASS_DICT)),
        refused=("class_dict_seg.csv", "add --colours class_dict_seg.csv"),
    ),
    WildFolder(
        "a list of names as a split",
        "segfolder",
        then(PLAIN, lambda root: write_text(root, "splits/val.txt", "train_a\n")),
        refused=("splits/val.txt", "ImageSets/Segmentation", "--exclude splits/val.txt"),
    ),
    WildFolder(
        "a photo and its mask side by side",
        "segfolder",
        make_writer(image="{split}/{name}.jpg", mask="{split}/{name}.png"),
        splits=TWO,
        notes=("a.png is the label file of test_a.jpg",),
    ),
    WildFolder(
        "a folder that wraps images and masks and is named after masks",
        "segfolder",
        make_writer(
            image="segmentation_data/images/{split}/{name}.jpg", mask="segmentation_data/masks/{split}/{name}.png"
        ),
        splits=TWO,
    ),
    WildFolder(
        "LoveDA's two regions",
        "segfolder",
        then(
            make_writer(image="{split}/Rural/images_png/{name}.png", mask="{split}/Rural/masks_png/{name}.png"),
            lambda root: write_pairs(
                root, "{split}/Urban/images_png/{name}u.png", "{split}/Urban/masks_png/{name}u.png"
            ),
        ),
        splits={"train": 4, "test": 4},
    ),
    WildFolder(
        "boxes in the place of labels",
        "segfolder",
        write_boxes,
        refused=("labels/train/train.txt", "not an image", "one PNG per image"),
    ),
    WildFolder(
        "train/images and train/masks",
        "segfolder",
        make_writer(image="{split}/images/{name}.jpg", mask="{split}/masks/{name}.png"),
        splits=TWO,
    ),
    WildFolder(
        "Kaggle's CamVid",
        "segfolder",
        make_writer(
            CLASS_DICT,
            "CamVid/class_dict.csv",
            image="CamVid/{split}/{name}.png",
            mask="CamVid/{split}_labels/{name}_L.png",
            colors=(SKY, ROAD),
            splits=("train", "val", "test"),
        ),
        splits={"train": 2, "val": 2, "test": 2},
        notes=("_L.png is the label file of",),
        check=hold_labels(SKY_ROAD),
    ),
    WildFolder(
        "valid/ without test",
        "segfolder",
        make_writer(splits=("train", "valid")),
        splits=TWO,
        notes=("val is the test split",),
    ),
    WildFolder(
        "one pair of four in a subfolder",
        "segfolder",
        then(
            PLAIN,
            lambda root: write_pairs(
                root, "images/{split}/x/{name}_2.jpg", "labels/{split}/x/{name}_2.png", ("train",)
            ),
        ),
        splits={"train": 4, "test": 2},
    ),
    WildFolder(
        "no splits",
        "segfolder",
        make_writer(image="img/{name}.JPG", mask="mask/{name}_mask.png", splits=("p", "q", "r")),
        splits={"train": 5, "test": 1},
        notes=("fixed fifth, 1 of 6",),
    ),
    WildFolder(
        "only train",
        "segfolder",
        make_writer(splits=("train",)),
        splits={"train": 1, "test": 1},
        notes=("fixed fifth",),
    ),
    WildFolder("only test", "segfolder", make_writer(splits=("test",)), refused=("no train split", "bench evaluate")),
    WildFolder("names in another case", "segfolder", then(PLAIN, lift_case), splits=TWO),
    WildFolder("tif images", "segfolder", make_writer(image="images/{split}/{name}.tif"), splits=TWO),
    WildFolder(
        "an image without a mask",
        "segfolder",
        then(PLAIN, lambda root: (root / "labels/train/train_b.png").unlink()),
        refused=("images/train/train_b.jpg has no annotation", "--exclude images/train/train_b.jpg"),
    ),
    WildFolder(
        "a mask without an image",
        "segfolder",
        then(PLAIN, lambda root: (root / "images/train/train_b.jpg").unlink()),
        refused=("labels/train/train_b.png has no image", "--exclude labels/train/train_b.png"),
    ),
    WildFolder(
        "two images of one name",
        "segfolder",
        then(PLAIN, lambda root: write_image(root / "images/train/train_a.png")),
        refused=("train_a.jpg", "train_a.png", "have the same name", "--exclude images/train/train_a.png"),
    ),
    WildFolder(
        "a test folder without masks",
        "segfolder",
        then(make_writer(splits=("train", "val")), lambda root: write_image(root / "images/test/t.jpg")),
        refused=("images/test/t.jpg has no annotation", "--exclude images/test"),
    ),
    WildFolder(
        "polygons beside the masks",
        "segfolder",
        then(PLAIN, lambda root: write_text(root, "annotations.json", "{}")),
        refused=("annotations.json", "export label images", "--exclude annotations.json"),
    ),
    WildFolder(
        "polygons left out",
        "segfolder",
        then(PLAIN, lambda root: write_text(root, "annotations.json", "{}")),
        {"exclude": ["annotations.json"]},
        splits=TWO,
    ),
    WildFolder(
        "litter of systems",
        "segfolder",
        then(
            PLAIN,
            write_litter,
        ),
        splits=TWO,
    ),
    WildFolder(
        "Roboflow's masks",
        "segfolder",
        write_roboflow,
        splits={"train": 2, "val": 2, "test": 2},
        notes=("_classes.csv: 2 classes (sky, road)",),
        check=hold_labels(SKY_ROAD),
    ),
    WildFolder(
        "CVAT's masks",
        "segfolder",
        write_cvat,
        splits=TWO,
        notes=("labelmap.txt: 2 colours (sky, road)", "ImageSets/Segmentation"),
        check=hold_labels(SKY_ROAD),
    ),
    WildFolder(
        "Pascal VOC 2012", "segfolder", write_voc2012, splits=TWO, notes=("21 classes", "train.txt 2"), check=hold_voc
    ),
    WildFolder(
        "Pascal VOC 2012 with a second image of one name",
        "segfolder",
        then(write_voc2012, lambda root: write_image(root / "VOCdevkit/VOC2012/JPEGImages/train_a.png")),
        refused=("JPEGImages/train_a.jpg and ", "--exclude VOCdevkit/VOC2012/JPEGImages/train_a.png"),
    ),
    WildFolder(
        "Cityscapes with labelIds",
        "segfolder",
        write_cityscapes,
        splits=TWO,
        notes=("_gtFine_labelIds.png, the official 19 classes", "test is left aside"),
        check=hold_cityscapes,
    ),
    WildFolder(
        "Cityscapes with labelTrainIds",
        "segfolder",
        lambda root: write_cityscapes(root, "labelTrainIds"),
        splits=TWO,
        notes=("_gtFine_labelTrainIds.png",),
        check=hold_cityscapes,
    ),
    WildFolder(
        "Cityscapes in the folders of its archives",
        "segfolder",
        then(write_cityscapes, put_in_archives),
        splits=TWO,
        check=hold_cityscapes,
    ),
    WildFolder(
        "images alone",
        "segfolder",
        then(PLAIN, lambda root: shutil.rmtree(root / "labels")),
        refused=("no label files", "labels"),
    ),
    WildFolder(
        "a folder in two splits",
        "segfolder",
        make_writer(image="images/train/{split}/{name}.jpg"),
        refused=("two splits (train and test)", "--exclude"),
    ),
    WildFolder(
        "two folders of label files",
        "segfolder",
        then(PLAIN, lambda root: shutil.copytree(root / "labels", root / "masks")),
        refused=("labels/", "masks/", "have the same name", "--exclude masks"),
    ),
    WildFolder(
        "two folders of label files, one left out",
        "segfolder",
        then(PLAIN, lambda root: shutil.copytree(root / "labels", root / "masks")),
        {"exclude": ["masks"]},
        splits=TWO,
    ),
    WildFolder(
        "pictures of other things beside the images",
        "segfolder",
        then(PLAIN, lambda root: write_image(root / "docs/overview.png")),
        refused=("docs/overview.png", "belongs to nothing", "--exclude docs/overview.png"),
    ),
    # 8: lists of classes
    WildFolder(
        "one class",
        "segfolder",
        make_writer("road\n"),
        refused=("classes.txt names 1 classes", "background is a class"),
    ),
    WildFolder(
        "a byte order mark and CRLF", "segfolder", make_writer("sky\r\nroad\r\n\r\n", encoding="utf-8-sig"), splits=TWO
    ),
    WildFolder(
        "Latin-1",
        "segfolder",
        make_writer("caf\u00e9\nroad\n", encoding="latin-1"),
        refused=("classes.txt is not UTF-8", "iconv"),
    ),
    WildFolder("UTF-16", "segfolder", make_writer(encoding="utf-16"), refused=("classes.txt is UTF-16", "iconv")),
    WildFolder(
        "a class twice",
        "segfolder",
        make_writer("sky\nroad\nsky\n"),
        refused=("classes.txt names 'sky' twice", "lines 1 and 3"),
    ),
    WildFolder(
        "an empty line",
        "segfolder",
        make_writer("sky\n\nroad\n"),
        refused=("line 2 of", "classes.txt is empty", "remove the line"),
    ),
    WildFolder(
        "numbers before the names",
        "segfolder",
        make_writer("1: sky\n2: road\n"),
        refused=("classes.txt begins with 1", "_classes.csv"),
    ),
    WildFolder("no list", "segfolder", make_writer(list_name=""), refused=("looked for classes.txt", "values 0, 1")),
    WildFolder(
        "no list and masks of 0 and 255",
        "segfolder",
        make_writer(list_name="", rows=[[0, 255], [0, 0]]),
        refused=("write classes.txt", "--map 255=1"),
    ),
    WildFolder(
        "no list and colours",
        "segfolder",
        make_writer(list_name="", colors=(SKY, ROAD)),
        refused=("colour images", "class_dict.csv", "--colours FILE"),
    ),
    WildFolder(
        "an empty folder",
        "segfolder",
        lambda root: None,
        refused=("no segfolder under", "an empty folder", "--data-root"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_folder_of_masks_is_used_or_refused(case: WildFolder, tmp_path: Path) -> None:
    check_wild_folder(case, tmp_path)
