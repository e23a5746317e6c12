"""Whether a k-NN bank holds enough features for its vote. Imports no torch."""

from __future__ import annotations

from foundation.errors import UserError


def require_enough_voters(k: int, num_voters: int, setting: str = "k") -> None:
    """Require as many features that may vote as there are votes; fewer would be another protocol than ``k`` says.

    Args:
        k: number of neighbors.
        num_voters: number of features in the bank.
        setting: name of ``k``, for the message.

    Raises:
        UserError: ``k`` is above the number of features.
    """
    if k > num_voters:
        raise UserError(
            f"{setting} {k} is above the {num_voters:,} images that vote; set {setting}={num_voters} or lower"
        )
