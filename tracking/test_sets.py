"""The public tracking sets on which finished trackers are tested, and nothing is trained: test-only tasks.

Their names are those of ``bench score``, so everything that can be scored can be tracked.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from engine.evaluation.contract import TestOnlyTask
from engine.task import ControlKind, DataReport, DecodeLevel, MetricSpec, Task
from results.statistics.metric_statistics import MetricStatistic
from tracking.tasks import TrackingTask, check_video_frames

if TYPE_CHECKING:
    from engine.evaluation.contract import PredictionReport
    from engine.evaluation.model_source import ModelSource
    from tracking.as_is.test_videos import TestSequences
    from tracking.data.frame_hashes import SetContent
    from tracking.data.readers.sequence import Video
    from tracking.scoring.rules import ScoringRules

# OTB, NfS, UAV123 and the extension are scored with the metrics of LaSOT, by rules of their own
_LASOT_METRICS = TrackingTask.metrics
# GOT-10k pools the frames of all sequences, so a metric is the mean of its column, weighted by the frames that count
_GOT10K_METRICS = tuple(
    MetricSpec(name, "%", True, MetricStatistic("function", (name, "counted"), function="frame_mean"))
    for name in ("AO", "SR50", "SR75")
)


class PublicSetTask(TestOnlyTask, TrackingTask):
    """A test set with public ground truth, read as it ships and scored by its own rules.

    Args:
        name: name of the set, as ``bench score`` takes it.
        summary: one line for listings.
        sequences: number of sequences of the official set.
        metrics: the metrics of its rules.
        source: where to get it, for the message of ``bench get data``.
    """

    domain = "tracking"

    def __init__(
        self,
        name: str,
        summary: str,
        sequences: int,
        source: str,
        metrics: tuple[MetricSpec, ...] = _LASOT_METRICS,
    ) -> None:
        self.name, self.summary, self.source, self.metrics = name, summary, source, metrics
        self.expected: Mapping[str, int] = MappingProxyType({"test": sequences})

    def read_set(self, root: Path) -> TestSequences:
        """Read the sequences, and how they differ from the official set.

        Args:
            root: the data root, or the folder of the set.

        Raises:
            DataError: the set is missing or damaged.
        """
        from tracking.as_is.test_videos import read_public_set

        return read_public_set(self.name, root)

    def read_test_videos(self, root: Path) -> list[Video]:
        """Read the sequences, in the order of the official list where there is one."""
        return self.read_set(root).videos

    def get_rules(self) -> ScoringRules | None:
        """Return the default rules of ``bench score`` for the set."""
        from tracking.scoring.sets import PUBLIC_TEST_SETS

        return PUBLIC_TEST_SETS[self.name].select_rules(None)

    def check_data(self, root: Path, decode: DecodeLevel = "none") -> DataReport:
        """Check the layout, the counts, the ground truth and, if requested, the frames; see ``TrackingTask``."""
        # read once: the deviations are known to whoever read the set
        found = self.read_set(root)
        check_video_frames(found.videos, decode)
        content = self.describe_content(found.videos, root)
        return DataReport(
            content.fingerprint,
            {"test": len(found.videos)},
            self.list_notes(found.videos),
            found.deviations,
            coverage=content.coverage,
        )

    def describe_content(self, videos: list[Video], root: Path) -> SetContent:
        """Return the fingerprint of the sequences; bench does not know what a tracker was trained on."""
        from tracking.as_is.test_videos import fingerprint_test_set

        return fingerprint_test_set(self.name, self.read_set(root))

    def download_data(self, root: Path) -> None:
        """Refuse: the set has to be downloaded by hand.

        Raises:
            UserError: always; the message says where the set is from and where to put it.
        """
        from foundation.errors import UserError

        raise UserError(
            f"{self.name} must be downloaded by hand ({self.source}); docs/reference/data-sets.md shows where it "
            f"belongs below {root}"
        )

    def make_control(self, kind: ControlKind, seed: int = 0) -> Task:
        """Refuse: negative controls train, and nothing is trained on this set."""
        self._refuse()


class ServerSetTask(PublicSetTask):
    """A test set whose ground truth is on a server: it is tracked and packed for that server, and has no number."""

    # the verb writes an archive in place of a record
    needs_server = True

    def read_set(self, root: Path) -> TestSequences:
        """Read the sequences, of which only the first box is known."""
        from tracking.as_is.test_videos import read_server_set

        return read_server_set(self.name, root)

    def get_rules(self) -> ScoringRules | None:
        """Return nothing: the server has the rules."""
        return None

    def write_submission(self, source: ModelSource, root: Path, out: Path) -> PredictionReport:
        """Track every sequence, and write ``<name>.zip`` for the server; see ``tracking.as_is.submission``."""
        from tracking.as_is.submission import write_submission

        return write_submission(source, self, root, out)


LASOT_EXT = PublicSetTask(
    "lasot_ext", "LaSOT's extension: 150 test sequences of 15 further categories", 150, "LaSOT's project page has it"
)
GOT10K_VAL = PublicSetTask(
    "got10k_val", "GOT-10k val: 180 sequences with public ground truth", 180, "got-10k.aitestunion.com", _GOT10K_METRICS
)
OTB100 = PublicSetTask(
    "otb100", "OTB100 (OTB2015): 100 targets in 98 videos", 100, "cvlab.hanyang.ac.kr/tracker_benchmark"
)
UAV123 = PublicSetTask("uav123", "UAV123: 123 sequences seen from a drone", 123, "KAUST's page of UAV123")
NFS = PublicSetTask("nfs", "NfS at 30 frames per second: 100 sequences", 100, "the page of Need for Speed")
GOT10K_TEST = ServerSetTask(
    "got10k_test", "GOT-10k test: 180 sequences, scored by its server", 180, "got-10k.aitestunion.com", _GOT10K_METRICS
)
TRACKINGNET = ServerSetTask(
    "trackingnet", "TrackingNet test: 511 sequences, scored by its server", 511, "tracking-net.org",
    tuple(spec for spec in _LASOT_METRICS if spec.name in ("AUC", "P", "P_norm")),
)  # fmt: skip
