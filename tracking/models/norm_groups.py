"""Groups of pairs that are normalized together: their size, and whether pieces and processes hold whole groups.

Imports no torch.
"""

from __future__ import annotations

from engine.lr_schedule import count_last_batch
from engine.recipe import TrainingRecipe
from engine.training_checks.batch_norm import count_norm_groups
from foundation.errors import ConfigError

DEFAULT_NORM_GROUP = 32
"""Pairs that are normalized together in the papers: the batch of each of their 4 GPUs."""


def require_whole_groups(recipe: TrainingRecipe, norm_group: int, num_pairs: int, num_processes: int) -> None:
    """Require that every process and every piece of a batch holds whole groups, so that neither changes the number.

    Args:
        recipe: gives the batch and the pieces.
        norm_group: largest number of pairs in a group.
        num_pairs: number of pairs per epoch.
        num_processes: number of processes.

    Raises:
        ConfigError: a group would be torn apart; the message names the two cures.
    """
    batch, pieces = recipe.batch_size, recipe.accumulate
    # the incomplete batch at the end of an epoch is dealt out to the processes too
    rest = count_last_batch(recipe, num_pairs)
    for size in filter(None, (batch, rest)):
        whole = count_norm_groups(size, norm_group)
        own, torn = divmod(size, num_processes)
        if torn or num_processes * count_norm_groups(own, norm_group) != whole:
            raise ConfigError(
                f"a batch of {size} pairs is {_format_groups(whole)} of at most {norm_group} that batch norm and "
                f"losses normalize together, which {num_processes} processes cannot share out; set a smaller "
                "norm_group, which is another protocol, or start fewer processes"
            )
    groups = count_norm_groups(batch, norm_group) // num_processes
    if pieces > groups:
        raise ConfigError(
            f"accumulate {pieces} would tear apart the {_format_groups(groups)} of at most {norm_group} pairs that "
            f"batch norm and losses normalize together in a batch of {batch}; set a smaller norm_group, which is "
            f"another protocol, or accumulate={groups} or lower"
        )


def _format_groups(count: int) -> str:
    return f"{count} group{'s' if count > 1 else ''}"
