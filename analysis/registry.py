"""The analyses by name, and the module of each. A module is imported only when its analysis is requested."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

from analysis.record import Analysis
from analysis.request import AnalysisKind, AnalysisRequest
from analysis.store import StoredAnalysis
from engine.data.data_options import NO_OPTIONS, require_task_options
from engine.device import get_dist_info
from foundation.errors import UserError
from foundation.run_scope import open_run_scope

ANALYSIS_MODULES: dict[AnalysisKind, str] = {
    "cka": "analysis.cka",
    "attention": "analysis.attention",
    "layers": "analysis.layers",
    "data-scale": "analysis.data_scale",
    "spectrum": "analysis.spectrum",
    "pca": "analysis.pca",
    "neighbours": "analysis.neighbours",
}
"""Each module has ``METHOD_VERSION``, ``run_<module>`` and ``summarize_analysis``."""


class AnalysisMethod(NamedTuple):
    """The functions of an analysis module.

    Attributes:
        version: version of the method; a new version changes the ids of analyses.
        run: answers a request of the class that belongs to the analysis, from the record if there is one.
        summarize: returns the main results as lines of text.
    """

    version: int
    run: Callable[[Any], StoredAnalysis]
    summarize: Callable[[Analysis], list[str]]


def load_method(kind: AnalysisKind) -> AnalysisMethod:
    """Import the module of an analysis and return its functions.

    Args:
        kind: which analysis.
    """
    # imported here: torch, timm and matplotlib take seconds, and a single analysis does not need all modules
    module = importlib.import_module(ANALYSIS_MODULES[kind])
    run = getattr(module, f"run_{ANALYSIS_MODULES[kind].rpartition('.')[2]}")
    return AnalysisMethod(module.METHOD_VERSION, run, module.summarize_analysis)


def run_analysis(request: AnalysisRequest) -> StoredAnalysis:
    """Run an analysis, or return it from its record.

    Args:
        request: the request; its class determines the analysis.

    Raises:
        UserError: the command was started by ``torchrun``, or the user can fix something else; nothing was written.
        DataError: the data are damaged or incomplete.
    """
    # Each process would compute the complete analysis, and all would write to the same folder
    num_processes = get_dist_info()[1]
    if num_processes > 1:
        raise UserError(
            f"bench analyze runs in one process, not {num_processes}; start it without torchrun (for layers and "
            "data-scale, do the runs first with bench run under torchrun: the analysis finds their records)"
        )
    options = request.data_options or NO_OPTIONS
    require_task_options(request.task, options)
    with open_run_scope(trusts_caches=not request.force_new, hashes_all=request.hash_all, data_options=options):
        return load_method(request.kind).run(request)
