"""The tracking tasks: LaSOT, its embedded miniature, and folders with a user's own sequences.

Modules that need torch, OpenCV or mmengine are imported inside the methods, so that listing the tasks stays fast.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from engine.task import ControlKind, DataReport, DecodeLevel, MetricSpec, RunPlan, RunRequest, Task, TaskOutcome
from foundation.errors import UserError
from foundation.plural import format_count
from results.statistics.metric_statistics import MetricStatistic
from tracking.configs import TRACKING_PROTOCOLS

if TYPE_CHECKING:
    from engine.evaluation.contract import Evaluation
    from engine.evaluation.model_source import ModelSource
    from engine.summary.data_summary import DataSummary
    from results.records.picture_manifest import DrawnPicture
    from results.records.record import Record
    from tracking.data.frame_hashes import SetContent
    from tracking.data.readers.sequence import Video
    from tracking.scoring.rules import ScoringRules


class TrackingTask(Task):
    """Train a one-stream tracker with a protocol, then track and score the test sequences of the task.

    All metrics are means over sequences, in percent: ``AUC`` of the success curve, precision ``P`` at 20 pixels,
    normalized precision ``P_norm``, and the success rates ``OP50`` and ``OP75`` at IoU 0.5 and 0.75.

    Attributes:
        needs_server: whether the ground truth is on a server: such a set is tracked for a submission, and has no number
            and no record (``tracking.as_is.submission``).
    """

    domain = "tracking"
    needs_server = False
    # each metric is the mean of the per-item column of the same name; the first, AUC, ranks the boards
    metrics = tuple(
        MetricSpec(name, "%", True, MetricStatistic("mean", (name,))) for name in ("AUC", "P", "P_norm", "OP50", "OP75")
    )

    @abstractmethod
    def read_test_videos(self, root: Path) -> list[Video]:
        """Read the sequences that are tracked and scored.

        Args:
            root: the data root.

        Raises:
            DataError: a file is missing or damaged; the message names it and says how to fix it.
        """

    def check_data(self, root: Path, decode: DecodeLevel = "none") -> DataReport:
        """Check the layout, the counts, the ground truth and, if requested, the frames of the test sequences.

        Args:
            root: the data root.
            decode: which frames are opened: ``none``, ``sample`` (the first frame of each sequence) or ``all``.

        Raises:
            DataError: a file is missing or damaged, or a frame has another size than the first of its sequence.
        """
        videos = self.read_test_videos(root)
        check_video_frames(videos, decode)
        content = self.describe_content(videos, root)
        return DataReport(
            content.fingerprint,
            {"test": len(videos)},
            self.list_notes(videos),
            self.list_deviations(videos),
            coverage=content.coverage,
            duplicates=content.duplicates,
        )

    @abstractmethod
    def describe_content(self, videos: list[Video], root: Path) -> SetContent:
        """Return the fingerprint of the test sequences, what it covers, and what is in the training data too.

        Args:
            videos: the test sequences.
            root: the data root.

        Raises:
            DataError: a frame is missing or cannot be read.
        """

    def summarize_data(self, root: Path) -> DataSummary:
        """Summarize the sequences; the sheet shows frames with their boxes."""
        from tracking.data.summary import read_own_training, summarize_sequences

        splits = {**read_own_training(self.name, root), "test": self.read_test_videos(root)}
        return summarize_sequences(splits, has_truth=not self.needs_server)

    def list_notes(self, videos: list[Video]) -> tuple[str, ...]:
        """Return what a reader should know about the test sequences, one sentence each.

        Args:
            videos: the test sequences.
        """
        return (format_count(sum(len(video.frames) for video in videos), "frame"),)

    def list_deviations(self, videos: list[Video]) -> tuple[str, ...]:
        """Return how the sequences differ from the official test set, one sentence each; empty if they do not.

        Args:
            videos: the test sequences.
        """
        return ()

    def list_test_items(self, root: Path) -> Mapping[str, Sequence[object]]:
        """Return name and number of frames of every test sequence."""
        videos = self.read_test_videos(root)
        return {"sequence": [video.name for video in videos], "frames": [len(video.frames) for video in videos]}

    def plan(self, request: RunRequest, data: DataReport) -> RunPlan:
        """Resolve the settings of ``configs/<protocol>.py`` for a request.

        Args:
            request: the requested run.
            data: the report of ``check_data``.

        Raises:
            ConfigError: a setting is not valid.
            UserError: the backbone does not fit into a one-stream tracker.
            DataError: a training set is missing.
        """
        from tracking.protocols import resolve_protocol

        return resolve_protocol(request, data, lambda: self.read_test_videos(request.data_root))

    def run(self, request: RunRequest, plan: RunPlan, out: Path) -> TaskOutcome:
        """Train, track and score in a folder; continues from what is already there.

        Args:
            request: the requested run.
            plan: the plan that ``plan`` returned for it.
            out: folder of the run.
        """
        from tracking.data.readers.sequence import limit_videos
        from tracking.protocols import run_protocol

        videos = limit_videos(self.read_test_videos(request.data_root), plan.config["recipe"])
        return run_protocol(request, plan, videos, out, self)

    def make_control(self, kind: ControlKind, seed: int = 0) -> Task:
        """Return a variant whose training pairs have exchanged boxes, or whose crops and frames are noise.

        Args:
            kind: what the variant does.
            seed: the seed of the exchange or of the noise.
        """
        from engine.data.control_task import ControlTask
        from tracking.controls import ControlSamplers, answer_first_box, replace_frames
        from tracking.data.readers.sequence import limit_videos
        from tracking.protocols import run_protocol

        def run_variant(request: RunRequest, plan: RunPlan, out: Path) -> TaskOutcome:
            videos = limit_videos(self.read_test_videos(request.data_root), plan.config["recipe"])
            videos = replace_frames(videos, kind, seed)
            if kind == "labels_only":
                return answer_first_box(videos, [spec.name for spec in self.metrics], out)
            return run_protocol(request, plan, videos, out, self, ControlSamplers(kind, seed))

        return ControlTask(self, kind, seed, run_variant)

    def visualize_run(self, folder: Path, record: Record, data_root: Path) -> list[DrawnPicture]:
        """Draw film strips of the worst, median and best sequence, and the success plot."""
        from tracking.data.readers.sequence import limit_videos
        from tracking.scoring.rules import LASOT_OFFICIAL
        from tracking.visualize import draw_tracking_run

        videos = limit_videos(self.read_test_videos(data_root), record.config.get("recipe"))
        return draw_tracking_run(folder, record, videos, self.name, self.get_rules() or LASOT_OFFICIAL)

    def get_rules(self) -> ScoringRules | None:
        """Return the rules of a set that is not scored by LaSOT's official rules, or ``None``."""
        return None

    def open_evaluation(self, source: ModelSource, root: Path) -> Evaluation:
        """Open a finished tracker: that of a run, or a checkpoint of OSTrack's code.

        Args:
            source: which tracker, and how it is applied.
            root: the data root.

        Raises:
            UserError: the source is no finished tracker, or a setting or the runtime does not fit.
            DataError: the sequences are missing or damaged.
        """
        from tracking.as_is.evaluation import open_tracking_evaluation

        return open_tracking_evaluation(self, source, root)


def check_video_frames(videos: list[Video], decode: DecodeLevel) -> None:
    """Decode frames and check that each sequence has frames of one size and a usable first box.

    Args:
        videos: the sequences.
        decode: ``none``, ``sample`` (the first frame of each sequence) or ``all``.

    Raises:
        DataError: a frame cannot be decoded or has another size than the first, or the first box is not a box inside
            the first frame.
    """
    if decode == "none":
        return
    # imported here, because listing the tasks must not load OpenCV
    from tracking.data.boxes import require_first_box
    from tracking.inference.sequential import iter_frames

    for video in videos:
        for number, frame in enumerate(iter_frames(video)):
            # a tracker starts from this box, so it must have an area and overlap the frame
            if number == 0:
                require_first_box(video.boxes[0], frame.shape[1], frame.shape[0], f"sequence {video.name}")
            if decode == "sample":
                break


class LasotTask(TrackingTask):
    """The 280 test sequences of LaSOT (protocol II)."""

    name = "lasot"
    summary = "LaSOT, protocol II: 280 test sequences, 685,360 frames"
    protocols = TRACKING_PROTOCOLS
    expected = MappingProxyType({"test": 280})

    def read_test_videos(self, root: Path) -> list[Video]:
        """Read the sequences of ``testing_set.txt`` from the category folders or zips.

        Args:
            root: the data root with a folder ``lasot``, or the folder of LaSOT itself.

        Raises:
            DataError: a sequence of the list is missing or damaged.
        """
        from tracking.data.readers import lasot
        from tracking.training_sets import find_lasot_root

        return lasot.read_test_videos(find_lasot_root(root))

    def describe_content(self, videos: list[Video], root: Path) -> SetContent:
        """Return the fingerprint of boxes, labels and frames; it is the same for zips and folders.

        Args:
            videos: the test sequences.
            root: the data root.

        Raises:
            DataError: a frame cannot be read.
        """
        from tracking.training_sets import find_lasot_root, fingerprint_lasot_videos

        return fingerprint_lasot_videos(videos, find_lasot_root(root))

    def download_data(self, root: Path) -> None:
        """Refuse: LaSOT has to be downloaded by hand.

        Args:
            root: the data root, for the message.

        Raises:
            UserError: always; the message says where LaSOT is and where to put it.
        """
        raise UserError(
            "LaSOT must be downloaded by hand (its project page and HengLan/LaSOT_Evaluation_Toolkit have the links): "
            f"put the category zips, or the folders in them, into {root / 'lasot'} and the toolkit's testing_set.txt "
            "next to them"
        )

    def list_deviations(self, videos: list[Video]) -> tuple[str, ...]:
        """Report sequences, frames or ground truth other than those of LaSOT's test set.

        Args:
            videos: the test sequences that were found.
        """
        from tracking.data.label_digests import SequenceLabels, find_changed_labels, load_label_digests

        official = load_label_digests()
        changed = find_changed_labels((SequenceLabels(v.name, v.boxes, ~v.visible) for v in videos), official)
        # a cut sequence would change the score and leave the number of sequences as it is, so frames are counted too
        frames = sum(len(video.frames) for video in videos)
        if (len(videos), frames) != (280, 685_360):
            return (f"{len(videos)} test sequences with {frames:,} frames, LaSOT has 280 with 685,360", *changed)
        strange = sorted({video.name for video in videos} - official.keys())
        if strange:
            return (f"{len(strange)} test sequences are not in LaSOT's official list, such as {strange[0]}", *changed)
        return changed


class MiniLasotTask(TrackingTask):
    """The embedded miniature of LaSOT, which needs no download."""

    name = "mini_lasot"
    summary = "24 synthetic sequences of real photographs in LaSOT's layout, 12 to test: exact boxes, no download"
    # the first protocol is the default: one that trains on a CPU without any data set
    protocols = ("fast128", *(name for name in TRACKING_PROTOCOLS if name != "fast128"))
    # two of each of the six kinds of motion
    expected = MappingProxyType({"test": 12})

    def read_test_videos(self, root: Path) -> list[Video]:
        """Read the test sequences, which are created in the cache folder on first use.

        Args:
            root: not used; the miniature is not stored below the data root.
        """
        from tracking.data.mini_lasot import ensure_mini_lasot
        from tracking.data.readers import lasot

        return lasot.read_test_videos(ensure_mini_lasot())

    def describe_content(self, videos: list[Video], root: Path) -> SetContent:
        """Return the fingerprint of all files of the miniature.

        Args:
            videos: the test sequences; not used.
            root: not used.
        """
        from engine.data.file_hashes import FULL_COVERAGE
        from tracking.data.frame_hashes import SetContent
        from tracking.data.mini_lasot import ensure_mini_lasot
        from tracking.training_sets import fingerprint_folder

        # the pixels come from installed packages (photographs, OpenCV); another version could give another test set
        return SetContent(fingerprint_folder(ensure_mini_lasot()), FULL_COVERAGE)

    def list_notes(self, videos: list[Video]) -> tuple[str, ...]:
        """Return where the photographs come from.

        Args:
            videos: the test sequences; not used.
        """
        return ("photographs from scikit-image and scikit-learn; test and training sequences have none in common",)


class TrackfolderTask(TrackingTask):
    """A user's own sequences: folders of images with boxes, in the layouts of ``tracking.data.sequence_folders``."""

    name = "trackfolder"
    summary = "your own sequences: folders of images, each with a groundtruth.txt, in --data-root (or its test/)"
    data_options = ("exclude", "target")
    protocols = ("fast128", *(name for name in TRACKING_PROTOCOLS if name != "fast128"))
    expected: Mapping[str, int] = MappingProxyType({})

    def read_test_videos(self, root: Path) -> list[Video]:
        """Read all sequences below ``root/test`` if that folder exists, else below ``root``.

        Args:
            root: the data root.

        Raises:
            DataError: there is no sequence, or one is damaged.
        """
        from tracking.data.readers.folder import read_test_content

        return read_test_content(root).videos

    def check_data(self, root: Path, decode: DecodeLevel = "none") -> DataReport:
        """Check the sequences; see ``TrackingTask``. The notes begin with what was decided about their layout."""
        from tracking.data.readers.folder import read_test_content

        report = super().check_data(root, decode)
        return replace(report, notes=(*read_test_content(root).notes, *report.notes))

    def describe_content(self, videos: list[Video], root: Path) -> SetContent:
        """Return the fingerprint, and the test sequences that share frames with the sequences in ``root/train``.

        These are compared whether or not the protocol trains on them.

        Args:
            videos: the test sequences.
            root: the data root.

        Raises:
            DataError: a sequence is damaged.
        """
        from tracking.data.shared_frames import describe_folder_content

        return describe_folder_content(root)


LASOT = LasotTask()
MINI_LASOT = MiniLasotTask()
TRACKFOLDER = TrackfolderTask()
