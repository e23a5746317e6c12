"""What lies beside a weight file about its architecture and its input: the configurations of timm and of the hub."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from backbones.weight_sources.hub import HUB_CONFIG, read_timm_config
from foundation.errors import CheckpointError
from foundation.text.user_json import read_user_json

PREPROCESSOR_CONFIG = "preprocessor_config.json"
"""The file in which the hub's libraries state how images are normalized."""


class StatedInput(NamedTuple):
    """What files beside a weight file state.

    Attributes:
        architecture: name of a timm model, "" where none is stated.
        arguments: for timm's ``create_model``.
        input_size: channels, height and width in pixels; ``None`` where it is not stated.
        mean, std: of each channel, for pixels in 0..1; ``None`` where they are not stated.
        source: the file that states mean and std.
    """

    architecture: str
    arguments: dict[str, Any]
    input_size: tuple[int, int, int] | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    source: str


NOTHING_STATED = StatedInput("", {}, None, None, None, "")


def read_stated_input(path: Path) -> StatedInput:
    """Read the configurations in the folder of a weight file; one of another library counts as none.

    Args:
        path: the weight file.
    """
    stated = NOTHING_STATED
    if (path.parent / HUB_CONFIG).is_file():
        try:
            config = read_timm_config(path.parent / HUB_CONFIG)
            size = config.input_size
            stated = StatedInput(
                config.architecture,
                config.arguments,
                (size[0], size[1], size[2]) if size and len(size) == 3 else None,
                config.mean,
                config.std,
                HUB_CONFIG,
            )
        except CheckpointError:
            stated = NOTHING_STATED
    if stated.mean is None or stated.std is None:
        values = _read_normalization(path.parent / PREPROCESSOR_CONFIG)
        if values is not None:
            stated = stated._replace(mean=values[0], std=values[1], source=PREPROCESSOR_CONFIG)
    return stated


def _read_normalization(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and std as a preprocessor's configuration states them, for pixels in 0..1; ``None`` without both."""
    try:
        content = read_user_json(path)
        if not content.get("do_rescale", True):
            return None  # whoever called it scaled the pixels
        if content.get("do_normalize", True):
            mean, std = (tuple(map(float, content[f"image_{name}"])) for name in ("mean", "std"))
        else:
            mean, std = (0.0,) * 3, (1.0,) * 3
        # it multiplies pixels of 0..255 by a factor and may take 1 off, before mean and std
        factor, shift = float(content.get("rescale_factor", 1 / 255)) * 255, float(bool(content.get("rescale_offset")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    if math.isclose(factor, 1, rel_tol=1e-6) and not shift:
        return mean, std
    if not factor > 0:
        return None
    return tuple((value + shift) / factor for value in mean), tuple(value / factor for value in std)
