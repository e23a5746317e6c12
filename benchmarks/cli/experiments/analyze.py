"""``bench analyze WHAT ...``."""

from __future__ import annotations

import importlib
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmarks.cli.output import write, write_json

if TYPE_CHECKING:
    from analysis.record import Analysis
    from analysis.store import Kept

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
    run: Callable[[Namespace], Kept] = getattr(room, function)
    kept = run(options)
    if options.json:
        analysis = kept.analysis.model_dump(mode="json")
        write_json({"folder": str(kept.folder), "from_record": kept.from_record, "analysis": analysis})
        return 0
    summary: Callable[[Analysis], list[str]] = room.summary
    write("\n".join([_head(kept), *summary(kept.analysis), *_files(kept)]))
    return 0


def _head(kept: Kept) -> str:
    analysis = kept.analysis
    names = ", ".join(
        f"{one.name} ({'random weights' if one.init == 'random' else one.init})" for one in analysis.backbones
    )
    text = f"{analysis.what}: {names}"
    if analysis.data is not None:
        text += f"; {analysis.data.images} images of {analysis.data.task} {analysis.data.split}"
        text += " (not the official data)" if analysis.data.seen.departures else ""
    return text + ("; answered from the record, --fresh does it anew" if kept.from_record else "")


def _files(kept: Kept) -> list[str]:
    return [f"  {kept.folder / name}" for name in ("analysis.json", *sorted(kept.analysis.files))]
