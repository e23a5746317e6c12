"""What counts of a model as it was built, for the id of a run. Imports torch only where a model must be built.

The structure alone identifies a backbone of bench's or timm's, whose code is known by their versions. The code of a
plug-in, and of a module from memory, can change under the same name; there the plain attributes of the modules and the
source count too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from backbones.card import BackboneCard
from backbones.refusals import PatchSizeError, PoolingError, restore_refusal, store_refusal
from backbones.registry import list_plugin_modules
from backbones.weights import MEMORY_ARCHITECTURE
from foundation.code_modules import MAIN_MODULE, list_code_modules
from foundation.environment import get_cache_dir
from foundation.errors import UserError
from foundation.files import iter_files, sha256_chunks, write_atomic
from foundation.package_versions import find_version
from foundation.run_scope import get_run_scope
from foundation.source_hash import hash_module_sources

if TYPE_CHECKING:
    from torch import nn

KEY_PACKAGES = ("litevit-bench", "torch", "timm")

UNKNOWN_CODE = "unknown "
"""How the digest of a source begins that was not found; nothing is answered from a record with it."""


@dataclass(frozen=True)
class ModelDigest:
    """What counts of a model as it was built.

    Attributes:
        structure: SHA-256 of the names, shapes and kinds of number of all parameters and buffers; the same on every
            machine.
        attributes: SHA-256 of the plain attributes of every module; ``None`` for a backbone of bench's or timm's.
        source: SHA-256 of the source of a plug-in, or of the local modules that a module from memory has its code from;
            ``None`` if there are none. Where it was not found, a digest of the code in memory that says so.
        has_batch_norm: whether a part computes with the statistics of a batch.
        parameters: number of parameters.
        class_tokens: number of tokens that token pooling can read in the model as it was built.
        has_token_norm: whether tokens are normed before they are pooled.
        has_drop_path: whether a layer drops paths in training (stochastic depth).
        is_answerable: whether the run may be answered from a record: not if a source was not found, or was edited
            after this process imported it.
    """

    structure: str
    attributes: str | None
    source: str | None
    has_batch_norm: bool
    parameters: int
    class_tokens: int
    has_token_norm: bool
    has_drop_path: bool
    is_answerable: bool

    def identity_dict(self) -> dict[str, str]:
        """Return what enters the id of a run: the structure, and of a plug-in's or a user's module what else counts."""
        values = {"structure": self.structure, "attributes": self.attributes, "source": self.source}
        return {key: value for key, value in values.items() if value is not None}


def describe_model(card: BackboneCard, arguments: Mapping[str, Any], build: Callable[[], nn.Module]) -> ModelDigest:
    """Describe the model that a run starts from; what was described before is read from ``$BENCH_CACHE``.

    A plug-in may build another model from the same source, by an environment variable or a file elsewhere. So its
    digest is read from the cache only where that saves the import of torch; ``require_described_model`` finds the rest.

    Args:
        card: the backbone's card.
        arguments: arguments with which it is created, the input size included.
        build: creates the model; called only if its digest is not in the cache. Weights make no difference.

    Raises:
        PoolingError, PatchSizeError: the architecture refuses the pooling or the input size of the arguments; this is
            read from the cache, too.
        UserError: a tensor has no shape before the first input.
    """
    if card.architecture == MEMORY_ARCHITECTURE:
        model = build()
        # what the script or notebook itself defines counts in the card (``module_hash.hash_code``)
        return _describe_foreign_model(model, (), list_code_modules([model]) - {MAIN_MODULE})
    plugins = list_plugin_modules(card)
    path = get_cache_dir() / "model_digests" / f"{_make_key(card, arguments, plugins)}.json"
    is_trusted = get_run_scope().trusts_caches and not (plugins and _is_torch_imported())
    found = _read_digest(path, plugins) if is_trusted else None
    if isinstance(found, PoolingError | PatchSizeError):
        raise found
    if found is not None:
        return found
    try:
        model = build()
    except (PoolingError, PatchSizeError) as error:
        if not plugins:
            _write_content(path, {"refusal": store_refusal(error)})
        raise
    # the source is read once the model is built: then all modules are found, in whatever way a plug-in imports them
    homes = list_code_modules([model]) if plugins else set()
    digest = _describe_foreign_model(model, plugins, homes) if plugins else _describe_known_model(model)
    if digest.is_answerable:
        _write_content(path, {"digest": asdict(digest), "homes": sorted(homes)})
    return digest


def _is_torch_imported() -> bool:
    return "torch" in sys.modules


def require_described_model(
    card: BackboneCard, arguments: Mapping[str, Any], model: nn.Module, stated: Mapping[str, str] | None
) -> None:
    """Require that the model of a run is the one that the run's id stands for, and keep the digest of what was built.

    Args:
        card: the backbone's card.
        arguments: arguments with which it was created.
        model: what was built.
        stated: the digests in the run's id.

    Raises:
        UserError: a plug-in has built another model than before, from the same source.
    """
    if card.architecture == MEMORY_ARCHITECTURE or not list_plugin_modules(card):
        return
    if describe_model(card, arguments, lambda: model).identity_dict() != stated:
        raise UserError(
            f"the package of {card.name} has built another network than before from the same code, so it reads "
            "something outside of itself (an environment variable, a file elsewhere); put that into the package, or "
            "give the same command again, and the run counts as one of the network that was built now"
        )


def identify_plugin_code(card: BackboneCard, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a plug-in's code belongs into an id; nothing for a backbone of bench's or timm's.

    For ids beside those of runs: analyses, and the teachers of a distillation.

    Args:
        card: the backbone's card, not that of a module from memory.
        arguments: arguments with which it is created.
    """
    from backbones.create import create_backbone

    if not list_plugin_modules(card):
        return {}
    # weights make no difference to the digest, so none are read
    digest = describe_model(card, arguments, lambda: create_backbone(card, checkpoint="random", **arguments).model)
    # code that was not found is different code each time: nothing is ever answered from a record of it
    return {"model": digest.identity_dict(), **({} if digest.is_answerable else {"nonce": uuid4().hex})}


def _describe_known_model(model: nn.Module) -> ModelDigest:
    """Describe a model whose code is bench's or timm's."""
    from backbones.features import count_class_tokens, has_drop_path, has_token_norm
    from backbones.memory_modules.module_hash import hash_tensor_shapes

    return ModelDigest(
        structure=hash_tensor_shapes(model),
        attributes=None,
        source=None,
        has_batch_norm=_has_batch_norm(model),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        class_tokens=count_class_tokens(model),
        has_token_norm=has_token_norm(model),
        has_drop_path=has_drop_path(model),
        is_answerable=True,
    )


def _describe_foreign_model(model: nn.Module, plugins: tuple[str, ...], homes: set[str]) -> ModelDigest:
    """Describe a model of a plug-in, or one from memory.

    Args:
        model: the model.
        plugins: modules of the plug-in; none for a model from memory.
        homes: other modules that hold its code.
    """
    from backbones.memory_modules.module_hash import hash_code, hash_plain_attributes

    known = replace(_describe_known_model(model), attributes=hash_plain_attributes(model))
    if not plugins and not homes:
        return known
    source = hash_module_sources(*plugins, named=homes)
    if source is not None and source.is_current:
        return replace(known, source=source.sha256)
    # What runs is known only in this process. The code in memory keeps runs of other code apart from it, and the word
    # keeps all of them apart from runs whose source was found.
    return replace(known, source=f"unknown {hash_code(model)}", is_answerable=False)


def _has_batch_norm(model: nn.Module) -> bool:
    """Whether a part computes with the statistics of a batch, as all of torch's and timm's batch norms do."""
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.modules.instancenorm import _InstanceNorm

    return any(
        isinstance(part, _BatchNorm)
        # timm's EvoNorm is no batch norm of torch's and keeps the variance of batches all the same
        or (getattr(part, "running_var", None) is not None and not isinstance(part, _InstanceNorm))
        for part in model.modules()
    )


def _make_key(card: BackboneCard, arguments: Mapping[str, Any], plugins: tuple[str, ...]) -> str:
    """SHA-256 over everything that decides what is built."""
    source = hash_module_sources(*plugins)
    content = {
        "card": card.identity_dict(),
        "module": card.module,
        "arguments": dict(arguments),
        "versions": {name: find_version(name) for name in KEY_PACKAGES},
        "bench": _hash_own_code(),
        "source": source.sha256 if source else None,
    }
    return sha256_chunks([json.dumps(content, sort_keys=True).encode()])


@lru_cache(maxsize=1)
def _hash_own_code() -> str:
    """SHA-256 over the code of this room: a checkout of bench is edited without a new version."""
    room = Path(__file__).parent
    paths = [path for path in iter_files(room) if path.suffix == ".py"]
    return sha256_chunks(f"{path.relative_to(room).as_posix()}\n".encode() + path.read_bytes() for path in paths)


def _read_digest(path: Path, plugins: tuple[str, ...]) -> ModelDigest | PoolingError | PatchSizeError | None:
    """Read a digest from the cache; ``None`` if it is not there or damaged, or if a plug-in's source is another one.

    Where the architecture refused the arguments there is no digest; the entry is the refusal.
    """
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        is_whole = kept["sha256"] == _hash_content(kept["content"])
        if "refusal" in kept["content"] and is_whole and not plugins:
            return restore_refusal(kept["content"]["refusal"])
        found, homes = ModelDigest(**kept["content"]["digest"]), kept["content"]["homes"]
    except (OSError, ValueError, TypeError, LookupError):
        return None
    if not is_whole or not plugins:
        return found if is_whole else None
    source = hash_module_sources(*plugins, named=homes)
    return found if source is not None and source.is_current and source.sha256 == found.source else None


def _write_content(path: Path, content: Mapping[str, Any]) -> None:
    """Keep content in the cache. It is a convenience: a cache that cannot be written costs time and nothing else."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps({"content": content, "sha256": _hash_content(content)}, indent=2) + "\n")
    except OSError:
        return


def _hash_content(content: Mapping[str, Any]) -> str:
    return sha256_chunks([json.dumps(content, sort_keys=True).encode()])
