"""The analyses of a store as the page shows them. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from analysis.store import StoredAnalysis, scan_analyses
from results.leaderboard.page.media import AnalysisPanel, read_figures

MAX_FIGURE_BYTES = 2_500_000
"""Figures of all analyses together that a page has at most, in bytes; further ones stay next to their records."""


def collect_page_analyses(roots: Iterable[Path]) -> tuple[list[AnalysisPanel], list[str]]:
    """Return the analyses below some folders as panels of the page, and the errors of those that cannot be read."""
    scanned = scan_analyses(roots)
    budget, shown = MAX_FIGURE_BYTES, []
    for kept in scanned.analyses:
        figures = read_figures(kept.folder, budget)
        budget -= sum(len(content) for _, content in figures)
        shown.append(AnalysisPanel(kept.analysis.title, _format_note(kept, len(figures)), figures))
    return shown, scanned.faults


def _format_note(kept: StoredAnalysis, figures: int) -> str:
    data, environment = kept.analysis.data, kept.analysis.environment
    finished = (environment.finished or environment.started)[:16].replace("T", " ")
    parts = [f"{kept.folder}, {environment.device}, {finished} UTC"]
    if data and data.dataset.deviations:
        parts.append("not the official data")
    whole = sum(name.endswith((".png", ".jpg")) for name in kept.analysis.files)
    if figures < whole:
        parts.append(f"{figures} of its {whole} figures fit into this page")
    return "; ".join(parts)
