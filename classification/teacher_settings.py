"""The options that name a teacher, as settings of the protocol that has one. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from foundation.errors import UserError

DISTILL_PROTOCOL = "finetune_distill"
"""The protocol whose settings are ``classification.recipe.DistillRecipe``."""


def format_teacher_settings(
    protocol: str | None, teacher: str | None, checkpoint: str | Path | None
) -> tuple[str, ...]:
    """Return what names a teacher as ``key=value`` texts of ``--set``; none without a teacher.

    Args:
        protocol: the protocol that was asked for; ``None``: the task's first, which has no teacher.
        teacher: registry name or ``timm/<name>``.
        checkpoint: its weights.

    Raises:
        UserError: the protocol has no teacher.

    >>> format_teacher_settings("finetune_distill", "vit_nano", "/tmp/a.pth")
    ("teacher='vit_nano'", "teacher_checkpoint='/tmp/a.pth'")
    """
    if teacher is None and checkpoint is None:
        return ()
    if protocol != DISTILL_PROTOCOL:
        what = f"protocol {protocol}" if protocol is not None else "the task's first protocol"
        option = "--teacher-checkpoint" if teacher is None else "--teacher"
        raise UserError(f"{what} has no teacher; leave {option} out, or add --protocol {DISTILL_PROTOCOL}")
    # absolute, since a worker of a sweep runs in another folder; ``repr`` is read back as the same text
    path = None if checkpoint is None else str(Path(checkpoint).expanduser().absolute())
    named = {"teacher": teacher, "teacher_checkpoint": path}
    return tuple(f"{name}={value!r}" for name, value in named.items() if value is not None)
