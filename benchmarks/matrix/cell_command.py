"""The ``bench run`` command that runs one cell of a matrix alone."""

from __future__ import annotations

from pathlib import Path

from backbones.card import format_normalization
from benchmarks.resolve_cell import CellRequest
from engine.data.data_options import name_option
from engine.task import Task
from foundation.environment import resolve_data_root
from foundation.values.path_text import shorten_path


def make_cell_command(request: CellRequest) -> list[str]:
    """Return the words of the command that runs a cell with the same id, from the current folder.

    Paths below the current folder are relative to it, and a data root that comes from ``$BENCH_DATA`` is left out, as
    in a command that a user types: the words stand in the record, which should not hold the folders of a machine.

    Args:
        request: a cell of registered names.

    >>> " ".join(make_cell_command(CellRequest("digits", "vit_nano", "knn", tier="smoke", seed=1)))
    'bench run digits --backbone vit_nano --protocol knn --tier smoke --seeds 1'
    """
    assert not isinstance(request.task, Task) and isinstance(request.backbone, str), "a matrix holds names"
    defaults = CellRequest(request.task, request.backbone)
    words = ["bench", "run", request.task, "--backbone", request.backbone]
    options: dict[str, str | None] = {
        "--protocol": request.protocol,
        "--checkpoint": None if request.checkpoint is None else shorten_path(Path(request.checkpoint)),
        "--weights-key": request.weights_key,
        "--label": request.label,
        "--tier": request.tier,
        "--seeds": str(request.seed),
        "--data-scale": repr(request.data_scale),
        "--data-root": shorten_path(request.data_root),
        "--out": shorten_path(request.out),
        "--device": request.device,
    }
    same = {
        "--tier": defaults.tier,
        "--seeds": str(defaults.seed),
        "--data-scale": repr(defaults.data_scale),
        "--data-root": shorten_path(resolve_data_root().absolute()),
        "--out": str(defaults.out),
        "--device": defaults.device,
    }
    for option, value in options.items():
        if value is not None and value != same.get(option):
            words += [option, value]
    for option, values in (("--mean", request.mean), ("--std", request.std)):
        if values is not None:
            words += [option, *map(repr, values)]
    if request.overrides:
        words += ["--set", *request.overrides]
    for name, value in request.data_options.as_dict().items():
        texts = map(str, value if isinstance(value, list) else [value])
        # a path that begins with a dash would be taken for an option
        words += [name_option(name), *(f"./{each}" if each[0] == "-" and name == "exclude" else each for each in texts)]
    switches = {
        "--allow-partial": request.allow_partial,
        "--subset": request.allow_subset,
        "--allow-duplicates": request.allow_duplicates,
        "--hash-all": request.hash_all,
        "--no-timing": not request.is_timed,
    }
    return words + [switch for switch, is_on in switches.items() if is_on]


def describe_cell(request: CellRequest) -> str:
    """Return a cell in a few words: what differs from the defaults, for progress lines."""
    parts = [str(request.task), str(request.protocol or ""), str(request.backbone)]
    if request.checkpoint:
        parts[-1] += f"@{request.checkpoint}"
    if request.weights_key:
        parts.append(f"weights {request.weights_key}")
    if request.mean and request.std:
        parts.append(format_normalization(request.mean, request.std))
    if request.tier != "full":
        parts.append(request.tier)
    if request.data_scale != 1:
        parts.append(f"{request.data_scale:g} of train")
    return " ".join([*filter(None, parts), *request.overrides, f"seed {request.seed}"])
