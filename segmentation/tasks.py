"""The segmentation tasks ``ade20k``, ``camvid``, ``mini_ade`` and ``segfolder``. Imports no torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from engine.task import ControlKind, DataReport, DecodeLevel, MetricSpec, RunPlan, RunRequest, Task, TaskOutcome
from foundation.environment import get_cache_dir
from foundation.errors import UserError
from results.statistics.metric_statistics import MetricStatistic

if TYPE_CHECKING:  # commands that only list tasks start faster without numpy and OpenCV
    from engine.evaluation.contract import Evaluation
    from engine.evaluation.model_source import ModelSource
    from engine.summary.data_summary import DataSummary
    from results.records.picture_manifest import DrawnPicture
    from results.records.record import Record
    from segmentation.data.dataset_layout import SegmentationDataset
    from segmentation.data.label_summaries import LabelSummaries

CONFIG_DIR = Path(__file__).parent / "configs"


class SegmentationTask(Task):
    """Semantic segmentation of a labeled data set; subclasses differ in how they find their files.

    Attributes:
        has_official_counts: whether ``expected`` holds the official number of images of each split, so that a data set
            with other counts deviates from the official one.
    """

    domain = "segmentation"
    protocols = ("upernet", "semantic_fpn", "linear")
    metrics = tuple(
        MetricSpec(name, "%", True, MetricStatistic("area_ratio", ("areas",), name))
        for name in ("mIoU", "mIoU_all", "aAcc", "mAcc")
    )
    has_official_counts = True

    @abstractmethod
    def find_dataset(self, root: Path, *, test_only: bool = False) -> SegmentationDataset:
        """Find the images and label files below ``root`` and pair them.

        Args:
            root: the data root.
            test_only: leave the other splits out; their folders may be missing.

        Raises:
            DataError: a file or folder is missing or wrong; the message names it and how to fix it.
        """

    def check_data(self, root: Path, decode: DecodeLevel = "none") -> DataReport:
        """Check pairs, counts and the values of all labels; if images are opened, also their sizes.

        Args:
            root: the data root.
            decode: how many images are opened: ``none``, ``sample`` or ``all``.

        Raises:
            DataError: the data cannot be used; the message names the first wrong file and how to fix it.
        """
        return self._check_dataset(self.find_dataset(root), decode)

    def summarize_data(self, root: Path) -> DataSummary:
        """Summarize images and masks; the sheet shows each image beside its classes."""
        from segmentation.data.summary import summarize_segmentation

        found = self.find_dataset(root)
        return summarize_segmentation(found, self.get_class_names(found))

    def check_test_data(self, root: Path) -> DataReport:
        """Check the test split alone, which is all that a finished model needs; see ``check_data``."""
        return self._check_dataset(self.find_dataset(root, test_only=True), "none")

    def _check_dataset(self, found: SegmentationDataset, decode: DecodeLevel) -> DataReport:
        from segmentation.data.checks import check_dataset

        # class names are passed as a function, because reading ADE20K's imports mmseg, which takes seconds
        return check_dataset(
            found,
            decode,
            # where only the test split was looked for, the others are not missing
            {split: count for split, count in self.expected.items() if split in found.splits}
            if self.has_official_counts
            else None,
            lambda: self.get_class_names(found),
            lambda summaries: self.compare_official_labels(found, summaries),
        )

    def compare_official_labels(self, dataset: SegmentationDataset, summaries: LabelSummaries) -> Sequence[str]:
        """Return how the labels differ from the official ones, one sentence each.

        Args:
            dataset: the data set with its files paired.
            summaries: what its label files hold.
        """
        return ()

    def get_class_names(self, dataset: SegmentationDataset) -> Sequence[str]:
        """Return the name of each class, by class index."""
        return dataset.label_space.class_names

    def list_test_items(self, root: Path) -> Mapping[str, Sequence[object]]:
        """Return index and name of every test image."""
        names = [pair.name for pair in self.find_dataset(root, test_only=True).splits["test"]]
        return {"item": range(len(names)), "name": names}

    def plan(self, request: RunRequest, data: DataReport) -> RunPlan:
        """Plan the run by ``configs/<task>_<protocol>.py``."""
        from segmentation.plan import resolve_protocol

        return resolve_protocol(CONFIG_DIR / f"{self.name}_{request.protocol}.py", request, data)

    def run(self, request: RunRequest, plan: RunPlan, out: Path) -> TaskOutcome:
        """Train and score in the folder ``out``."""
        from segmentation.run import SegmentationCell, run_protocol

        found = self._find_planned_dataset(request, plan)
        return run_protocol(SegmentationCell(request, plan, found, self.get_class_names(found), self), out)

    def _find_planned_dataset(self, request: RunRequest, plan: RunPlan) -> SegmentationDataset:
        """Find the data set, or the part of it that the plan's limit keeps."""
        from engine.data.item_limits import read_limit

        return self.find_dataset(request.data_root).limit_items(read_limit(plan.config["recipe"]))

    def open_evaluation(self, source: ModelSource, root: Path) -> Evaluation:
        """Open a finished segmentation model on the test split; only that split need be there."""
        from segmentation.as_is.evaluation import open_segmentation_evaluation

        return open_segmentation_evaluation(self, source, root)

    def make_control(self, kind: ControlKind, seed: int = 0) -> Task:
        """Return a variant of the task whose label maps are exchanged between images or whose images are noise."""
        from engine.data.control_task import ControlTask
        from segmentation.controls import ControlReader, answer_best_mask, exchange_label_files
        from segmentation.run import SegmentationCell, run_protocol

        def run_variant(request: RunRequest, plan: RunPlan, out: Path) -> TaskOutcome:
            found = self._find_planned_dataset(request, plan)
            if kind == "labels_only":
                return answer_best_mask(found, self.metrics, out)
            found = exchange_label_files(found, seed) if kind == "shuffled_labels" else found
            names, reader = self.get_class_names(found), ControlReader(kind, seed)
            return run_protocol(SegmentationCell(request, plan, found, names, self, reader), out)

        return ControlTask(self, kind, seed, run_variant)

    def visualize_run(self, folder: Path, record: Record, data_root: Path) -> list[DrawnPicture]:
        """Draw overlays of the worst, median and best image, and a chart of the IoU of each class."""
        from segmentation.visualize import draw_segmentation_run

        # the predictions are in the run's folder
        found = self.find_dataset(data_root, test_only=True)
        return draw_segmentation_run(folder, record, found, self.get_class_names(found))


class Ade20kTask(SegmentationTask):
    """ADE20K in the form of the MIT scene parsing benchmark."""

    name = "ade20k"
    summary = "ADE20K scene parsing: 20,210 training and 2,000 validation images, 150 classes"
    expected = MappingProxyType({"train": 20_210, "test": 2_000})

    def find_dataset(self, root: Path, *, test_only: bool = False) -> SegmentationDataset:
        """Find ``ADEChallengeData2016`` below ``root`` and pair its files."""
        from segmentation.data.dataset_layout import read_ade20k

        return read_ade20k(root, test_only=test_only)

    def compare_official_labels(self, dataset: SegmentationDataset, summaries: LabelSummaries) -> Sequence[str]:
        """Compare the list of classes; the label files of ADE20K are too many to ship a digest of each."""
        from segmentation.data.ade20k_classes import compare_ade20k_classes

        return compare_ade20k_classes(dataset.root)

    def get_class_names(self, dataset: SegmentationDataset) -> Sequence[str]:
        """Return mmseg's names of the 150 classes."""
        from segmentation.data.ade20k_classes import get_ade20k_classes

        return get_ade20k_classes()

    def download_data(self, root: Path) -> None:
        """Explain where to get the data; it cannot be downloaded automatically.

        Raises:
            UserError: always.
        """
        raise UserError(
            "ADE20K is not downloaded automatically: fetch ADEChallengeData2016.zip from the MIT scene parsing "
            f"benchmark (sceneparsing.csail.mit.edu) and unpack it to {root / 'ADEChallengeData2016'}"
        )


class MiniAdeTask(Ade20kTask):
    """A miniature in ADE20K's layout, composed of real photographs on this machine."""

    name = "mini_ade"
    summary = "72 patchworks of real photographs in ADE20K's layout, 6 of its 150 classes, no download"
    expected = MappingProxyType({"train": 48, "test": 24})

    def find_dataset(self, root: Path, *, test_only: bool = False) -> SegmentationDataset:
        """Find the miniature in the cache folder, and make it first if it is not there (``root`` is not used)."""
        from segmentation.data.dataset_layout import read_ade20k
        from segmentation.data.mini_ade import make_mini_ade

        # the layout is ADE20K's, so its reader and its label space serve here too
        return read_ade20k(make_mini_ade(get_cache_dir()), self.name, test_only=test_only)

    def download_data(self, root: Path) -> None:
        """Make the miniature (``root`` is not used)."""
        self.find_dataset(root)


class CamvidTask(SegmentationTask):
    """CamVid, which is small enough for a CPU."""

    name = "camvid"
    summary = "CamVid road scenes at 480 x 360 px: 367 / 101 / 233 images, 11 classes"
    expected = MappingProxyType({"train": 367, "val": 101, "test": 233})

    def find_dataset(self, root: Path, *, test_only: bool = False) -> SegmentationDataset:
        """Find ``CamVid`` below ``root`` and pair its files."""
        from segmentation.data.dataset_layout import read_camvid

        return read_camvid(root, test_only=test_only)

    def compare_official_labels(self, dataset: SegmentationDataset, summaries: LabelSummaries) -> Sequence[str]:
        """Compare the values of each label map with those of SegNet's tutorial."""
        from segmentation.data.camvid_labels import compare_camvid_labels

        return compare_camvid_labels(summaries)

    def download_data(self, root: Path) -> None:
        """Explain where to get the data; it cannot be downloaded automatically.

        Raises:
            UserError: always.
        """
        raise UserError(
            "CamVid is not downloaded automatically: fetch the 480 x 360 px version with 11 classes of SegNet's "
            f"tutorial and unpack it to {root / 'CamVid' / 'train'}, {root / 'CamVid' / 'trainannot'} and so on"
        )


class SegfolderTask(SegmentationTask):
    """A user's own images and labels."""

    name = "segfolder"
    summary = "your own images and label files, with a list of classes (docs/guides/your-own-data.md)"
    expected: Mapping[str, int] = MappingProxyType({})  # no official counts: every user's folder is different
    has_official_counts = False
    data_options = ("exclude", "ignore", "map", "colours")

    def find_dataset(self, root: Path, *, test_only: bool = False) -> SegmentationDataset:
        """Find the user's images and labels in ``root`` itself and pair them."""
        from segmentation.data.own_folder.read_folder import read_segfolder

        return read_segfolder(root, test_only=test_only)


ADE20K = Ade20kTask()
MINI_ADE = MiniAdeTask()
CAMVID = CamvidTask()
SEGFOLDER = SegfolderTask()
