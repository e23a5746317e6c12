"""The tasks ``ade20k``, ``camvid``, ``mini_ade`` and ``segfolder``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from engine.task import DataReport, DecodeLevel, MetricSpec, RunPlan, RunRequest, Task, TaskOutcome
from foundation.environment import get_cache_dir
from foundation.errors import UserError
from results.statistics.metric_statistics import MetricStatistic

if TYPE_CHECKING:  # listings do without numpy and OpenCV
    from results.records.record import Record
    from segmentation.data.dataset_layout import SegmentationDataset

CONFIG_DIR = Path(__file__).parent / "configs"


class SegmentationTask(Task):
    """Semantic segmentation of a labelled set; what differs between sets is how their files are found."""

    domain = "segmentation"
    protocols = ("upernet", "semantic_fpn", "linear")
    metrics = tuple(
        MetricSpec(name, "%", True, MetricStatistic("area_ratio", ("areas",), name))
        for name in ("mIoU", "mIoU_all", "aAcc", "mAcc")
    )
    has_official_counts = True  # whether ``expected`` are the official numbers of items

    @abstractmethod
    def find_dataset(self, root: Path) -> SegmentationDataset:
        """The set's files, paired.

        Raises:
            DataError: naming the file or folder and the mend.
        """

    def check_data(self, root: Path, decode: DecodeLevel = "none") -> DataReport:
        """Pairs and counts; as ``decode`` says also sizes, label numbers, and the classic label traps."""
        from segmentation.data.checks import check_dataset

        found = self.find_dataset(root)
        return check_dataset(
            found, decode, self.expected if self.has_official_counts else None, lambda: self.get_class_names(found)
        )

    def get_class_names(self, dataset: SegmentationDataset) -> Sequence[str]:
        """Class names, in order."""
        return dataset.label_space.class_names

    def plan(self, request: RunRequest, data: DataReport) -> RunPlan:
        """Resolve ``configs/<task>_<protocol>.py``."""
        from segmentation.run import resolve_protocol

        return resolve_protocol(CONFIG_DIR / f"{self.name}_{request.protocol}.py", request, data)

    def run(self, request: RunRequest, plan: RunPlan, out: Path) -> TaskOutcome:
        """Train and score in ``out``."""
        from segmentation.run import SegmentationCell, run_protocol

        found = self.find_dataset(request.data_root)
        return run_protocol(SegmentationCell(request, plan, found, self.get_class_names(found), self), out)

    def visualize_run(self, folder: Path, record: Record) -> list[Path]:
        """Overlays of the best, median and worst image, and IoU by class."""
        from segmentation.visualize import draw_segmentation_run

        assert record.result is not None
        details = record.result.details
        found = self.find_dataset(Path(details["data_root"]))
        metric = record.result.metrics["mIoU"].value
        title = f"{record.task} {record.protocol} {record.tier} {record.backbone.name}: mIoU {metric:.2f} %"
        return draw_segmentation_run(folder, found, details["iou_by_class"], title)


class Ade20kTask(SegmentationTask):
    """ADE20K as the scene-parsing benchmark ships it."""

    name = "ade20k"
    summary = "ADE20K scene parsing: 20,210 training and 2,000 validation images, 150 classes"
    expected = MappingProxyType({"train": 20_210, "test": 2_000})

    def find_dataset(self, root: Path) -> SegmentationDataset:
        """``ADEChallengeData2016`` under ``root``."""
        from segmentation.data.dataset_layout import read_ade20k

        return read_ade20k(root)

    def get_class_names(self, dataset: SegmentationDataset) -> Sequence[str]:
        """mmseg's names of the 150 classes."""
        from segmentation.data.ade20k_classes import get_ade20k_classes

        return get_ade20k_classes()

    def download_data(self, root: Path) -> None:
        """The set is fetched by hand."""
        raise UserError(
            "ADE20K is fetched by hand: ADEChallengeData2016.zip from the MIT scene parsing benchmark "
            f"(sceneparsing.csail.mit.edu), unpacked so that {root / 'ADEChallengeData2016'} is there"
        )


class MiniAdeTask(Ade20kTask):
    """Real photographs in ADE20K's layout, made on this machine."""

    name = "mini_ade"
    summary = "72 patchworks of real photographs in ADE20K's layout, 6 of its 150 classes, no download"
    expected = MappingProxyType({"train": 48, "test": 24})

    def find_dataset(self, root: Path) -> SegmentationDataset:
        """The miniature in the cache folder (``root`` is not used)."""
        from segmentation.data.dataset_layout import read_ade20k
        from segmentation.data.mini_ade import make_mini_ade

        return read_ade20k(make_mini_ade(get_cache_dir()), self.name)

    def download_data(self, root: Path) -> None:
        """Make it."""
        self.find_dataset(root)


class CamvidTask(SegmentationTask):
    """CamVid, small enough for a CPU."""

    name = "camvid"
    summary = "CamVid road scenes at 480 x 360 px: 367 / 101 / 233 images, 11 classes"
    expected = MappingProxyType({"train": 367, "val": 101, "test": 233})

    def find_dataset(self, root: Path) -> SegmentationDataset:
        """``CamVid`` under ``root``."""
        from segmentation.data.dataset_layout import read_camvid

        return read_camvid(root)

    def download_data(self, root: Path) -> None:
        """The set is fetched by hand."""
        raise UserError(
            "CamVid is fetched by hand: the 480 x 360 px version with 11 classes of SegNet's tutorial, so that "
            f"{root / 'CamVid' / 'train'} and {root / 'CamVid' / 'trainannot'} are there"
        )


class SegfolderTask(SegmentationTask):
    """A user's own images and labels."""

    name = "segfolder"
    summary = "your own folder: classes.txt, images/SPLIT, labels/SPLIT (docs/segmentation.md)"
    expected: Mapping[str, int] = MappingProxyType({})
    has_official_counts = False

    def find_dataset(self, root: Path) -> SegmentationDataset:
        """The folder itself."""
        from segmentation.data.dataset_layout import read_segfolder

        return read_segfolder(root)


ADE20K = Ade20kTask()
MINI_ADE = MiniAdeTask()
CAMVID = CamvidTask()
SEGFOLDER = SegfolderTask()
