"""Heads that files hold beside the trunk, and why a load leaves them out."""

from __future__ import annotations

import re
from collections.abc import Collection

from foundation.errors import CheckpointError

_SHARED_SPACE = "projection to the space that images and texts share"
# name pattern -> reason for the load report; matched at the start of a name, the first match counts. The first group is
# the module: where the model has it in its own trunk, nothing is dropped.
_HEAD_RULES = tuple(
    (re.compile(pattern), reason)
    for pattern, reason in (
        (
            r"((?:\w+_)?classifier|classif|cls_head|linear_head|last_linear|linear|fc|heads?|head_dist)(?:\.|$)",
            "classifier",
        ),
        (r"(dist_norm)\.", "norm of the classifier that learned from a teacher"),
        (r"(neck)\.", "neck of a detector or a segmentor"),
        (r"(pre_logits)\.", "layer of the classifier"),
        (r"(attn_pool)\.", "attention pooling of the head; the model pools its tokens in another way"),
        (r"(pooler)\.", "pooling layer of the head, after the class token"),
        (r"(lm_head)\.", "token classifier of the pre-training"),
        (
            r"((?:student_|teacher_)?(?:projection_head|prediction_head|dino_head|ibot_head|dino_loss|ibot_patch_loss))\.",
            "projection head or loss of the pre-training",
        ),
        (r"(proj|visual_projection|vision_proj|image_projection)(?:\.weight|\.bias)?$", _SHARED_SPACE),
        (r"(text_projection)(?:\.weight|\.bias)?$", _SHARED_SPACE),
        (r"(logit_scale|logit_bias)$", "temperature of the contrastive loss"),
        (
            r"(text|text_model|text_encoder|text_decoder|token_embedding|ln_final)\.",
            "the text side of the pre-training",
        ),
    )
)


def find_head_reason(name: str, model_keys: Collection[str]) -> str:
    """Return why a tensor of a file is left out as part of a head.

    Args:
        name: the tensor, under timm's name where its layout is known.
        model_keys: the names in the model's state dict. A module that the model has, too, is not dropped: what does not
            fit it must be reported as unexpected.

    Returns:
        The reason; "" if the tensor is not of a known head.
    """
    for pattern, reason in _HEAD_RULES:
        if found := pattern.match(name):
            module = found[1]
            is_own = any(key == module or key.startswith(f"{module}.") for key in model_keys)
            return "" if is_own else reason
    return ""


def refuse_distillation_token(tensors: Collection[str], model_keys: Collection[str], source: str) -> None:
    """Refuse weights of a distilled DeiT for a model without its second token, which all others attend to.

    Args:
        tensors: the names of a trunk's tensors, under timm's names.
        model_keys: the names in the model's state dict.
        source: the file, for messages.

    Raises:
        CheckpointError: the file has a distillation token, and the model has none.
    """
    if "dist_token" in tensors and "dist_token" not in model_keys:
        raise CheckpointError(
            f"the checkpoint {source} has a distillation token (dist_token) that the backbone lacks; choose timm's "
            "distilled model, for example timm/deit_tiny_distilled_patch16_224, which works with pool=token"
        )


def describe_missing_pooling(tensors: Collection[str], model_keys: Collection[str]) -> str:
    """Return a part of a message where the model pools by attention and the file has no such layer, else ""."""
    has_pooling, file_has_it = (any(name.startswith("attn_pool.") for name in names) for names in (model_keys, tensors))
    if not has_pooling or file_has_it:
        return ""
    return "; the backbone pools its tokens by attention (attn_pool), the file has none: create it with global_pool=avg"
