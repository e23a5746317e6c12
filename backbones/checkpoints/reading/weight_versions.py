"""Find the versions of the weights in a file's content, and choose the one that a run starts from.

A file may hold a model and its running average, a student and its teacher, or a mapping inside another one. The keys
are those of the public code: timm and DeiT (``state_dict_ema``, ``model_ema``), DINO and DINOv2 (``student``,
``teacher``), Lightning (``callbacks``), mmengine's ``EMAHook`` (``ema_state_dict``), DeepSpeed (``module``), BasicSR
(``params_ema``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from torch import Tensor

# the first that holds tensors counts; a DINO file has a student too, but its own evaluation loads the teacher
_PLAIN_KEYS = ("state_dict", "model", "net", "model_state", "model_state_dict", "module", "teacher")
# keys that no earlier bench knew, in the order in which they are taken
_OTHER_PLAIN_KEYS = ("student", "backbone", "encoder", "encoder_q", "network", "params", "weights")
# running averages of the weights, as timm, DeiT and others save them; timm, too, loads them where they are present
_EMA_KEYS = ("state_dict_ema", "model_ema", "ema", "ema_state_dict", "model_ema_state_dict", "ema_model", "params_ema")

_LEGACY_KEYS = (*_PLAIN_KEYS[:-1], "state_dict_ema", "teacher")
"""The order in which bench chose before it preferred running averages; ids without a key stand for that choice."""

_NO_WEIGHTS = ("optim", "sched", "scaler", "rng", "random", "message_hub", "loops", "hyper_parameters", "meta")
"""Beginnings of keys whose content has tensors that are not weights, such as Adam's averages of the gradients."""

_MAX_DEPTH = 3
_MAX_MAPPINGS = 1000
"""Mappings inside mappings are searched to this depth and number, since the file is untrusted: one that refers to the
same mapping again and again would have billions of them."""


class FoundTensors(NamedTuple):
    """The weights that were chosen from a file's content.

    Attributes:
        tensors: the tensors by name; empty if there are none, or if several could be meant.
        container: the key under which they were found, dotted if it is nested, "" for the top level.
        identity_key: the key as an id has it: ``None`` where the choice is the one of every bench before running
            averages were preferred, or where no such bench could load the file and no other choice is as good.
        keys: the keys of all versions of the weights in the file.
        remark: a sentence about the choice, or "".
    """

    tensors: dict[str, Tensor]
    container: str
    identity_key: str | None
    keys: tuple[str, ...]
    remark: str = ""


def find_tensors(content: object, weights_key: str | None = None) -> FoundTensors:
    """Find the mapping from names to tensors in a file's content; running averages come before plain weights.

    Args:
        content: the content of the file, as unpickled.
        weights_key: the key that the user asked for, dotted for a nested mapping (``model_ema.module``), or the
            beginning of names (``student`` for ``student.blocks...``); ``None``: the running average if there is one.

    Returns:
        The weights; without ``tensors`` if there are none, none under ``weights_key``, or several and no rule that
        chooses.
    """
    versions = _list_versions(content)
    legacy = _choose_as_before(content, versions)
    usable = {key: tensors for key, tensors in versions.items() if _has_matrix(tensors)}
    average, remark = _choose_average(content, usable)
    plain = legacy if legacy in usable else _choose_other(usable)
    default = average if average is not None else plain if plain is not None else legacy
    # tensors at the top level are a version only if they are weights: many files have a random state there
    keys = tuple(key for key in versions if key in usable or key in (default, weights_key))
    if weights_key is not None and weights_key not in versions:
        return _select_by_prefix(versions, keys, weights_key)
    chosen = weights_key if weights_key is not None else default
    if chosen is None:
        return FoundTensors({}, "", None, keys)
    baseline = legacy if legacy in usable else default
    identity_key = None if chosen == baseline else chosen
    return FoundTensors(versions[chosen], chosen, identity_key, keys, remark if weights_key is None else "")


def find_recorded_key(content: object, identity_key: str | None) -> str | None:
    """Return the key with which a run asks again for the weights that its record names.

    Args:
        content: the content of the file.
        identity_key: the key in the run's record; ``None`` stands for the choice of earlier builds.

    Returns:
        The key; ``None`` if bench chooses these weights by itself.
    """
    chosen = find_tensors(content)
    if identity_key == chosen.identity_key:
        return None
    if identity_key is not None:
        return identity_key
    return _choose_as_before(content, _list_versions(content))


def _list_versions(content: object) -> dict[str, dict[str, Tensor]]:
    """Return all mappings with tensors in a file's content by their dotted keys, the top level under ""."""
    versions: dict[str, dict[str, Tensor]] = {}
    for key, mapping in islice(_iter_mappings(content, "", 0), _MAX_MAPPINGS):
        tensors = _select_tensors(mapping)
        # an empty mapping under a well-known key is no version
        if tensors and (key in ("", *_LEGACY_KEYS) or _has_matrix(tensors)):
            versions[key] = tensors
    return versions


def _iter_mappings(content: object, key: str, depth: int) -> Iterator[tuple[str, Mapping[object, object]]]:
    """Yield the mappings in a file's content, outer ones first, without those that hold no weights."""
    if not isinstance(content, Mapping):
        return
    yield key, content
    if depth == _MAX_DEPTH:
        return
    for name, inner in content.items():
        if isinstance(name, str) and not name.startswith(_NO_WEIGHTS):
            yield from _iter_mappings(inner, f"{key}.{name}" if key else name, depth + 1)


def _select_tensors(content: Mapping[object, object]) -> dict[str, Tensor]:
    """Return the tensors of a mapping by name; an ``nn.Parameter`` becomes a plain tensor."""
    return {str(name): value.detach() for name, value in content.items() if isinstance(value, Tensor)}


def _has_matrix(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether there is a floating-point tensor of two or more dimensions, as all weights have."""
    return any(value.dim() >= 2 and value.is_floating_point() for value in tensors.values())


def _choose_as_before(content: object, versions: Mapping[str, object]) -> str | None:
    """Return the key that bench chose before it preferred running averages, or ``None`` if it found no tensors."""
    return next((key for key in (*_LEGACY_KEYS, "") if key in versions), None)


def _choose_average(content: object, usable: Mapping[str, Mapping[str, Tensor]]) -> tuple[str | None, str]:
    """Return the key of the running average, if there is one, and a remark about it."""
    found = [key for key in usable if not set(key.split(".")).isdisjoint(_EMA_KEYS)]
    # mmengine's EMAHook exchanges the two when it saves: the average is in state_dict, and the raw weights are under
    # the names of its averaged model (https://github.com/open-mmlab/mmengine, EMAHook._swap_ema_state_dict)
    if "ema_state_dict" in found and "state_dict" in usable and isinstance(content, Mapping):
        names = content["ema_state_dict"]
        if "steps" in names and any(str(name).startswith("module.") for name in names):
            return "state_dict", "state_dict holds the running average, as mmengine's EMAHook saves it"
    return min(found, key=_rank_average, default=None), "" if found else _find_nameless_average(content)


def _find_nameless_average(content: object) -> str:
    """Return a remark about a running average that is a list of tensors without names, as torch_ema saves it."""
    if not isinstance(content, Mapping):
        return ""
    for key in (key for key in _EMA_KEYS if key in content):
        inner = content[key]
        for value in islice(inner.values(), _MAX_MAPPINGS) if isinstance(inner, Mapping) else (inner,):
            if isinstance(value, list | tuple) and value and isinstance(value[0], Tensor):
                return f"the running average under {key} has no names and is not used; save it by name to use it"
    return ""


def _rank_average(key: str) -> tuple[int, int]:
    """Return the rank of a running average: by depth, then by its key."""
    parts = key.split(".")
    return len(parts), min(_EMA_KEYS.index(part) for part in parts if part in _EMA_KEYS)


def _choose_other(usable: Mapping[str, object]) -> str | None:
    """Choose among weights under keys that earlier builds did not know: a well-known one, or the only one."""
    for name in (*_PLAIN_KEYS, *_OTHER_PLAIN_KEYS):
        if found := [key for key in usable if key.split(".")[-1] == name]:
            return found[0] if len(found) == 1 else None
    return next(iter(usable)) if len(usable) == 1 else None


def _select_by_prefix(
    versions: Mapping[str, Mapping[str, Tensor]], keys: tuple[str, ...], weights_key: str
) -> FoundTensors:
    """Select the tensors whose names begin with the key that the user asked for."""
    for key, tensors in versions.items():
        prefix = weights_key.removeprefix(f"{key}.") + "."
        inside = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        if inside:
            full_key = f"{key}.{prefix[:-1]}" if key else prefix[:-1]
            return FoundTensors(inside, full_key, full_key, keys)
    return FoundTensors({}, weights_key, None, keys)
