"""Propose the architecture that a weight file is of, from the names and shapes of its tensors.

Every candidate is one that exists: bench's cards and timm's models. They are built without memory (on torch's meta
device) and compared by names and shapes; what is left is told apart by loading the file, which also tests the head
count. Two names of one and the same network are one candidate.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import timm
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from backbones.card import BackboneCard
from backbones.checkpoints.layouts.conversion import drop_pretraining_tensors, rename_to_timm
from backbones.checkpoints.load_weights import LoadReport
from backbones.checkpoints.read_checkpoint import WeightFile
from backbones.create import create_backbone
from backbones.file_cards.stated_input import NOTHING_STATED, StatedInput
from backbones.registry import BACKBONES, TIMM_PREFIX, get_card
from backbones.weights import InitialWeights
from foundation.errors import BenchError, CheckpointError

_ARCHITECTURE_ARGUMENTS = ("architecture", "arch", "model", "model_name", "encoder_arch")
"""Entries of the training arguments in a file that may name the architecture."""

_PLAIN_VIT_MODULES = tuple(f"timm.models.{name}" for name in ("vision_transformer", "deit", "beit", "eva"))
_VIT_SIZES = {192: "tiny", 384: "small", 768: "base", 1024: "large", 1280: "huge"}
_NUM_FAMILIES = 3
"""How many of timm's families are searched: those whose names of tensors are the most similar."""

# resized when the file is loaded, so their shape says nothing against an architecture
_RESIZED = re.compile(r"(^|\.)(pos_embed\w*|relative_position_bias_table|rel_pos\w*|absolute_pos_embed)$")
_COMPUTED = re.compile(r"(relative_position_index|attn_mask|relative_coords_table|num_batches_tracked)$")


_FILLING = frozenset(f"{name}_" for name in ("uniform", "normal", "erfinv", "mul", "add", "clamp", "fill", "zero"))
"""Methods of a tensor that change its values in place, as initializations use them."""


class Candidate(NamedTuple):
    """An architecture that a weight file fits.

    Attributes:
        card: describes it, with the input size that the file tells, and without weights.
        names: all names of the same network, by which ``--arch`` may name it.
        report: what loading the file into it gave.
        heads: attention heads, if all its blocks have the same number.
    """

    card: BackboneCard
    names: tuple[str, ...]
    report: LoadReport
    heads: int | None


def try_architecture(
    name: str, file: WeightFile, weights_key: str | None, stated: StatedInput = NOTHING_STATED
) -> Candidate:
    """Load a file into one architecture.

    Args:
        name: of a card, or ``timm/NAME``.
        file: the weight file.
        weights_key: the weights to take from it.
        stated: what files beside it say: arguments and input size of this architecture.

    Raises:
        CheckpointError: it does not fit.
    """
    card = replace(get_card(name), weights=None, facts={})
    if stated.architecture == name.removeprefix(TIMM_PREFIX):
        card = replace(card, arguments={**card.arguments, **stated.arguments})
        card = replace(card, input_size=stated.input_size or card.input_size)
    card = replace(card, input_size=_find_input_size(card, file.tensors))
    start = InitialWeights("checkpoint", file.path, str(file.path), weights_key=weights_key)
    created = create_backbone(card, checkpoint=start)
    assert created.load_report is not None, "a file has a report"
    heads = set(_list_heads(created.model))
    return Candidate(card, (name,), created.load_report, heads.pop() if len(heads) == 1 else None)


def propose_architectures(
    file: WeightFile, weights_key: str | None, stated: StatedInput = NOTHING_STATED
) -> list[Candidate]:
    """Return the architectures that a weight file fits.

    Args:
        file: the weight file.
        weights_key: the weights to take from it.
        stated: what files beside it say.

    Returns:
        One candidate if the file or a configuration names an architecture that fits, or only one fits; several if
        shapes and weights cannot tell them apart; none if nothing fits.
    """
    beside = [f"{TIMM_PREFIX}{stated.architecture}"] if stated.architecture else []
    for name in dict.fromkeys([*beside, *_list_stated_names(file)]):
        try:
            return [try_architecture(name, file, weights_key, stated)]
        except BenchError:
            continue  # a name that another project uses for another network
    found: dict[str, list[str]] = {}
    fitting: list[tuple[bool, str, str]] = []
    for name in _list_possible_names(file.tensors):
        model = _build_without_memory(name)
        if model is not None and (fit := _compare_shapes(model, file.tensors)) is not None:
            fitting.append((fit, name, _describe_network(model)))
    # a network that takes every tensor as it is comes before one into which tables must be resized
    exact = [each for each in fitting if each[0]] or fitting
    for _, name, network in exact:
        found.setdefault(network, []).append(name)
    candidates = []
    for names in found.values():
        try:
            candidates.append(try_architecture(names[0], file, weights_key)._replace(names=tuple(names)))
        except CheckpointError:
            continue  # another head count, for example
    return candidates


def list_network_names(candidate: Candidate, tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return all names of a candidate's network that are known: for a plain ViT, timm has one network under several.

    Args:
        candidate: an architecture that fits.
        tensors: those of the weight file.
    """
    model = _build_without_memory(candidate.names[0])
    if model is None or not _is_plain_vit(tensors):
        return candidate.names
    network = _describe_network(model)
    others = [name for name in _list_possible_names(tensors) if name not in candidate.names]
    built = ((name, _build_without_memory(name)) for name in others)
    same = [name for name, other in built if other is not None and _describe_network(other) == network]
    return (*candidate.names, *same)


def _is_plain_vit(tensors: Mapping[str, Tensor]) -> bool:
    patch = tensors.get("patch_embed.proj.weight")
    return "blocks.0.attn.qkv.weight" in tensors and patch is not None and patch.dim() == 4


def _list_stated_names(file: WeightFile) -> Iterator[str]:
    """Yield the names of architectures in a file's training arguments and in its own name."""
    words = [file.arguments.get(key) for key in _ARCHITECTURE_ARGUMENTS]
    for word in [*words, re.sub(r"\.(pth|pt|bin|safetensors|tar)\b", "", file.path.name)]:
        if isinstance(word, str) and timm.is_model(word.split(".")[0]):
            yield f"{TIMM_PREFIX}{word.split('.')[0]}"


def _list_possible_names(tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield the names of the cards and timm models that are worth to be compared with a file."""
    seen = set()
    cards = [BACKBONES.get(entry.name) for entry in BACKBONES.list_entries() if entry.error is None]
    # of several cards of one network the one without weights: its name says nothing of a training
    for card in sorted(cards, key=lambda card: (card.weights is not None, card.name)):
        key = (card.architecture, repr(sorted(card.arguments.items())), card.input_size)
        # a card of a timm model as it is comes with timm's models
        if key not in seen and (card.arguments or card.module):
            seen.add(key)
            yield card.name
    patch, is_plain_vit = tensors.get("patch_embed.proj.weight"), _is_plain_vit(tensors)
    modules = _PLAIN_VIT_MODULES if is_plain_vit else _find_similar_families(tensors)
    for name in timm.list_models():
        if timm.models.model_entrypoint(name).__module__ not in modules:
            continue
        # many plain ViTs differ in what their names say: patch size and width
        if is_plain_vit and patch is not None and not _has_vit_size(name, len(patch), patch.shape[-1]):
            continue
        yield f"{TIMM_PREFIX}{name}"


def _has_vit_size(name: str, width: int, patch: int) -> bool:
    sizes = [word for word in _VIT_SIZES.values() if f"_{word}" in name]
    stated = re.search(r"patch(\d+)", name)
    return (width not in _VIT_SIZES or not sizes or sizes == [_VIT_SIZES[width]]) and (
        stated is None or int(stated[1]) == patch
    )


def _find_similar_families(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return timm's modules whose models have the most similar names of tensors, numbers apart."""
    own = {_strip_numbers(name) for name in tensors}
    scores = {module: len(own & names) / len(own | names) for module, names in _list_family_names().items() if names}
    return tuple(sorted(scores, key=lambda module: -scores[module])[:_NUM_FAMILIES])


@cache
def _list_family_names() -> dict[str, set[str]]:
    """Return the names of the tensors of one model of each of timm's modules, numbers apart."""
    found: dict[str, set[str]] = {}
    for name in sorted(timm.list_models(), key=lambda name: (len(name), name)):
        module = timm.models.model_entrypoint(name).__module__
        if module not in found:
            model = _build_without_memory(f"{TIMM_PREFIX}{name}")
            found[module] = {_strip_numbers(each) for each in model.state_dict()} if model is not None else set()
    return found


def _strip_numbers(name: str) -> str:
    return re.sub(r"\d+", "#", name)


class _SkipInitialization(TorchFunctionMode):
    """Skip what only fills tensors: on the meta device it changes nothing, and takes most of the time of a network."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Return the tensor as it is, or do what was asked for."""
        is_filled = getattr(func, "__name__", "") in _FILLING and args and getattr(args[0], "is_meta", False)
        return args[0] if is_filled else func(*args, **(kwargs or {}))


def _build_without_memory(name: str) -> nn.Module | None:
    """Build a network on the meta device; ``None`` if it cannot be built so."""
    try:
        with torch.device("meta"), _SkipInitialization():
            return create_backbone(get_card(name), checkpoint="random").model
    except (BenchError, NotImplementedError, RuntimeError, ImportError):
        return None


def _compare_shapes(model: nn.Module, tensors: Mapping[str, Tensor]) -> bool | None:
    """Return whether all tensors of a file fit as they are, or some must be resized; ``None`` if they do not fit."""
    own = {name: value for name, value in model.state_dict().items() if not _COMPUTED.search(name)}
    try:
        given = drop_pretraining_tensors(rename_to_timm(tensors, own), own, [])
    except BenchError:
        return None
    heads = _list_head_prefixes(model)
    trunk = {name: value for name, value in own.items() if not name.startswith(heads)}
    given = {name: value for name, value in given.items() if not _COMPUTED.search(name) and not name.startswith(heads)}
    # a converter may still add or split some, so the names need not be equal, but all shapes must
    shared = trunk.keys() & given.keys()
    if 20 * len(shared) < 19 * max(len(trunk), len(given)):
        return None
    differing = [name for name in shared if given[name].shape != trunk[name].shape]
    if any(not _RESIZED.search(name) for name in differing):
        return None
    return not differing


def _list_head_prefixes(model: nn.Module) -> tuple[str, ...]:
    config = getattr(model, "pretrained_cfg", None) or {}
    names = config.get("classifier") or "head"
    words = [names] if isinstance(names, str) else list(names)
    return tuple(f"{name}." for name in (*words, "fc_norm", "head"))


def _describe_network(model: nn.Module) -> str:
    """Return a text that is equal for two names of one network: modules, head counts, pooling, shapes."""
    shapes = [(name, tuple(value.shape)) for name, value in model.state_dict().items()]
    return f"{model!r} {_list_heads(model)} {getattr(model, 'global_pool', '')} {shapes}"


def _list_heads(model: nn.Module) -> list[int]:
    return [int(heads) for part in model.modules() if isinstance(heads := getattr(part, "num_heads", None), int)]


def _find_input_size(card: BackboneCard, tensors: Mapping[str, Tensor]) -> tuple[int, int, int]:
    """Return the input size of a plain ViT's file: its position embedding has one entry per patch.

    The card's size stays where the file does not tell another, square one.
    """
    patch, table = tensors.get("patch_embed.proj.weight"), tensors.get("pos_embed")
    if patch is None or table is None or patch.dim() != 4 or table.dim() != 3:
        return card.input_size
    side = patch.shape[-1]
    own = (card.input_size[1] // side) * (card.input_size[2] // side)
    for prefix in range(3):  # class and distillation token may have entries
        count = table.shape[1] - prefix
        if count == own:
            return card.input_size
    root = round((table.shape[1] - 1) ** 0.5)
    has_square_grid = "cls_token" in tensors and root * root == table.shape[1] - 1
    return (card.input_size[0], root * side, root * side) if has_square_grid else card.input_size
