"""What a task makes of a finished model: something that can be described, evaluated and timed. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from engine.task import DataReport, RunPlan, RunRequest, Task, TaskOutcome
from foundation.errors import UserError
from results.records.identity import AS_IS

if TYPE_CHECKING:  # pydantic is slow to import, and commands such as ``bench list`` do not need it
    from engine.evaluation.model_source import ModelSource
    from results.records.measurements import EfficiencyRecord
    from results.records.record import BackboneRecord

AS_IS_VERSION = 1
"""Version of the protocol; a change that moves a number raises it."""


@dataclass(frozen=True)
class Evaluation(ABC):
    """A finished model, opened on the test split of a task; nothing was written yet.

    Everything that can change the number is in ``plan.config`` (what all models of a board share: the rules, the test
    items, the list of classes) or in ``backbone`` (what belongs to this model: its card, its weights by SHA-256, and in
    ``arguments`` its input size, preprocessing, test-time settings, ``runtime`` and ``precision``, the latter two only
    where they are not ``torch`` and ``f32``).

    Attributes:
        task: the task.
        backbone: the whole model as the record describes it, its head included.
        data: the report on the test split alone, so that nobody needs training data to test a model.
        plan: ``config["recipe"]`` has the settings; ``num_expected_items`` and ``notes`` as for a run.
        device: where it is computed, ``cpu``, ``cuda`` or ``mps``.
    """

    task: Task
    backbone: BackboneRecord
    data: DataReport
    plan: RunPlan
    device: str

    @abstractmethod
    def run(self, out: Path) -> TaskOutcome:
        """Evaluate the model on every test item; write predictions, and exported graphs, below the folder ``out``."""

    @abstractmethod
    def measure_cost(self) -> EfficiencyRecord | None:
        """Measure the cost of the model that was evaluated, in its runtime and precision, with one image.

        It is called after ``run``; ``None`` where it cannot be measured.
        """


@dataclass(frozen=True)
class PredictionReport:
    """What ``bench predict`` did: plain data for JSON, and the same in lines of text."""

    data: Mapping[str, Any]
    text: str


class TestOnlyTask(Task):
    """A data set on which finished models are tested and nothing is trained.

    Attributes:
        needs_server: whether the ground truth is on a server, so that ``write_submission`` takes the place of a record.
    """

    protocols = (AS_IS,)
    expected: Mapping[str, int] = MappingProxyType({})
    needs_server = False

    def write_submission(self, source: ModelSource, root: Path, out: Path) -> PredictionReport:
        """Predict every test item, and write the archive that the server takes; there is no number and no record.

        Args:
            source: the finished model, and how it is applied.
            root: folder that contains the data sets.
            out: folder for the predictions and the archive.

        Raises:
            UserError: the ground truth of this set is not on a server.
        """
        raise UserError(f"the ground truth of {self.name} is public; use bench evaluate {self.name}")

    def plan(self, request: RunRequest, data: DataReport) -> NoReturn:
        """Refuse: nothing is trained on this set."""
        self._refuse()

    def run(self, request: RunRequest, plan: RunPlan, out: Path) -> NoReturn:
        """Refuse: nothing is trained on this set."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UserError(f"{self.name} is a test set, and nothing is trained on it; use bench evaluate {self.name}")
