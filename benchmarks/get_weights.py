"""Where a card's weights are on this machine; those that a hub has are fetched."""

from __future__ import annotations

from backbones.registry import get_card
from backbones.weights import locate_weights, require_matching_sha256
from foundation.errors import UserError
from foundation.files import sha256_file


def locate_card_weights(name: str) -> dict[str, str]:
    """Where a card's weights are on this machine, with their hash and what they demand.

    Raises:
        UserError: the card has none, or its file is not here (the sentence says how to fetch it).
    """
    card = get_card(name)
    start = locate_weights(card, None)
    if card.weights is None or start.file is None:
        raise UserError(f"{name} has no weights to get: it starts from random ones")
    digest = sha256_file(start.file)
    require_matching_sha256(card, start.file, digest)
    return {
        "name": name,
        "file": str(start.file),
        "sha256": digest,
        "recipe": card.weights.recipe,
        "source": card.weights.source,
        "licence": card.weights.licence,
    }
