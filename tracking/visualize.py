"""Draw a finished run: film strips of its worst, median and best sequence, and its success plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.pictures.encoding import make_picture
from engine.pictures.item_rank import rank_items
from foundation.errors import DataError
from results.records.picture_manifest import DrawnPicture
from results.records.record import Record
from results.statistics.item_files import read_item_table
from tracking.as_is.scoring import score_boxes
from tracking.data.box_files import read_predicted_boxes
from tracking.data.boxes import FloatArray
from tracking.data.readers.sequence import Video
from tracking.inference.result_files import boxes_path
from tracking.scoring import LASOT_OFFICIAL
from tracking.scoring.plots import draw_success_plot
from tracking.scoring.rules import ScoringRules
from tracking.scoring.score import TrackerScore
from tracking.video.film_strip import draw_film_strip


def draw_tracking_run(
    folder: Path, record: Record, videos: Sequence[Video], set_title: str, rules: ScoringRules = LASOT_OFFICIAL
) -> list[DrawnPicture]:
    """Draw three film strips and the success plot.

    Args:
        folder: the run's folder; its ``items.csv`` and ``tracked/`` are read.
        record: the run's record.
        videos: the sequences that the run was scored on.
        set_title: name of the test set.
        rules: the rules of the set.

    Raises:
        DataError: a sequence, a frame or its result file is no longer there.
    """
    boxes = {video.name: _read_boxes(folder / "tracked", video) for video in videos}
    by_name = {video.name: video for video in videos}
    columns, metric = read_item_table(folder, record).columns, rules.metrics[0]
    pictures = []
    for rank in rank_items(columns["sequence"], columns[metric]):
        if rank.name not in by_name:
            raise DataError(f"sequence {rank.name} is no longer there, so it cannot be drawn; restore the data")
        pictures.append(
            make_picture(
                draw_film_strip(by_name[rank.name], boxes[rank.name]),
                f"{rank.label}_sequence",
                "film_strip",
                f"{rank.label} sequence: {rank.name}, {metric} {rank.score:.1f} %",
                caption="Frames at equal distances; the first one shows the target to the tracker.",
                item=rank.name,
            )
        )
    scores = [score_boxes(video, boxes[video.name], rules) for video in videos]
    score = TrackerScore(record.backbone.name, rules, tuple(scores), len(scores))
    value = score.metric_values()[metric]
    image = draw_success_plot(set_title, score)
    caption = "Fraction of frames whose overlap with the true box exceeds a threshold, averaged over sequences."
    pictures.append(
        make_picture(image, "success_plot", "success_plot", f"success plot, {metric} {value:.2f} %", caption=caption)
    )
    return pictures


def _read_boxes(folder: Path, video: Video) -> FloatArray:
    path = boxes_path(folder, video)
    if not path.is_file():
        raise DataError(f"{path} is no longer there, so sequence {video.name} cannot be drawn; run again with --fresh")
    return read_predicted_boxes(path)
