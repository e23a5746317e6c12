"""The tracking tasks: LaSOT, its embedded miniature, and a user's own folders."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from engine.task import DataReport, DecodeLevel, MetricSpec, RunPlan, RunRequest, Task, TaskOutcome
from foundation.errors import UserError
from results.statistics.metric_statistics import MetricStatistic
from tracking.configs import TRACKING_PROTOCOLS

if TYPE_CHECKING:
    from tracking.data.readers.sequence import Video


class TrackingTask(Task):
    """Train a one-stream tracker by a protocol, then track the task's test sequences."""

    domain = "tracking"
    metrics = tuple(
        MetricSpec(name, "%", True, MetricStatistic("mean", (name,))) for name in ("AUC", "P", "P_norm", "OP50", "OP75")
    )

    @abstractmethod
    def read_test_videos(self, root: Path) -> list[Video]:
        """The sequences that are scored.

        Raises:
            DataError: naming the file and the mend.
        """

    def check_data(self, root: Path, decode: DecodeLevel = "none") -> DataReport:
        """Layout, counts and labels; frames as far as ``decode`` says (``sample``: the first of each sequence)."""
        from tracking.data.readers.sequence import fingerprint_videos

        videos = self.read_test_videos(root)
        check_video_frames(videos, decode)
        return DataReport(
            fingerprint_videos(videos), {"test": len(videos)}, self.list_notes(videos), self.list_deviations(videos)
        )

    def list_notes(self, videos: list[Video]) -> tuple[str, ...]:
        """What a reader should know."""
        return (f"{sum(len(video.frames) for video in videos)} frames; the fingerprint covers boxes and labels",)

    def list_deviations(self, videos: list[Video]) -> tuple[str, ...]:
        """How the sequences differ from the official ones."""
        return ()

    def plan(self, request: RunRequest, data: DataReport) -> RunPlan:
        """Resolve ``configs/<protocol>.py``."""
        from tracking.protocols import resolve_protocol

        return resolve_protocol(request, data)

    def run(self, request: RunRequest, plan: RunPlan, out: Path) -> TaskOutcome:
        """Train, track and score in ``out``."""
        from tracking.protocols import run_protocol

        return run_protocol(request, plan, self.read_test_videos(request.data_root), out, self)


def check_video_frames(videos: list[Video], decode: DecodeLevel) -> None:
    """Open the first frame of every sequence, or all of them.

    Raises:
        DataError: one cannot be read or is of another size.
    """
    if decode == "none":
        return
    from tracking.data.boxes import require_first_box
    from tracking.inference.sequential import iter_frames

    for video in videos:
        for number, frame in enumerate(iter_frames(video)):
            if number == 0:
                require_first_box(video.boxes[0], frame.shape[1], frame.shape[0], f"sequence {video.name}")
            if decode == "sample":
                break


class LasotTask(TrackingTask):
    """LaSOT's 280 test sequences."""

    name = "lasot"
    summary = "LaSOT, protocol II: 280 test sequences, 685,360 frames"
    protocols = TRACKING_PROTOCOLS
    expected = MappingProxyType({"test": 280})

    def read_test_videos(self, root: Path) -> list[Video]:
        """``<root>/lasot`` (or ``root`` itself) with ``testing_set.txt`` and the category folders."""
        from tracking.data.readers import lasot
        from tracking.training_sets import find_lasot_root

        return lasot.read_test_videos(find_lasot_root(root))

    def download_data(self, root: Path) -> None:
        """LaSOT is fetched by hand."""
        raise UserError(
            f"LaSOT is fetched by hand (its project page and HengLan/LaSOT_Evaluation_Toolkit name the places): put "
            f"the category zips, or the folders in them, into {root / 'lasot'} and the toolkit's "
            "testing_set.txt beside them"
        )

    def list_deviations(self, videos: list[Video]) -> tuple[str, ...]:
        """Another number of sequences or frames than LaSOT's."""
        frames = sum(len(video.frames) for video in videos)
        if (len(videos), frames) == (280, 685_360):
            return ()
        return (f"{len(videos)} test sequences with {frames:,} frames, LaSOT has 280 with 685,360",)


class MiniLasotTask(TrackingTask):
    """The embedded miniature; always there."""

    name = "mini_lasot"
    summary = "24 made-up sequences of real photographs in LaSOT's layout, 12 to test: exact boxes, always there"
    protocols = ("fast128", *(name for name in TRACKING_PROTOCOLS if name != "fast128"))
    expected = MappingProxyType({"test": 12})

    def read_test_videos(self, root: Path) -> list[Video]:
        """Made on first use (``root`` is not used)."""
        from tracking.data.mini_lasot import ensure_mini_lasot
        from tracking.data.readers import lasot

        return lasot.read_test_videos(ensure_mini_lasot())

    def check_data(self, root: Path, decode: DecodeLevel = "none") -> DataReport:
        """As the others, and the fingerprint covers every pixel."""
        from dataclasses import replace

        from tracking.data.mini_lasot import ensure_mini_lasot
        from tracking.training_sets import fingerprint_folder

        report = super().check_data(root, decode)
        return replace(report, fingerprint=fingerprint_folder(ensure_mini_lasot()))

    def list_notes(self, videos: list[Video]) -> tuple[str, ...]:
        """Where it comes from."""
        return ("photographs of scikit-image and scikit-learn; test and training share none",)


class TrackfolderTask(TrackingTask):
    """A user's own sequences."""

    name = "trackfolder"
    summary = "your own sequences: folders of images with a groundtruth.txt each, at --data-root (or its test/)"
    protocols = ("fast128", *(name for name in TRACKING_PROTOCOLS if name != "fast128"))
    expected: Mapping[str, int] = MappingProxyType({})

    def read_test_videos(self, root: Path) -> list[Video]:
        """All sequences below ``root/test`` where there is such a folder, else below ``root``."""
        from tracking.data.readers.folder import read_folder_videos

        return read_folder_videos(root / "test" if (root / "test").is_dir() else root)


LASOT = LasotTask()
MINI_LASOT = MiniLasotTask()
TRACKFOLDER = TrackfolderTask()
