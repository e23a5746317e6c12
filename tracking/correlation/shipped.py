"""The tracker that bench ships: its card, and how it is loaded."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file

from foundation.errors import DataError
from foundation.files import sha256_file
from tracking.correlation.backend import CorrelationBackend, CorrelationTracker
from tracking.correlation.network import CROP_SIZES, CorrelationNetwork
from tracking.correlation.training import TrainingSettings

SHIPPED_FOLDER = Path(__file__).parent / "shipped"
WEIGHTS_FILE, CARD_FILE = "first_tracker.safetensors", "first_tracker.json"


class TrackerCard(NamedTuple):
    """What the card of a shipped tracker says that code needs; the rest of the file is for readers.

    Attributes:
        name: the tracker's name.
        sha256: digest of the weights file.
        lost_threshold: confidence below which its target may be lost.
        summary: what it is, in one line.
    """

    name: str
    sha256: str
    lost_threshold: float
    summary: str


@cache
def read_tracker_card(folder: Path = SHIPPED_FOLDER) -> TrackerCard:
    """Read the card.

    Args:
        folder: folder of card and weights.
    """
    content = json.loads((folder / CARD_FILE).read_text())
    return TrackerCard(**{name: content[name] for name in TrackerCard._fields})


def load_shipped_tracker(device: str = "cpu", folder: Path = SHIPPED_FOLDER) -> CorrelationTracker:
    """Load the shipped tracker.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.
        folder: folder of card and weights.

    Raises:
        DataError: the weights are not those of the card.
    """
    card, path = read_tracker_card(folder), folder / WEIGHTS_FILE
    if sha256_file(path) != card.sha256:
        raise DataError(f"{path} is not the file of its card; install bench again")
    return load_weights_file(folder, device, card.name)


def load_weights_file(folder: Path, device: str = "cpu", name: str = "bench") -> CorrelationTracker:
    """Load a tracker that may not have a card yet.

    Args:
        folder: folder of the weights, as ``python -m benchmarks.cli.make_first_tracker`` writes it.
        device: ``cpu``, ``cuda`` or ``mps``.
        name: name of the tracker.
    """
    network = TrainingSettings().build_network()
    # strict: a tensor that did not load would silently keep its random values
    tensors = {key: value.float() for key, value in load_file(folder / WEIGHTS_FILE).items()}
    network.load_state_dict(tensors, strict=True)
    return CorrelationTracker(CorrelationBackend(network.to(device)), CROP_SIZES, name)


def list_shipped_tensors(network: CorrelationNetwork) -> dict[str, torch.Tensor]:
    """Return the tensors of a network as they are shipped: in half precision, without the counts of batches.

    Args:
        network: the trained network.
    """
    return {
        name: value.half().contiguous()
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
