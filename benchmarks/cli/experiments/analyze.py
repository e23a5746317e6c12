"""``bench analyze WHAT ...``."""

from __future__ import annotations

import importlib
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmarks.cli.output import write_json, write_stdout

if TYPE_CHECKING:
    from analysis.record import Analysis
    from analysis.store import StoredAnalysis

_HANDLERS = {
    "cka": ("cka", "run"),
    "attention": ("attention", "run"),
    "layers": ("layers", "run"),
    "data-scale": ("data_scale", "run"),
    "spectrum": ("extras", "spectrum"),
    "pca": ("extras", "pca"),
    "neighbours": ("extras", "neighbours"),
}


def main(options: Namespace) -> int:
    """Do one analysis, or answer it from its record."""
    module, function = _HANDLERS[options.what]
    room = importlib.import_module(f"benchmarks.analyze.{module}")
    run: Callable[[Namespace], StoredAnalysis] = getattr(room, function)
    kept = run(options)
    if options.json:
        analysis = kept.analysis.model_dump(mode="json")
        write_json({"folder": str(kept.folder), "from_record": kept.from_record, "analysis": analysis})
        return 0
    summary: Callable[[Analysis], list[str]] = room.summary
    write_stdout("\n".join([_format_header(kept), *summary(kept.analysis), *_list_files(kept)]))
    return 0


def _format_header(stored: StoredAnalysis) -> str:
    analysis = stored.analysis
    names = ", ".join(
        f"{one.name} ({'random weights' if one.init == 'random' else one.init})" for one in analysis.backbones
    )
    text = f"{analysis.kind}: {names}"
    if analysis.data is not None:
        text += f"; {analysis.data.images} images of {analysis.data.task} {analysis.data.split}"
        text += " (not the official data)" if analysis.data.dataset.deviations else ""
    return text + ("; answered from the record, --fresh does it anew" if stored.from_record else "")


def _list_files(stored: StoredAnalysis) -> list[str]:
    return [f"  {stored.folder / name}" for name in ("analysis.json", *sorted(stored.analysis.files))]
