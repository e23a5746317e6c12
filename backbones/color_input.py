"""Check that a backbone takes color images, which is what every task and analysis gives. Imports no torch."""

from __future__ import annotations

from backbones.card import BackboneCard
from foundation.errors import UserError

COLOR_CHANNELS = 3


def require_color_input(card: BackboneCard) -> None:
    """Refuse a backbone whose input has another number of channels than color images have.

    Gray files are read as three equal channels, so that every image has the shape that the tasks expect.

    Args:
        card: the backbone's card.

    Raises:
        UserError: the card, or its argument ``in_chans``, states another number of channels.
    """
    channels = int(card.arguments.get("in_chans", card.input_size[0]))
    if channels != COLOR_CHANNELS or card.input_size[0] != COLOR_CHANNELS:
        given = channels if channels != COLOR_CHANNELS else card.input_size[0]
        raise UserError(
            f"{card.name} takes images with {given} channel{'s' if given != 1 else ''}, and every task gives color "
            f"images with 3 (gray ones three times the same); give the card input_size=(3, H, W) and in_chans=3"
        )
