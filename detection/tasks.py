"""The detection tasks ``coco``, ``mini_coco``, ``mini_shapes`` and ``cocofolder``. Imports no torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from detection.scoring.metric_names import make_metric_specs
from engine.task import ControlKind, DataReport, DecodeLevel, RunPlan, RunRequest, Task, TaskOutcome
from foundation.environment import get_cache_dir
from foundation.errors import UserError

if TYPE_CHECKING:  # commands that only list tasks start faster without numpy and OpenCV
    from detection.data.ground_truth import DetectionDataset
    from engine.evaluation.contract import Evaluation
    from engine.evaluation.model_source import ModelSource
    from engine.summary.data_summary import DataSummary
    from results.records.picture_manifest import DrawnPicture
    from results.records.record import Record

CONFIG_DIR = Path(__file__).parent / "configs"


class DetectionTask(Task):
    """Detection of objects with their boxes and masks; subclasses differ in how they find their files.

    A data set with boxes alone has no mask AP: its runs report the metrics of boxes, and a record says ``has_masks``.

    Attributes:
        has_official_counts: whether ``expected`` holds the official number of images of each split, so that a data set
            with other counts deviates from the official one.
    """

    domain = "detection"
    protocols: tuple[str, ...] = ("vitdet", "vitdet_short", "frozen")
    metrics = make_metric_specs()
    has_official_counts = True

    @abstractmethod
    def find_dataset(self, root: Path, *, test_only: bool = False) -> DetectionDataset:
        """Find the images and annotation files below ``root`` and read the annotations.

        Args:
            root: the data root.
            test_only: leave the other splits out; their files may be missing.

        Raises:
            DataError: a file or folder is missing or wrong; the message names it and how to fix it.
        """

    def check_data(self, root: Path, decode: DecodeLevel = "none") -> DataReport:
        """Check annotations, counts and images; if images are opened, also their sizes.

        Args:
            root: the data root.
            decode: how many images are opened: ``none``, ``sample`` or ``all``.

        Raises:
            DataError: the data cannot be used; the message names the first wrong file and how to fix it.
        """
        return self._check_dataset(self.find_dataset(root), decode)

    def check_test_data(self, root: Path) -> DataReport:
        """Check the test split alone, which is all that a finished model needs; see ``check_data``."""
        return self._check_dataset(self.find_dataset(root, test_only=True), "none")

    def _check_dataset(self, found: DetectionDataset, decode: DecodeLevel) -> DataReport:
        from detection.data.checks import check_detection_data

        # where only the test split was looked for, the others are not missing
        official = {split: count for split, count in self.expected.items() if split in found.splits}
        counts = official if self.has_official_counts else None
        return check_detection_data(found, decode, counts, self.compare_official_annotations)

    def compare_official_annotations(self, dataset: DetectionDataset) -> Sequence[str]:
        """Return how the annotations differ from the official ones, one sentence each.

        Args:
            dataset: the data set as read.
        """
        return ()

    def summarize_data(self, root: Path) -> DataSummary:
        """Summarize images and objects; the sheet shows images with their boxes and masks."""
        from detection.data.summary import summarize_detection

        return summarize_detection(self.find_dataset(root))

    def list_test_items(self, root: Path) -> Mapping[str, Sequence[object]]:
        """Return index, image id and name of every test image."""
        images = self.find_dataset(root, test_only=True).splits["test"].images
        return {
            "item": range(len(images)),
            "image_id": [image.id for image in images],
            "name": [image.name for image in images],
        }

    def plan(self, request: RunRequest, data: DataReport) -> RunPlan:
        """Plan the run by ``configs/<task>_<protocol>.py``."""
        from detection.plan import resolve_protocol

        return resolve_protocol(CONFIG_DIR / f"{self.name}_{request.protocol}.py", request, data)

    def run(self, request: RunRequest, plan: RunPlan, out: Path) -> TaskOutcome:
        """Train and score in the folder ``out``."""
        from detection.run import DetectionCell, run_protocol

        return run_protocol(DetectionCell(request, plan, self._find_planned_dataset(request, plan), self), out)

    def _find_planned_dataset(self, request: RunRequest, plan: RunPlan) -> DetectionDataset:
        """Find the data set, or the part of it that the plan's limit keeps."""
        from detection.data.item_limits import limit_dataset
        from engine.data.item_limits import read_limit

        return limit_dataset(self.find_dataset(request.data_root), read_limit(plan.config["recipe"]))

    def open_evaluation(self, source: ModelSource, root: Path) -> Evaluation:
        """Open a finished detector on the test split; only that split need be there."""
        from detection.as_is.evaluation import open_detection_evaluation

        return open_detection_evaluation(self, source, root)

    def make_control(self, kind: ControlKind, seed: int = 0) -> Task:
        """Return a variant of the task whose objects are exchanged between images or whose images are noise."""
        from detection.controls import answer_mean_objects, exchange_objects, make_noise_reader
        from detection.run import DetectionCell, run_protocol
        from engine.data.control_task import ControlTask

        def run_variant(request: RunRequest, plan: RunPlan, out: Path) -> TaskOutcome:
            found = self._find_planned_dataset(request, plan)
            if kind == "labels_only":
                return answer_mean_objects(found, self, out)
            if kind == "shuffled_labels":
                return run_protocol(DetectionCell(request, plan, exchange_objects(found, seed), self), out)
            if kind == "noise_images":
                return run_protocol(DetectionCell(request, plan, found, self, make_noise_reader(seed)), out)
            return run_protocol(DetectionCell(request, plan, found, self), out)

        return ControlTask(self, kind, seed, run_variant)

    def visualize_run(self, folder: Path, record: Record, data_root: Path) -> list[DrawnPicture]:
        """Draw the objects of the worst, median and best image, and a chart of the AP of each class."""
        from detection.data.item_limits import limit_dataset
        from detection.visualize import draw_detection_run
        from engine.data.item_limits import read_limit

        # the detections are in the run's folder
        found = limit_dataset(self.find_dataset(data_root, test_only=True), read_limit(record.config.get("recipe")))
        return draw_detection_run(folder, record, found)


class CocoTask(DetectionTask):
    """COCO 2017: trained on train2017, tested on val2017."""

    name = "coco"
    summary = "COCO 2017 detection: 118,287 training and 5,000 validation images, 80 classes, boxes and masks"
    expected = MappingProxyType({"train": 118_287, "test": 5_000})

    def find_dataset(self, root: Path, *, test_only: bool = False) -> DetectionDataset:
        """Find ``coco`` below ``root`` and read its annotation files."""
        from detection.data.coco_layout import read_coco

        return read_coco(root, test_only=test_only)

    def compare_official_annotations(self, dataset: DetectionDataset) -> Sequence[str]:
        """Compare the number of objects and the list of categories with those of COCO 2017."""
        from detection.data.coco_layout import compare_official_annotations

        return compare_official_annotations(dataset)

    def download_data(self, root: Path) -> None:
        """Explain where to get the data; it cannot be downloaded automatically.

        Raises:
            UserError: always.
        """
        raise UserError(
            "COCO is not downloaded automatically (20 GB): fetch train2017.zip, val2017.zip and "
            "annotations_trainval2017.zip from cocodataset.org and unpack them to "
            f"{root / 'coco' / 'train2017'}, {root / 'coco' / 'val2017'} and {root / 'coco' / 'annotations'}"
        )


class MiniCocoTask(DetectionTask):
    """A miniature in COCO's layout, composed of real photographs on this machine."""

    name = "mini_coco"
    summary = "112 scenes of cut-outs of real photographs in COCO's layout, 7 classes, boxes and masks, no download"
    expected = MappingProxyType({"train": 48, "test": 64})

    def find_dataset(self, root: Path, *, test_only: bool = False) -> DetectionDataset:
        """Find the miniature in the cache folder, and make it first if it is not there (``root`` is not used)."""
        from detection.data.coco_layout import read_coco_folder
        from detection.data.mini_coco import make_mini_coco

        # the layout is COCO's, so its reader serves here too
        return read_coco_folder(make_mini_coco(get_cache_dir()), self.name, test_only=test_only)

    def download_data(self, root: Path) -> None:
        """Make the miniature (``root`` is not used)."""
        self.find_dataset(root)


class MiniShapesTask(DetectionTask):
    """Shapes cut out of real photographs, by which pretrained weights can be told from random ones."""

    name = "mini_shapes"
    summary = "160 scenes of shapes cut out of photographs: do weights help a detector? 7 classes, no download"
    protocols = ("frozen", "vitdet")
    expected = MappingProxyType({"train": 96, "test": 64})

    def find_dataset(self, root: Path, *, test_only: bool = False) -> DetectionDataset:
        """Find the miniature in the cache folder, and make it first if it is not there (``root`` is not used)."""
        from detection.data.coco_layout import read_coco_folder
        from detection.data.mini_shapes import make_mini_shapes

        return read_coco_folder(make_mini_shapes(get_cache_dir()), self.name, test_only=test_only)

    def download_data(self, root: Path) -> None:
        """Make the miniature (``root`` is not used)."""
        self.find_dataset(root)


class CocofolderTask(DetectionTask):
    """A user's own images with annotations in COCO's, YOLO's or VOC's format."""

    name = "cocofolder"
    summary = "your own images with a COCO json, YOLO labels or VOC xml files (docs/guides/your-own-data.md)"
    expected: Mapping[str, int] = MappingProxyType({})  # no official counts: every user's folder is different
    has_official_counts = False
    data_options = ("exclude",)

    def find_dataset(self, root: Path, *, test_only: bool = False) -> DetectionDataset:
        """Find the user's images and annotations in ``root`` itself."""
        from detection.data.own_folder.read_folder import read_cocofolder

        return read_cocofolder(root, test_only=test_only)


COCO = CocoTask()
MINI_COCO = MiniCocoTask()
MINI_SHAPES = MiniShapesTask()
COCOFOLDER = CocofolderTask()
