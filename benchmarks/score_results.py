"""Score result files of any tracker or network by the rules of their data set."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Protocol

from foundation.errors import UnknownNameError, UserError
from foundation.run_scope import open_run_scope
from foundation.suggest import did_you_mean
from results.score_request import ScoreRequest

__all__ = ["SCORERS", "ScoreReport", "ScoreRequest", "score_results"]

_TRACKING_SCORER = "tracking.scoring.command:score_tracking_set"
_CLASSIFICATION_SCORER = "classification.scoring:score_classification_set"
_SUBMISSION_PACKER = "tracking.scoring.command:pack_tracking_submission"
_SEGMENTATION_SCORER = "segmentation.scoring:score_segmentation_set"
_DETECTION_SCORER = "detection.scoring.command:score_detection_set"

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
    "coco": _DETECTION_SCORER,
    "mini_coco": _DETECTION_SCORER,
    "mini_shapes": _DETECTION_SCORER,
    "cocofolder": _DETECTION_SCORER,
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

TRACKED_ONLY = ("trackfolder", "mini_lasot")
"""Tasks whose sequences are scored where they are tracked, and not from files."""


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
    if request.test_set in TRACKED_ONLY:
        raise UnknownNameError(
            f"bench score reads no result files of {request.test_set}; track and score its sequences with bench "
            f"evaluate {request.test_set} --run RUN"
        )
    if request.test_set not in SCORERS:
        raise UnknownNameError(f"unknown set {request.test_set!r}{did_you_mean(request.test_set, SCORERS)}")
    if request.annotations is not None and SCORERS[request.test_set] != _DETECTION_SCORER:
        raise UserError(f"bench score {request.test_set} has no --annotations; its ground truth is in the data")
    module, _, function = SCORERS[request.test_set].partition(":")
    scorer: Callable[[ScoreRequest], ScoreReport] = getattr(importlib.import_module(module), function)
    options = _make_options(request)
    with open_run_scope(data_options=options):
        return scorer(request)


def _make_options(request: ScoreRequest) -> object:
    """Return the options of the data, ``None`` without.

    Raises:
        UserError: a value is not possible, or the set does not take the option.
    """
    if not request.data_options:
        return None
    # imported here, because pydantic takes a while and most sets have no options
    from benchmarks.task_registry import TASKS
    from engine.data.data_options import make_data_options, require_task_options

    options = make_data_options(request.data_options)
    require_task_options(TASKS.get(request.test_set), options)
    return options
