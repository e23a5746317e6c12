"""Find the layout of a checkpoint, isolate its trunk, and give its tensors timm's names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from backbones.checkpoints.formats import UnwrappedCheckpoint, drop_non_backbone, format_dropped, strip_wrapper_names
from backbones.checkpoints.layouts.activations import check_activation, compare_norm_eps
from backbones.checkpoints.layouts.clip import CLIP_LAYOUTS
from backbones.checkpoints.layouts.eva import EVA_LAYOUTS
from backbones.checkpoints.layouts.layout import Layout, Trunk
from backbones.checkpoints.layouts.lightly import LIGHTLY_LAYOUTS
from backbones.checkpoints.layouts.meta import META_LAYOUTS
from backbones.checkpoints.layouts.openmmlab import OPENMMLAB_LAYOUTS
from backbones.checkpoints.layouts.torchvision import TORCHVISION_LAYOUTS
from backbones.checkpoints.layouts.transformers import TRANSFORMERS_LAYOUTS
from backbones.checkpoints.trunk_prefix import choose_copy
from foundation.errors import CheckpointError

LAYOUTS: tuple[Layout, ...] = (
    *CLIP_LAYOUTS,
    *TRANSFORMERS_LAYOUTS,
    *TORCHVISION_LAYOUTS,
    # before DINOv2, which shares the names of the gated layers
    *EVA_LAYOUTS,
    *META_LAYOUTS,
    *OPENMMLAB_LAYOUTS,
    *LIGHTLY_LAYOUTS,
)
"""All layouts; the first whose anchor is among a file's names is the file's."""
_WRAPPERS = re.compile(r"(?:module\.|_orig_mod\.)*")


class FoundLayout(NamedTuple):
    """A layout, what stands before its trunk in a file (for example ``"visual."``), and before copies of the trunk."""

    layout: Layout
    prefix: str
    copies: tuple[str, ...] = ()


def find_layout(tensors: Mapping[str, Tensor]) -> FoundLayout | None:
    """Find the layout of a checkpoint from the names of its tensors.

    Args:
        tensors: the tensors, with or without wrappers around the trunk's names.

    Returns:
        The layout; ``None`` if no other project's names are known in the file, or if it holds more than one trunk.
    """
    for layout in LAYOUTS:
        prefixes = sorted(layout.find_prefixes(tensors))
        if prefixes:
            return _choose_trunk(layout, prefixes)
    return None


def _choose_trunk(layout: Layout, prefixes: list[str]) -> FoundLayout | None:
    """Choose among the trunks in a file; ``None`` if nothing says which one is meant: the load report then refuses."""
    try:
        prefix = choose_copy(prefixes, "")
    except CheckpointError:
        return None
    return FoundLayout(layout, prefix, tuple(each for each in prefixes if each != prefix))


def isolate_trunk(tensors: Mapping[str, Tensor]) -> UnwrappedCheckpoint | None:
    """Extract the trunk of a known layout from a checkpoint.

    Args:
        tensors: the tensors under the names in the file.

    Returns:
        The trunk under its authors' names, without what stands before them; ``None`` if the layout is not known. A
        tensor outside the trunk that no rule knows keeps its name, so that the load report lists it as unexpected.
    """
    dropped: list[str] = []
    inside = drop_non_backbone(strip_wrapper_names(tensors), dropped)
    found = find_layout(inside)
    if found is None:
        return None
    trunk = {name.removeprefix(found.prefix): value for name, value in inside.items() if name.startswith(found.prefix)}
    for name, value in inside.items():
        if name.startswith(found.prefix):
            continue
        bare = _WRAPPERS.sub("", name, count=1)
        reason = next((why for pattern, why in found.layout.outside if re.match(pattern, bare)), "")
        if name.startswith(found.copies):
            reason = f"another copy of the trunk; {found.prefix} was taken"
        if reason:
            dropped.append(format_dropped(bare, value, reason))
        else:
            # a name may exist inside and outside the trunk; the trunk gets it, and the other must not vanish silently
            trunk[f"(outside {found.prefix}) {bare}" if bare in trunk else bare] = value
    return UnwrappedCheckpoint(found.layout.name, trunk, dropped, [])


def convert_layout(
    tensors: Mapping[str, Tensor],
    model: nn.Module,
    model_state: Mapping[str, Tensor],
    dropped: list[str],
    notes: list[str],
    source: str,
) -> dict[str, Tensor]:
    """Give the tensors of another project's layout timm's names and shapes; every step is exact.

    Args:
        tensors: the tensors of a trunk, under its authors' names.
        model: the timm model that they are loaded into.
        model_state: the model's state dict.
        dropped: a line is appended for each tensor that is left out.
        notes: a sentence is appended that names the layout, and others where the layout leaves something open.
        source: the file, for messages.

    Returns:
        The tensors under timm's names; unchanged if the layout is not known.

    Raises:
        CheckpointError: two tensors would get the same name, or the model has another activation than the layout says.
    """
    found = find_layout(tensors)
    # a model of the user's own may have such names itself
    if found is None or found.layout.find_prefixes(model_state):
        return dict(tensors)
    layout = found.layout
    isolated = isolate_trunk(tensors) if found.prefix else None
    if isolated is not None:
        dropped += isolated.dropped
        tensors = isolated.tensors
    trunk = Trunk({}, model_state, notes, dropped)
    for name, value in tensors.items():
        reason = next((why for pattern, why in layout.removed if re.match(pattern, name)), "")
        if reason:
            dropped.append(format_dropped(name, value, reason))
            continue
        new = layout.rename(name)
        if new in trunk.tensors:
            raise CheckpointError(
                f"two tensors of the checkpoint {source} would both be named {new} (one is {name}), so it holds parts "
                "of two models; save one model per file"
            )
        trunk.tensors[new] = value
    notes.append(f"the names of {layout.name} were changed to timm's")
    layout.adjust(trunk)
    check_activation(layout.name, tensors, model, notes, source)
    compare_norm_eps(layout, model, notes)
    return trunk.tensors
