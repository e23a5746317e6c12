"""The analyses by name: which module carries each one out. A module is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

from analysis.record import Analysis
from analysis.request import AnalysisKind, AnalysisRequest
from analysis.store import StoredAnalysis
from engine.device import get_dist_info
from foundation.errors import UserError

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
    """An analysis as its module offers it.

    Attributes:
        version: of the method; another one gives other ids.
        run: answers a request of the analysis's own class, from the record where there is one.
        summarize: what came out, in lines of text.
    """

    version: int
    run: Callable[[Any], StoredAnalysis]
    summarize: Callable[[Analysis], list[str]]


def load_method(kind: AnalysisKind) -> AnalysisMethod:
    """Import the module of an analysis.

    Args:
        kind: which analysis.
    """
    module = importlib.import_module(ANALYSIS_MODULES[kind])
    run = getattr(module, f"run_{ANALYSIS_MODULES[kind].rpartition('.')[2]}")
    return AnalysisMethod(module.METHOD_VERSION, run, module.summarize_analysis)


def run_analysis(request: AnalysisRequest) -> StoredAnalysis:
    """Carry out an analysis, or answer it from its record.

    Args:
        request: what is asked; its class says which analysis.

    Raises:
        UserError: started by ``torchrun``, or something else the user can fix; nothing was written.
        DataError: data that are not whole.
    """
    # Several processes would each compute all of it and write to one folder
    num_processes = get_dist_info()[1]
    if num_processes > 1:
        raise UserError(
            f"bench analyze runs in one process, not {num_processes}; start it without torchrun (the runs of layers "
            "and data-scale may be done under torchrun with bench run before: their records are found)"
        )
    return load_method(request.kind).run(request)
