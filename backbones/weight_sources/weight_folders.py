"""Choose the weights in a folder that a user names instead of a file. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from backbones.card import WEIGHT_SUFFIXES
from foundation.errors import CheckpointError
from foundation.weights.shard_index import INDEX_SUFFIX

ENCODER_FILENAME = "encoder.pth"
"""The encoder in the folder of a pre-training run; it exists once the run is complete."""


_KNOWN_NAMES = (
    ENCODER_FILENAME,
    # what transformers, timm and open_clip write; of two formats the one that cannot hold code
    "model.safetensors",
    f"model.safetensors{INDEX_SUFFIX}",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    f"pytorch_model.bin{INDEX_SUFFIX}",
    "open_clip_pytorch_model.bin",
    "mp_rank_00_model_states.pt",
)
"""Names that say that a file is the weights of its folder, in the order in which they are taken."""

# files that trainers write next to the weights under the same suffixes
_OTHER_NAMES = ("training_args.bin", "optimizer.pt", "scheduler.pt", "scaler.pt", "optimizer.bin", "scheduler.bin")
_OTHER_PREFIXES = ("rng_state", "random_states", "zero_pp_rank", "bf16_zero_pp_rank")


def choose_weight_file(folder: Path) -> Path:
    """Return the weights in a folder: those under a well-known name, or the only weight file.

    Args:
        folder: a folder, as ``transformers``, DeepSpeed or a pre-training run of bench writes it.

    Returns:
        The weight file, or the index of sharded weights.

    Raises:
        CheckpointError: the folder has no weights, several weight files, or some in a format that bench cannot read.
    """
    names = {path.name for path in folder.iterdir() if path.is_file()}
    known = next((name for name in _KNOWN_NAMES if name in names), None)
    if known is not None:
        return folder / known
    if reason := _describe_unreadable_folder(folder, names):
        raise CheckpointError(f"the checkpoint {folder} is {reason}")
    found = sorted(name for name in names if _is_weight_name(name))
    if len(found) == 1:
        return folder / found[0]
    if found:
        more = f" and {len(found) - 8} more" if len(found) > 8 else ""
        raise CheckpointError(
            f"the checkpoint {folder} is a folder with {len(found)} weight files ({', '.join(found[:8])}{more}); name "
            "the one that is meant"
        )
    raise CheckpointError(
        f"the checkpoint {folder} is a folder without weights; name a weight file (of a pre-training run the folder "
        f"does, once it is complete and has its {ENCODER_FILENAME})"
    )


def _is_weight_name(name: str) -> bool:
    """Return whether a file's name is that of weights."""
    if name.startswith(".") or name in _OTHER_NAMES or name.startswith(_OTHER_PREFIXES):
        return False
    return name.endswith((*WEIGHT_SUFFIXES, ".ckpt", INDEX_SUFFIX))


def _describe_unreadable_folder(folder: Path, names: set[str]) -> str:
    """Return what a folder is whose format bench does not read, and what to do about it; "" for any other folder."""
    if "saved_model.pb" in names:
        return "a TensorFlow SavedModel; convert it to a PyTorch state dict and save that as safetensors"
    if any(name.endswith(".distcp") for name in names):
        return (
            "a distributed checkpoint of PyTorch; convert it with "
            "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER FILE.pth"
        )
    if "latest" in names and any(path.is_dir() for path in folder.glob("global_step*")):
        return "a folder of DeepSpeed; name mp_rank_00_model_states.pt in its newest global_step folder"
    if any("zero_pp_rank" in name for name in names):
        return "a ZeRO checkpoint of DeepSpeed in pieces; run its zero_to_fp32.py and name the file that it writes"
    if {"flax_model.msgpack", "tf_model.h5"} & names:
        return "a folder with weights of Flax or TensorFlow only; fetch its model.safetensors or pytorch_model.bin"
    return ""
