"""Which of its weights a name of timm means, where timm has several for one architecture."""

from __future__ import annotations

from backbones.registry import TIMM_PREFIX
from foundation.errors import UserError

SELF_SUPERVISED_TAGS = ("mae", "dino")
"""timm's tags for weights of pre-trainings without labels, the better example first."""


def require_named_weights(teacher: str) -> None:
    """Require that the name of a teacher says which weights it has, where timm has several for its architecture.

    Without a tag timm takes its default, which for most models was trained with labels, also where timm has the weights
    of a pre-training without labels (``hiera_base_224.mae``). Which one is the default may change with timm's version.

    Args:
        teacher: registry name, ``timm/<name>`` or ``hf-hub:OWNER/REPO``.

    Raises:
        UserError: it does not; the message lists the tags.

    Example:
        >>> require_named_weights("timm/hiera_base_224.mae")
    """
    model, _, tag = teacher.removeprefix(TIMM_PREFIX).partition(".")
    if not teacher.startswith(TIMM_PREFIX) or tag:
        return
    import timm

    tags = [name.removeprefix(f"{model}.") for name in timm.list_pretrained(f"{model}.*")]
    if len(tags) < 2:
        return
    default = timm.get_pretrained_cfg(model).tag
    example = next((tag for tag in SELF_SUPERVISED_TAGS if tag in tags), default)
    raise UserError(
        f"the teacher {TIMM_PREFIX}{model} does not say which of timm's weights it has ({', '.join(tags)}), and timm's "
        f"default is {default}; name them, for example --teacher {TIMM_PREFIX}{model}.{example}"
    )
