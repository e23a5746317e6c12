"""Damaged texts: tables of labels, lists of classes and colours, predictions, suites, annotations and boxes."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from tests.bad_inputs.bad_input import BadInput, check_bad_input, name_case
from tests.bad_inputs.damage import (
    IN_DATA_SAYS,
    LINK_SAYS,
    NOT_REGULAR_SAYS,
    NOT_TEXT_SAYS,
    TERABYTE_SAYS,
    damage_file,
    write_image,
)
from tests.bad_inputs.test_files_images import check_data, write_mask, write_sequence

ROWS = [
    {"file": f"images/{n}.jpg", "label": "cat" if n % 2 else "dog", "split": "train" if n < 4 else "test"}
    for n in range(8)
]


def write_table(name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for row in ROWS:
            write_image(folder / row["file"])
        if name.endswith((".csv", ".tsv")):
            separator = "," if name.endswith(".csv") else "\t"
            (folder / name).write_text(
                "".join(separator.join(row) + "\n" for row in ([*ROWS[0]], *map(dict.values, ROWS)))
            )
        elif name.endswith(".parquet"):
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), folder / name)
        else:
            (folder / name).write_text(json.dumps(ROWS) if name == "l.json" else "\n".join(map(json.dumps, ROWS)))

    return write


def write_text(name: str, text: str, *others: Callable[[Path], None]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for other in others:
            other(folder)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))

    return write


def write_pairs(folder: Path) -> None:
    for number in range(4):
        write_image(folder / "images" / f"{number}.png")
        write_mask(folder / "masks" / f"{number}.png")


def write_class_data(folder: Path) -> None:
    for name in ("cat", "dog"):
        for number in range(2):
            write_image(folder / "data" / "train" / name / f"{number}.jpg")
            write_image(folder / "data" / "test" / name / f"{number}.jpg")


def write_lasot(folder: Path) -> None:
    place = folder / "lasot" / "cat" / "cat-1"
    place.mkdir(parents=True)
    (place / "groundtruth.txt").write_text("4,5,10,8\n" * 4)
    for name in ("full_occlusion", "out_of_view"):
        (place / f"{name}.txt").write_text("0,0,0,0")
    (folder / "r").mkdir()
    (folder / "r" / "cat-1.txt").write_text("4,5,10,8\n" * 4)


NO_FILE = dict.fromkeys(("missing", "a folder", "broken link", "link circle"), "there is no file .*; check the path")
NO_ROWS = dict.fromkeys(("empty", "a web page", "deep"), "has no rows; write one for each image")
NO_JSON = dict.fromkeys(("empty", "cut off", "a web page", "deep", "escapes"), r"l.json is not JSON \(")
NO_PARQUET = dict.fromkeys(
    ("empty", "zeros", "garbage", "cut off", "a picture", "a web page", "a terabyte"), "cannot be read as parquet"
)
NO_LIST = dict.fromkeys(("missing", "a folder"), "no list of classes under")
COLOURS = "name,r,g,b\nsky,0,0,0\nroad,255,0,0\n"
NO_COLOUR = dict.fromkeys(("cut off", "a web page", "deep", "escapes"), "which is not a class with its colour")
PREDICTIONS = "file,class\n" + "".join(f"test/{name}/{n}.jpg,{name}\n" for name in ("cat", "dog") for n in range(2))
NO_COLUMNS = dict.fromkeys(
    ("empty", "a web page", "deep", "escapes"), "p.csv has the columns .{,200}; predictions have"
)
SUITE = 'summary = "x"\n[[cells]]\ntasks = ["digits"]\nprotocols = ["knn"]\n'
NO_TOML = dict.fromkeys(("cut off", "a web page", "deep", "escapes"), "suite s.toml is not TOML: ")
NO_BOX = dict.fromkeys(("garbage", "a picture", "a web page", "deep"), "line 1, is not x,y,w,h separated by comma")
TABLE = [*check_data("imagefolder"), "--labels"]
SCORE = ["score", "imagefolder", "--data-root", "data", "--results", "p.csv"]
LASOT = ["score", "lasot", "--data-root", ".", "--results", "r", "--partial"]

WRITTEN = [
    # name, words, file, content, what is said, what else is made
    ("a table whose paths leave the folder", [*TABLE, "l.csv"], "l.csv", "file,label\n../../etc/passwd,a\n", ""),
    ("a table with absolute paths", [*TABLE, "l.csv"], "l.csv", "file,label\n/etc/passwd,a\n", ""),
    ("a table with escapes in a path", [*TABLE, "l.csv"], "l.csv", "file,label\n\x1b[2Jx.jpg,a\n", ""),
    ("a table with a column twice", [*TABLE, "l.csv"], "l.csv", "file,label,label\na,b,c\n", "the column label twice"),
    ("a table with a cell of a megabyte", [*TABLE, "l.csv"], "l.csv", f"file,label\n{'x' * 10**6},a\n", "is not CSV"),
    ("a table in UTF-16 without a mark", [*TABLE, "l.csv"], "l.csv", "f\0i\0l\0e\0,\0l\0\n\0", "is UTF-16"),
    ("a table in Windows-1252", [*TABLE, "l.csv"], "l.csv", "file,label\nx.jpg,caf\udce9\n", "probably Windows-1252"),
    ("JSON with a key twice", [*TABLE, "l.json"], "l.json", '[{"file": "a", "label": 1, "label": 2}]', "'label' twice"),
    ("JSON with numbers for objects", [*TABLE, "l.json"], "l.json", "[1, 2, 3]", "l.json"),
    (
        "JSON with null for the label",
        [*TABLE, "l.json"],
        "l.json",
        '[{"file": "images/0.jpg", "label": null}]',
        "l.json",
    ),
    (
        "JSON with a list for the label",
        [*TABLE, "l.json"],
        "l.json",
        '[{"file": "images/0.jpg", "label": [1]}]',
        "l.json",
    ),
    ("JSON with NaN for the label", [*TABLE, "l.json"], "l.json", '[{"file": "images/0.jpg", "label": NaN}]', "l.json"),
    ("JSON with a number of 10^5 digits", [*TABLE, "l.json"], "l.json", f"[{'9' * 10**5}]", "l.json"),
    ("a suite with other types", ["plan", "--file", "s.toml"], "s.toml", "summary = 3\ncells = 4\n", "summary.*cells"),
    ("a suite with a key twice", ["plan", "--file", "s.toml"], "s.toml", "cells = 1\ncells = 2\n", "is not TOML"),
    ("a suite of deep arrays", ["plan", "--file", "s.toml"], "s.toml", f"cells = {'[' * 10**5}", "is not TOML"),
    ("a suite of a deep table", ["plan", "--file", "s.toml"], "s.toml", f"[{'a.' * 3000}a]\n", "s.toml"),
    (
        "a suite with an unknown task",
        ["plan", "--file", "s.toml"],
        "s.toml",
        SUITE.replace("digits", "a\\u001b"),
        "unknown task",
    ),
    ("a suite in YAML", ["plan", "--file", "s.yaml"], "s.yaml", "cells:\n  - tasks: [digits]\n", "is not TOML"),
]

CASES = [
    *(
        case
        for end in ("csv", "tsv")
        for case in damage_file(
            f"table of labels in {end}", [*TABLE, f"l.{end}"], f"l.{end}", write_table(f"l.{end}"),
            {**NOT_TEXT_SAYS, **IN_DATA_SAYS, **NO_FILE, **NO_ROWS, "cut off": "line 5 of", "escapes": "line 2 of"},
        )
    ),
    *damage_file(
        "table of labels in json", [*TABLE, "l.json"], "l.json", write_table("l.json"),
        {**NOT_TEXT_SAYS, **IN_DATA_SAYS, **NO_FILE, **NO_JSON},
    ),
    *damage_file(
        "table of labels in jsonl", [*TABLE, "l.jsonl"], "l.jsonl", write_table("l.jsonl"),
        {
            **NOT_TEXT_SAYS, **IN_DATA_SAYS, **NO_FILE, "cut off": "line 4 of l.jsonl is not JSON",
            **dict.fromkeys(("a web page", "deep", "escapes"), "line 1 of l.jsonl is not JSON"),
        },
    ),
    *damage_file(
        "table of labels in parquet", [*TABLE, "l.parquet"], "l.parquet", write_table("l.parquet"),
        {**NO_PARQUET, **IN_DATA_SAYS, **NO_FILE},
    ),
    *damage_file(
        "list of classes", check_data("segfolder"), "classes.txt",
        write_text("classes.txt", "sky\nroad\n", write_pairs),
        {
            **NOT_TEXT_SAYS, **IN_DATA_SAYS, **LINK_SAYS, **NO_LIST,
            **dict.fromkeys(("cut off", "a web page", "deep"), "classes.txt names 1 classes; give 2 to 255"),
        },
    ),
    *damage_file(
        "table of colours", [*check_data("segfolder"), "--colours", "c.csv"], "c.csv",
        write_text("c.csv", COLOURS, write_pairs),
        {**NOT_TEXT_SAYS, **IN_DATA_SAYS, **NO_FILE, **NO_COLOUR, "empty": "c.csv is empty; it should list"},
    ),
    *damage_file(
        "predicted classes", SCORE, "p.csv", write_text("p.csv", PREDICTIONS, write_class_data),
        {
            **NOT_TEXT_SAYS, **NOT_REGULAR_SAYS, **LINK_SAYS, **NO_COLUMNS, "missing": "p.csv cannot be read .No such",
            "a folder": "--results takes the CSV file", "cut off": "line 3 of p.csv does not have 2 cells",
        },
    ),
    *damage_file(
        "suite", ["plan", "--file", "s.toml"], "s.toml", write_text("s.toml", SUITE),
        {
            **NOT_TEXT_SAYS, **NOT_REGULAR_SAYS, **LINK_SAYS, **NO_TOML, "missing": "the suite s.toml: No such",
            "a folder": "Is a directory", "empty": "cells: Field required",
        },
    ),
    *damage_file(
        "boxes of a sequence", check_data("trackfolder"), "cat/groundtruth.txt", write_sequence,
        {
            **NOT_TEXT_SAYS, **IN_DATA_SAYS, **LINK_SAYS, **NO_BOX, "empty": "cat/groundtruth.txt is empty",
            "cut off": "has 4 frames and 2 boxes", "escapes": "line 1, is separated by semicolons",
            **dict.fromkeys(("missing", "a folder"), "there is no sequence at or below"),
        },
    ),
    BadInput(
        "boxes of separators alone", check_data("trackfolder"), "cat/groundtruth.txt, line 1, is empty",
        write_text("cat/groundtruth.txt", " ,\n\t,\n", write_sequence),
    ),
    *damage_file(
        "predicted boxes", LASOT, "r/cat-1.txt", write_lasot,
        {**TERABYTE_SAYS, "zeros": "r/cat-1.txt", "garbage": "r/cat-1.txt", "deep": "cat-1.txt", "UTF-16": "is UTF-16"},
    ),
    *damage_file(
        "boxes of LaSOT", LASOT, "lasot/cat/cat-1/groundtruth.txt", write_lasot,
        {**TERABYTE_SAYS, **NO_BOX, "zeros": "groundtruth.txt", "empty": "groundtruth.txt", "UTF-16": "is UTF-16"},
    ),
    *damage_file(
        "hidden frames of LaSOT", LASOT, "lasot/cat/cat-1/full_occlusion.txt", write_lasot,
        {**TERABYTE_SAYS, **LINK_SAYS, "zeros": "full_occlusion", "garbage": "full_occlusion", "cut off": "full_occ"},
    ),
    *(
        BadInput(name, words, says or file, write_text(file, text, *([write_table("l.tsv")] if "l." in file else [])))
        for name, words, file, text, says in WRITTEN
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=name_case)
def test_damaged_texts(case: BadInput, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check_bad_input(case, tmp_path, capfd)
