"""Score a CSV of predictions of any classifier against a task's test split, by the same counting as our own runs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from classification.as_is.head_classes import list_imagenet_synsets
from classification.as_is.predictions import NUM_TOP, PREDICTION_COLUMNS
from classification.image_tasks import IMAGE_TASKS
from classification.metrics import ScoredItem, compute_accuracies, require_all_scored, to_record_metrics
from engine.data.digits import load_digits_data
from engine.task import MetricSpec
from foundation.environment import resolve_data_root
from foundation.errors import DataError, IncompleteError, UserError
from foundation.files import write_atomic
from foundation.text.user_names import normalize_name
from foundation.text.user_text import read_user_text
from results.records.record import MetricValue
from results.score_request import ScoreRequest

_NEVER = 10**6
"""Place of a true class that is not among the five named ones."""


class ClassificationScoreReport(NamedTuple):
    """A scored file: plain data for ``--json``, and lines for people."""

    data: dict[str, Any]
    lines: list[str]

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


class _TestSplit(NamedTuple):
    """What predictions are compared with.

    Attributes:
        task: name of the task.
        metrics: the metrics of the task.
        files: name of each test image within the data set.
        labels: true class of each.
        class_names: name of each class.
        other_names: names of classes that may be predicted and are wrong for every image.
        fingerprint: of the split.
        deviations: how it differs from the official one.
    """

    task: str
    metrics: tuple[MetricSpec, ...]
    files: Sequence[str]
    labels: Sequence[int]
    class_names: Sequence[str]
    other_names: frozenset[str]
    fingerprint: str
    deviations: tuple[str, ...]


def score_classification_set(request: ScoreRequest) -> ClassificationScoreReport:
    """``bench score TASK --results FILE.csv``; writes the JSON to ``out_file`` where asked.

    Args:
        request: task, file and options.

    Raises:
        UserError: an option that classifiers do not have, or several files.
        DataError: the file names an unknown image or class, or an image twice.
        IncompleteError: images are missing, and the request does not allow a partial number.
    """
    if idle := [option for option in request.list_given_options() if option != "--partial"]:
        raise UserError(f"bench score {request.test_set} has no {idle[0]}")
    if len(request.results) != 1:
        raise UserError(f"bench score {request.test_set} takes one file of predictions, not {len(request.results)}")
    path, root = request.results[0], resolve_data_root(request.data_root)
    header, lines = _read_rows(path)
    split = _read_test_split(request.test_set, root)
    # a run on class folders without splits is tested on a fixed fifth, and its results name no other image
    if request.test_set == "imagefolder" and len(lines) < len(split.labels):
        part = _read_test_split(request.test_set, root, whole_folder=False)
        split = part if _fits_exactly(part, lines) else split
    report = _score_file(split, path, header, lines, request.partial)
    if request.out_file is not None:
        write_atomic(request.out_file, json.dumps(report.data, indent=2, allow_nan=False) + "\n")
    return report


def _read_test_split(task: str, root: Path, whole_folder: bool = True) -> _TestSplit:
    """Read the test images of a task.

    Args:
        task: name of the task.
        root: the data root.
        whole_folder: of a user's images without splits, take every one; ``False`` takes the fixed fifth.
    """
    if task not in IMAGE_TASKS:
        from classification.as_is.open_evaluation import hash_test_digits
        from classification.digits_task import DIGITS

        # without files: these images are part of an array
        digits = load_digits_data()
        members = digits.splits["test"]
        files, labels = [f"digit {member}" for member in members], digits.labels[members].tolist()
        names = list(map(str, range(10)))
        return _TestSplit(task, DIGITS.metrics, files, labels, names, frozenset(), hash_test_digits(digits), ())
    found = IMAGE_TASKS[task]
    data = found.load_test_split(root, whole_folder)
    split = data.splits["test"]
    synsets = set(list_imagenet_synsets())
    # a classifier of all of ImageNet may name any of its classes for the images of a few
    others = synsets - set(data.class_names) if set(data.class_names) <= synsets else set()
    return _TestSplit(
        task,
        found.metrics,
        [split.images.get_relative_name(member) for member in split.indices],
        split.labels,
        data.class_names,
        frozenset(others),
        data.fingerprint,
        data.deviations,
    )


def _fits_exactly(split: _TestSplit, lines: Sequence[Mapping[str, str]]) -> bool:
    """Return whether a file has a line for each image of a split and names no other one."""
    items = _ItemFinder(split)
    found = {items.find(line) for line in lines}
    return len(lines) == len(found) == len(split.labels) and None not in found


def _score_file(
    split: _TestSplit, path: Path, header: Sequence[str], lines: Sequence[Mapping[str, str]], partial: bool
) -> ClassificationScoreReport:
    rows = _match_rows(split, path, header, lines)
    expected = len(split.labels)
    if len(rows) < expected and not partial:
        missing = next(item for item in range(expected) if item not in rows)
        raise IncompleteError(
            f"{path} has predictions for {len(rows):,} of {expected:,} test images of {split.task}, the first "
            f"missing is {split.files[missing]}; an incomplete set has no number (--partial scores what is there)"
        )
    # numbered from 0 again, because a partial file has gaps
    scored = [row._replace(item=number) for number, (_, row) in enumerate(sorted(rows.items()))]
    require_all_scored(scored, len(scored))
    # the same function as for a run, so that both give the same number to the last digit
    values = compute_accuracies(scored, len(scored))
    # a single prediction says nothing about the first five
    has_top5 = "top5" in header
    specs = [spec for spec in split.metrics if spec.name != "top5" or has_top5]
    metrics = to_record_metrics(specs, values, len(scored))
    data = {
        "task": split.task,
        "results": str(path),
        "partial": len(rows) != expected,
        "images": len(rows),
        "expected": expected,
        "metrics": {name: metric.value for name, metric in metrics.items()},
        "intervals": {
            name: [metric.interval.low, metric.interval.high] for name, metric in metrics.items() if metric.interval
        },
        "unit": "%",
        "fingerprint": split.fingerprint,
        "deviations": list(split.deviations),
    }
    return ClassificationScoreReport(data, _format_lines(data, metrics))


def _read_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Read a CSV with a header.

    Raises:
        DataError: it cannot be read, or lacks the columns.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder; --results takes the CSV file of predictions")
    text = read_user_text(path, cure="name a file of predictions with --results")
    try:
        reader = csv.DictReader(io.StringIO(text), strict=True)
        rows, header = list(reader), list(reader.fieldnames or ())
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as CSV ({error}); name a file of predictions with --results") from error
    if not ({"file", "item"} & set(header)) or not ({"class", "index", "prediction"} & set(header)):
        raise DataError(
            f"{path} has the columns {', '.join(each[:40] for each in header[:8]) or 'none'}; predictions have file "
            "and class, or item and prediction (docs/reference/scoring.md)"
        )
    if len(set(header)) < len(header):
        twice = next(name[:40] for name in header if header.count(name) > 1)
        raise DataError(f"{path} has the column {twice} twice; keep one")
    # csv fills short lines with None and collects the rest of long ones under None
    broken = next((number for number, row in enumerate(rows, 2) if None in row or None in row.values()), None)
    if broken is not None:
        raise DataError(f"line {broken} of {path} does not have {len(header)} cells; write the file again")
    if not rows:
        raise DataError(f"{path} has no predictions; write one line for each test image")
    return header, rows


def _match_rows(
    split: _TestSplit, path: Path, header: Sequence[str], lines: Sequence[Mapping[str, str]]
) -> dict[int, ScoredItem]:
    """Return the row of each test image that the file names."""
    items = _ItemFinder(split)
    classes = _ClassFinder(split, path, is_from_evaluation=tuple(header) == PREDICTION_COLUMNS)
    # all of them first: how many are unknown tells a wrong split from a stray line
    unknown = [line for line in lines if items.find(line) is None] if "file" in header else []
    if unknown:
        raise DataError(
            f"{path} names {unknown[0]['file']!r}, which is no test image of {split.task} ({len(unknown):,} of "
            f"{len(lines):,} lines name none); take the results for its test split, or name the data with --data-root"
        )
    rows: dict[int, ScoredItem] = {}
    for number, line in enumerate(lines, 2):
        item = items.find(line)
        if item is None:
            raise DataError(
                f"line {number} of {path} has the item {line['item']!r}, and the test split of {split.task} has items "
                f"0 to {len(split.labels) - 1:,}; take the results for its test split"
            )
        if item in rows:
            raise DataError(f"{path} has two predictions for {split.files[item]} (line {number}); keep one")
        label = split.labels[item]
        # our own items.csv has the labels, which show results for another split of equal size
        if "label" in header and line["label"] != str(label):
            raise DataError(
                f"line {number} of {path} has the label {line['label']}, and {split.files[item]} has {label}: these "
                "are results for another split or another order of the classes"
            )
        rows[item] = classes.read_row(number, line, item, label)
    return rows


class _ItemFinder:
    """Finds the test image that a line names.

    Args:
        split: the test split.
    """

    def __init__(self, split: _TestSplit) -> None:
        self.count = len(split.labels)
        # a Mac writes an accent of a file name in another way than the program that wrote the predictions
        files = list(map(normalize_name, split.files))
        # the class of a nested folder may be its whole path, fruit/apple
        self.folders = frozenset(normalize_name(name).rpartition("/")[2] for name in split.class_names)
        self.by_name = {name: item for item, name in enumerate(files)}
        # a name alone, or with its class folder, is enough where no other image has it
        self.by_last_part = _index_unique_ends(files, 1)
        self.by_class_folder = {
            end: item
            for num_parts in {name.count("/") + 2 for name in split.class_names}
            for end, item in _index_unique_ends(files, num_parts).items()
        }

    def find(self, line: Mapping[str, str]) -> int | None:
        """Return the index of the image, ``None`` if there is none."""
        if "file" not in line:
            text = line["item"]
            return int(text) if text.isdecimal() and int(text) < self.count else None
        # the path of an image on another machine ends with its name within the data set
        parts = normalize_name(line["file"]).replace("\\", "/").split("/")
        for start in range(len(parts)):
            name = "/".join(parts[start:])
            if name in self.by_name:
                return self.by_name[name]
        # an image of the same name in another split, or in the folder of another class, is not this one
        if len(parts) > 1 and parts[-2] in self.folders:
            return self.by_class_folder.get("/".join(parts))
        return self.by_last_part.get(parts[-1])


def _index_unique_ends(files: Sequence[str], num_parts: int) -> dict[str, int]:
    """Return the images by the last parts of their names, without those that share them."""
    found: dict[str, list[int]] = {}
    for item, name in enumerate(files):
        found.setdefault("/".join(PurePosixPath(name).parts[-num_parts:]), []).append(item)
    return {end: items[0] for end, items in found.items() if len(items) == 1}


class _ClassFinder:
    """Finds the class that a cell names, by its name or its number.

    Args:
        split: the test split.
        path: the file, for messages.
        is_from_evaluation: whether the file has the columns that ``bench evaluate`` writes.
    """

    def __init__(self, split: _TestSplit, path: Path, is_from_evaluation: bool) -> None:
        self.split, self.path, self.is_from_evaluation = split, path, is_from_evaluation
        self.has_numeric_names = any(name.isdecimal() for name in split.class_names)
        self.by_name = {normalize_name(name): number for number, name in enumerate(split.class_names)}
        # classes of ImageNet beyond those of the data, numbered after these
        self.by_name |= {name: len(split.class_names) + number for number, name in enumerate(sorted(split.other_names))}

    def read_row(self, number: int, line: Mapping[str, str], item: int, label: int) -> ScoredItem:
        """Return the row of an image.

        Args:
            number: of the line in the file.
            line: its cells by column.
            item: index of the image.
            label: its true class.
        """
        # such names are wrong for every image, and only have to differ from those of the data
        if self.is_from_evaluation and self._numbers_as_evaluation(line):
            for name in (line["class"], *self._parse_top(number, line["top5"])):
                if isinstance(name, str):
                    self.by_name.setdefault(normalize_name(name), len(self.by_name))
        # a name says more than a number, whose meaning is the order of somebody's list
        if line.get("class"):
            prediction = self._find_name(number, line["class"])
        else:
            prediction = self._find_number(number, line.get("index") or line.get("prediction") or "")
        # without five classes, only a right answer has a place
        place = 0 if prediction == label else _NEVER
        if "top5" in line:
            top = self._read_top(number, line["top5"])
            if not top or top[0] != prediction or len(set(top)) != len(top):
                raise DataError(
                    f"line {number} of {self.path} has a top5 that does not begin with its class, or has one twice; "
                    "write it again"
                )
            # with fewer, a wrong answer would look like one that is not among the first five
            if len(top) < min(NUM_TOP, len(self.split.class_names)):
                raise DataError(
                    f"line {number} of {self.path} has {len(top)} classes in top5, not {NUM_TOP}; write all, or leave "
                    "the column out"
                )
            place = top.index(label) if label in top[:NUM_TOP] else _NEVER
        return ScoredItem(item, label, prediction, 1.0, place)

    def _numbers_as_evaluation(self, line: Mapping[str, str]) -> bool:
        """Return whether a line numbers classes as an evaluation does: first those of the data, then the head's others.

        Then a name that the data lack is one of the head's other classes, and not a misspelled one.
        """
        names, index = self.split.class_names, line["index"]
        if not index.isdecimal():
            return False
        return names.index(line["class"]) == int(index) if line["class"] in names else int(index) >= len(names)

    def _read_top(self, number: int, text: str) -> list[int]:
        return [
            self._find_name(number, each) if isinstance(each, str) else self._find_number(number, str(each))
            for each in self._parse_top(number, text)
        ]

    def _parse_top(self, number: int, text: str) -> list[Any]:
        try:
            classes = json.loads(text)
        except ValueError:
            classes = None
        if not isinstance(classes, list):
            raise DataError(
                f"line {number} of {self.path} has the top5 {text[:80]!r}, which is no JSON list of classes; "
                "write it again"
            )
        return classes

    def _find_name(self, number: int, text: str) -> int:
        if normalize_name(text) in self.by_name:
            return self.by_name[normalize_name(text)]
        # beside a class "1", a class "0" would be a name in one line and a number in the next
        if self.has_numeric_names:
            raise self._make_unknown_error(number, text)
        return self._find_number(number, text)

    def _find_number(self, number: int, text: str) -> int:
        # never a name: folders "1", "10" and "2" have the numbers 0, 1 and 2
        if text.isdecimal() and int(text) < len(self.by_name):
            return int(text)
        raise self._make_unknown_error(number, text)

    def _make_unknown_error(self, number: int, text: str) -> DataError:
        names = self.split.class_names
        return DataError(
            f"line {number} of {self.path} predicts {text!r}, which is none of the {len(names)} classes of "
            f"{self.split.task} ({', '.join(names[:3])}, ...), nor a number from 0 to {len(self.by_name) - 1}"
        )


def _format_lines(data: Mapping[str, Any], metrics: Mapping[str, MetricValue]) -> list[str]:
    lines = []
    for name, metric in metrics.items():
        interval = metric.interval
        span = f" [{interval.low:.2f}, {interval.high:.2f}] (Wilson, 95 %)" if interval else ""
        lines.append(f"{name} {metric.value:.2f} %{span}")
    lines.append(f"{data['images']:,} of {data['expected']:,} test images of {data['task']}")
    lines += [f"not the official data: {sentence}" for sentence in data["deviations"]]
    if data["partial"]:
        lines.append("PARTIAL: not a number of the benchmark")
    return lines
