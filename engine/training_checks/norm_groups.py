"""Groups of items that are normalized together: whether pieces and processes hold whole groups. Imports no torch."""

from __future__ import annotations

from typing import NamedTuple

from engine.lr_schedule import count_last_batch
from engine.recipe import TrainingRecipe
from engine.training_checks.batch_norm import count_norm_groups
from foundation.errors import ConfigError


class NormWords(NamedTuple):
    """The words of a refusal: what an item of a batch is, and what normalizes a group of them."""

    items: str
    parts: str


def require_whole_groups(
    recipe: TrainingRecipe, norm_group: int, num_items: int, num_processes: int, words: NormWords
) -> None:
    """Require that every process and every piece of a batch holds whole groups, so that neither changes the number.

    Args:
        recipe: gives the batch and the pieces.
        norm_group: largest number of items in a group.
        num_items: number of items per epoch.
        num_processes: number of processes.
        words: for the message.

    Raises:
        ConfigError: a group would be torn apart; the message names the two cures.
    """
    batch, pieces = recipe.batch_size, recipe.accumulate
    # the incomplete batch at the end of an epoch is dealt out to the processes too
    rest = count_last_batch(recipe, num_items)
    for size in filter(None, (batch, rest)):
        whole = count_norm_groups(size, norm_group)
        own, torn = divmod(size, num_processes)
        if torn or num_processes * count_norm_groups(own, norm_group) != whole:
            raise ConfigError(
                f"a batch of {size} {words.items} is {_format_groups(whole)} of at most {norm_group} that "
                f"{words.parts} normalize together, which {num_processes} processes cannot share out; set a smaller "
                "norm_group, which is another protocol, or start fewer processes"
            )
    groups = count_norm_groups(batch, norm_group) // num_processes
    if pieces > groups:
        raise ConfigError(
            f"accumulate {pieces} would tear apart the {_format_groups(groups)} of at most {norm_group} {words.items} "
            f"that {words.parts} normalize together in a batch of {batch}; set a smaller norm_group, which is another "
            f"protocol, or accumulate={groups} or lower"
        )


def _format_groups(count: int) -> str:
    return f"{count} group{'s' if count > 1 else ''}"
