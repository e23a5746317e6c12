"""What code of a cell can change in its process so that the next cell there would compute something else."""

from __future__ import annotations

import os
from collections.abc import Hashable


def describe_process_state() -> Hashable:
    """Return the settings of this process that can change a number and that bench itself never changes.

    Code of plug-ins may change them, also while it is imported. A single run has a process of its own, so in a matrix
    a process whose settings were changed is not used for another cell. Settings that every cell of bench sets again
    (threads, seeds, deterministic algorithms) are not among them.
    """
    import numpy as np
    import torch

    # a relative path of a later cell, and the data and weights that bench looks for
    try:
        folder = os.getcwd()  # noqa: PTH109 - as a text
    except FileNotFoundError:
        folder = ""
    variables = tuple(sorted(item for item in os.environ.items() if item[0].startswith("BENCH_")))
    return (
        folder,
        variables,
        tuple(sorted(np.geterr().items())),
        str(torch.get_default_dtype()),
        str(torch.get_default_device()),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cuda"),
        torch.is_autocast_enabled("cpu"),
        torch.get_float32_matmul_precision(),
        torch.backends.mkldnn.enabled,
        torch.backends.cudnn.enabled,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction,
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction,
    )
