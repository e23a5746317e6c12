"""The Hugging Face hub: weights of repositories, and backbones named ``hf-hub:OWNER/REPO``. Imports no torch.

What the hub's cache on this machine has is never asked for again; everything else goes through the gate to the network
(``foundation.network.access``).
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from backbones.card import BackboneCard, PretrainedWeights
from foundation.errors import CheckpointError, NetworkError
from foundation.network.access import open_network
from foundation.text.user_json import read_user_json

HUB_SCHEME = "hf-hub"
HUB_PREFIX = f"{HUB_SCHEME}:"
"""Marks the name of a backbone, and the address of weights, as a repository of the hub."""

HUB_FILE = "model.safetensors"
"""The file of a hub repository that has the weights."""

HUB_FILES = (HUB_FILE, "pytorch_model.bin")
"""The files of a hub repository that may have the weights; the first that is there counts."""

HUB_CONFIG = "config.json"
"""The file in which timm states the architecture and the input of a repository's weights."""

_REPO_PATTERN = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

_POOLED_MODULES = ("vision_transformer", "deit", "beit", "eva")
"""timm's modules whose models have another norm where ``global_pool`` averages the patch tokens."""


class HubFile(NamedTuple):
    """What the hub says of the weights of a repository: their size and, where it has it, their SHA-256."""

    num_bytes: int | None
    sha256: str | None


def get_hub_cache() -> Path:
    """Return the folder of the hub's cache on this machine."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def find_hub_file(repo_id: str) -> Path | None:
    """Return the weights of a hub repository, if they are in the hub's cache on this machine."""
    return next(filter(None, (_find_cached(repo_id, name) for name in HUB_FILES)), None)


def ask_hub(repo_id: str) -> HubFile:
    """Ask the hub for size and SHA-256 of the weights of a repository; nothing is downloaded.

    Raises:
        NetworkError: the network is switched off, or the hub gives no answer.
    """
    from huggingface_hub.constants import ENDPOINT

    with open_network(ENDPOINT):
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        try:
            found = get_hf_file_metadata(hf_hub_url(repo_id, HUB_FILE))
        except Exception as error:
            raise NetworkError(f"the hub says nothing of {repo_id} ({type(error).__name__})") from error
    # the tag of a large file is its SHA-256, that of a small one a digest of git
    is_sha256 = re.fullmatch(r"[0-9a-f]{64}", found.etag or "")
    return HubFile(found.size, found.etag if is_sha256 else None)


def get_local_name(repo_id: str) -> str:
    """Return the name, without ending, under which a file in ``$BENCH_WEIGHTS`` holds the weights of a repository.

    Two owners may have repositories of one name, and a file says nothing of its owner; timm's go by their name alone.

    Args:
        repo_id: the repository.

    Example:
        >>> get_local_name("timm/deit_tiny"), get_local_name("acme/deit_tiny")
        ('deit_tiny', 'acme_deit_tiny')
    """
    return repo_id.removeprefix("timm/").replace("/", "_")


def fetch_hub_weights(name: str, repo_id: str) -> Path:
    """Download the weights of a hub repository.

    Args:
        name: the backbone, for messages.
        repo_id: the repository.

    Raises:
        CheckpointError: they cannot be fetched.
    """
    try:
        return _download(repo_id, HUB_FILES)
    except Exception as error:
        raise CheckpointError(
            f"cannot fetch the weights of {name} from the hub repository {repo_id}: {_describe(error)}; they are not "
            f"in the cache {get_hub_cache()}; run bench get --pack FILE --backbones {name} where there is a network "
            "and bench get --unpack FILE here, put the file into $BENCH_WEIGHTS as "
            f"{get_local_name(repo_id)}.safetensors, give it with --checkpoint FILE, or, for a training, ask for "
            "random weights with --checkpoint random"
        ) from error


def read_hub_card(name: str) -> BackboneCard:
    """Make the card of a repository that timm can load, from its ``config.json``.

    Args:
        name: ``hf-hub:OWNER/REPO``.

    Raises:
        CheckpointError: the name is not one of a repository, its configuration is not here and cannot be fetched, or
            it does not name one of timm's models.
    """
    repo_id = name.removeprefix(HUB_PREFIX)
    if not _REPO_PATTERN.fullmatch(repo_id):
        raise CheckpointError(f"{name} does not name a repository of the hub; write {HUB_PREFIX}OWNER/REPO")
    path = _find_cached(repo_id, HUB_CONFIG)
    try:
        path = path or _download(repo_id, (HUB_CONFIG,))
    except Exception as error:
        raise CheckpointError(
            f"cannot fetch {HUB_CONFIG} of the hub repository {repo_id}: {_describe(error)}; it is not in the cache "
            f"{get_hub_cache()}; fetch the repository where there is a network, or give its weight file with "
            "--checkpoint FILE and a backbone of its architecture"
        ) from error
    config = read_timm_config(path)
    licence = config.licence or "not stated"
    weights = PretrainedWeights(f"{HUB_PREFIX}{repo_id}", "as its repository says", f"hub, {repo_id}", licence)
    return config.fill_card(BackboneCard(name, config.architecture, f"hub repository {repo_id}", weights=weights))


def read_hub_preprocessing(name: str) -> dict[str, Any]:
    """Return what the configuration of a hub repository states of the preprocessing beside size and normalization.

    Args:
        name: a backbone; any other than ``hf-hub:OWNER/REPO`` has none.

    Returns:
        ``crop_pct``, ``interpolation``, ``crop_mode``, ``test_input_size`` and ``test_crop_pct``, where stated.

    Raises:
        CheckpointError: the configuration is not in the hub's cache, where ``read_hub_card`` puts it, or is damaged.
    """
    if not name.startswith(HUB_PREFIX):
        return {}
    path = _find_cached(name.removeprefix(HUB_PREFIX), HUB_CONFIG)
    try:
        content = read_user_json(path) if path else {}
        inner = content.get("pretrained_cfg")
        stated = inner if isinstance(inner, dict) else content
        kinds: dict[str, Any] = {
            "crop_pct": float,
            "interpolation": str,
            "crop_mode": str,
            "test_input_size": lambda size: tuple(map(int, size)),
            "test_crop_pct": float,
        }
        return {key: convert(stated[key]) for key, convert in kinds.items() if stated.get(key) is not None}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is not a configuration of timm ({error}); remove it, or fetch it again"
        ) from error


class TimmConfig(NamedTuple):
    """What timm's ``config.json`` says of weights.

    Attributes:
        architecture: name of the timm model.
        arguments: for timm's ``create_model``.
        input_size: channels, height and width in pixels; ``None`` where it is not stated.
        mean, std: of each channel, for pixels in 0..1; ``None`` where they are not stated.
        licence: of the weights, "" where it is not stated.
    """

    architecture: str
    arguments: dict[str, Any]
    input_size: tuple[int, ...] | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    licence: str

    def fill_card(self, card: BackboneCard) -> BackboneCard:
        """Return a card with what the configuration states."""
        stated: dict[str, Any] = {
            "arguments": self.arguments,
            "input_size": self.input_size,
            "mean": self.mean,
            "std": self.std,
        }
        return replace(card, architecture=self.architecture, **{k: v for k, v in stated.items() if v is not None})


def read_timm_config(path: Path) -> TimmConfig:
    """Read the configuration that timm writes beside weights.

    Args:
        path: a ``config.json``.

    Raises:
        CheckpointError: it cannot be read, or names no model of timm.
    """
    import timm

    try:
        content = read_user_json(path)
        if not isinstance(content, dict):
            raise TypeError("not a JSON object")
        inner = content.get("pretrained_cfg")
        stated: dict[str, Any] = inner if isinstance(inner, dict) else content
        architecture = str(content.get("architecture") or stated.get("architecture") or "")
        arguments = dict(content.get("model_args") or {})
        size = stated.get("input_size")
        mean, std = (tuple(map(float, stated[key])) if stated.get(key) else None for key in ("mean", "std"))
        config = TimmConfig(
            architecture,
            arguments,
            tuple(map(int, size)) if size else None,
            mean,
            std,
            str(stated.get("license") or ""),
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"{path} is not a configuration of timm ({error}); remove it, or fetch it again"
        ) from error
    if not timm.is_model(architecture):
        kind = content.get("model_type")
        said = (
            f"names the model {architecture!r}" if architecture else f"is of the type {kind!r}" if kind else "is empty"
        )
        raise CheckpointError(
            f"{path} {said}, which timm does not have; name a backbone of its architecture with --backbone, and give "
            "the weight file with --checkpoint"
        )
    pool = content.get("global_pool") or stated.get("global_pool")
    if pool == "avg" and _has_pooled_norm(architecture):
        config.arguments.setdefault("global_pool", pool)
    for name in ("num_classes", "pretrained", "img_size", "in_chans"):  # bench sets them
        config.arguments.pop(name, None)
    return config


def _has_pooled_norm(architecture: str) -> bool:
    import timm

    return str(timm.models.model_entrypoint(architecture).__module__).rpartition(".")[2] in _POOLED_MODULES


def _find_cached(repo_id: str, filename: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(repo_id, filename)
    return Path(cached) if isinstance(cached, str) else None


def _download(repo_id: str, filenames: tuple[str, ...]) -> Path:
    """Download the first of some files that a repository has."""
    from huggingface_hub.constants import ENDPOINT

    with open_network(ENDPOINT):
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError

        for filename in filenames[:-1]:
            try:
                return Path(hf_hub_download(repo_id, filename))
            except EntryNotFoundError:
                continue
        return Path(hf_hub_download(repo_id, filenames[-1]))


def _describe(error: Exception) -> str:
    reason = str(error).splitlines()[0][:120] if str(error) else "no message"
    return reason if isinstance(error, NetworkError) else f"{type(error).__name__}: {reason}"
