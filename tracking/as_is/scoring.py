"""Score the result files of an evaluation by the rules of the task's set, as ``bench score`` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from foundation.errors import IncompleteError
from results.records.record import MetricValue
from results.statistics.statistic_functions import COUNTED_COLUMN
from tracking.as_is.test_videos import AnnotatedVideo
from tracking.data.boxes import FloatArray
from tracking.data.readers.sequence import Video
from tracking.inference.sequential import (
    SequenceMetrics,
    average_sequences,
    read_result_files,
    score_result_files,
)
from tracking.scoring.rules import ScoringRules
from tracking.scoring.score import SequenceScore, score_sequence

if TYPE_CHECKING:
    from tracking.tasks import TrackingTask


class ScoredVideos(NamedTuple):
    """The score of a test set.

    Attributes:
        columns: names of the columns of the per-item table.
        rows: one row per sequence.
        metrics: values by metric name.
    """

    columns: tuple[str, ...]
    rows: Sequence[Sequence[str | int | float | None]]
    metrics: dict[str, MetricValue]


def score_videos(task: TrackingTask, videos: Sequence[Video], folder: Path) -> ScoredVideos:
    """Score all sequences from their result files.

    Args:
        task: names the metrics and has the rules.
        videos: the sequences.
        folder: folder of the result files.

    Raises:
        DataError: a file is missing or damaged.
        IncompleteError: no frame of the set counts.
    """
    rules = task.get_rules()
    if rules is None:  # LaSOT's, by the same code as a run
        scores = score_result_files(videos, folder)
        return ScoredVideos(SequenceMetrics._fields, scores, average_sequences(scores, task.metrics))
    return _score_annotated(task, rules, videos, folder)


def score_boxes(video: Video, boxes: FloatArray, rules: ScoringRules) -> SequenceScore:
    """Score the boxes of one sequence by the rules of its set.

    Args:
        video: the sequence.
        boxes: predicted boxes, shape (frames, 4).
        rules: the rules.
    """
    # absence and image size are not known of every video: where a set has no such labels, the box decides
    absent, image_size = ~video.visible, None
    if isinstance(video, AnnotatedVideo):
        absent, image_size = video.absent, video.image_size
    return score_sequence(boxes, video.boxes, absent, rules, name=video.name, image_size=image_size)


def _score_annotated(task: TrackingTask, rules: ScoringRules, videos: Sequence[Video], folder: Path) -> ScoredVideos:
    """Score the sequences of a public test set by its own rules."""
    pools_frames = rules.average_over == "frames"
    rows: list[tuple[str | int | float, ...]] = []
    values: dict[str, list[float]] = {name: [] for name in rules.metrics}
    weights = []
    for video, found in read_result_files(videos, folder):
        score = score_boxes(video, found.boxes, rules)
        each = score.metric_values()
        # the number of frames that count is in the table, so that anybody can compute the mean over frames from it
        counted = (score.frames,) if pools_frames else ()
        rows.append((video.name, len(found.boxes), *each.values(), *counted, found.confidence, found.digest))
        # where sequences are averaged, a long one counts as much as a short one
        weights.append(score.frames if pools_frames else 1)
        for name, value in each.items():
            values[name].append(value)
    total = sum(weights)
    if not total:
        raise IncompleteError(
            "no sequence has a frame that counts, so there is no number; check the absence labels of the ground truth"
        )
    metrics = {
        spec.name: MetricValue(
            value=sum(value * weight for value, weight in zip(values[spec.name], weights, strict=True)) / total,
            unit=spec.unit,
            higher_is_better=spec.higher_is_better,
            n=len(rows),
        )
        for spec in task.metrics
    }
    counted_columns = (COUNTED_COLUMN,) if pools_frames else ()
    columns = ("sequence", "frames", *rules.metrics, *counted_columns, "confidence", "boxes")
    return ScoredVideos(columns, rows, metrics)
