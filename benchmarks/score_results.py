"""Score result files of any tracker or network by the rules of their data set."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

from foundation.errors import UnknownNameError, UserError
from foundation.suggest import did_you_mean
from results.score_request import ScoreRequest

__all__ = ["SCORERS", "ScoreReport", "ScoreRequest", "score_results"]

_TRACKING_SCORER = "tracking.scoring.command:score_tracking_set"
_CLASSIFICATION_SCORER = "classification.scoring:score_classification_set"
_SUBMISSION_PACKER = "tracking.scoring.command:pack_tracking_submission"
_SEGMENTATION_SCORER = "segmentation.scoring:score_segmentation_set"

SCORERS = {
    "lasot": _TRACKING_SCORER,
    "lasot_ext": _TRACKING_SCORER,
    "got10k_val": _TRACKING_SCORER,
    "otb100": _TRACKING_SCORER,
    "uav123": _TRACKING_SCORER,
    "nfs": _TRACKING_SCORER,
    "got10k_test": _SUBMISSION_PACKER,
    "trackingnet": _SUBMISSION_PACKER,
    "ade20k": _SEGMENTATION_SCORER,
    "mini_ade": _SEGMENTATION_SCORER,
    "camvid": _SEGMENTATION_SCORER,
    "segfolder": _SEGMENTATION_SCORER,
    "digits": _CLASSIFICATION_SCORER,
    "cifar10": _CLASSIFICATION_SCORER,
    "cifar100": _CLASSIFICATION_SCORER,
    "flowers": _CLASSIFICATION_SCORER,
    "pets": _CLASSIFICATION_SCORER,
    "aircraft": _CLASSIFICATION_SCORER,
    "cars": _CLASSIFICATION_SCORER,
    "inat18": _CLASSIFICATION_SCORER,
    "imagenet": _CLASSIFICATION_SCORER,
    "imagefolder": _CLASSIFICATION_SCORER,
}
"""A set's name and its scorer "module:function", which takes a ``ScoreRequest`` and returns a ``ScoreReport``."""


class ScoreReport(Protocol):
    """What a scorer returns: plain data for JSON, and the same as text."""

    @property
    def data(self) -> dict[str, Any]:
        """For JSON."""

    @property
    def text(self) -> str:
        """For the terminal."""


def score_results(request: ScoreRequest) -> ScoreReport:
    """Score the result files of a request; only the code of its data set is imported.

    Raises:
        UnknownNameError: no such set.
        UserError: options, ground truth or results that cannot be used; nothing is written.
        IncompleteError: results are missing, and the request does not allow a partial number.
    """
    if request.test_set not in SCORERS:
        raise UnknownNameError(f"unknown set {request.test_set!r}{did_you_mean(request.test_set, SCORERS)}")
    _require_set_options(request.test_set)
    module, _, function = SCORERS[request.test_set].partition(":")
    report: ScoreReport = getattr(importlib.import_module(module), function)(request)
    return report


def _require_set_options(test_set: str) -> None:
    """Refuse options of the data that the reader of a set does not follow."""
    from benchmarks.task_registry import TASKS
    from engine.data.data_options import get_data_options, name_option, require_task_options

    given = get_data_options()
    if test_set in TASKS.list_names():
        require_task_options(TASKS.get(test_set), given)
    elif names := list(given.as_dict()):
        raise UserError(f"bench score {test_set} has no {name_option(names[0])}: its layout is fixed; leave it out")
