"""Say what a file is that bench cannot read as weights, and what its owner can do about it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

_CONVERT = "load it in the framework that wrote it and save its arrays with safetensors.numpy.save_file"
_TAKE_SOURCE = "name the PyTorch weights from which it was exported"

# the first bytes of a file, what it is, and what to do
_MAGIC_BYTES = (
    (
        b"version https://git-lfs",
        "it is a Git-LFS pointer, not the file itself; run git lfs pull in its repository, or download the file",
    ),
    (b"\x89HDF\r\n", f"it is an HDF5 file (h5, Keras); {_CONVERT}"),
    (b"\x93NUMPY", "it is a single NumPy array; save all weights by name with safetensors.numpy.save_file"),
    (b"GGUF", "it is a GGUF file with quantized weights; fetch the original weights as safetensors"),
    (b"ggml", "it is a GGML file with quantized weights; fetch the original weights as safetensors"),
    (b"\x1f\x8b", "it is compressed with gzip; unpack it"),
    (b"BZh", "it is compressed with bzip2; unpack it"),
    (b"\xfd7zXZ", "it is compressed with xz; unpack it"),
    (b"7z\xbc\xaf", "it is a 7z archive; unpack it"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd; unpack it"),
    (b"Rar!", "it is a RAR archive; unpack it"),
    (b"%PDF", "it is a PDF document; name a weight file"),
    (b"ftrt", f"it is an engine of TensorRT; {_TAKE_SOURCE}"),
    (b"model_checkpoint_path", f"it is the list of a folder of TensorFlow checkpoints; {_CONVERT}"),
)


def describe_file_kind(path: Path, head: bytes) -> str:
    """Return the end of a message: what a file is that is neither of torch nor of safetensors, and what to do.

    Args:
        path: the file.
        head: its first bytes, at least 512 of a longer file.

    Returns:
        The end of a sentence, with a comma or colon in front; "" if nothing is known about such a file.
    """
    for magic, text in _MAGIC_BYTES:
        if head.startswith(magic):
            return f": {text}"
    text_head = head.lstrip()
    if text_head[:1] == b"<":
        if b"<net" in text_head or path.suffix == ".xml":
            return f": it is a network of OpenVINO; {_TAKE_SOURCE}"
        # what a download saves when the site asks for a login or a confirmation
        return ", it looks like a web page saved in its place"
    if text_head[:1] in (b"{", b"["):
        return ": it is a text in JSON, such as a model's configuration; name the weight file beside it"
    if head[4:8] == b"TFL3":
        return f": it is a model of TensorFlow Lite; {_TAKE_SOURCE}"
    if head[257:262] == b"ustar":  # where POSIX tar has its magic bytes
        return ", it looks like a tar archive (torch before 0.1.10, or a packed folder); unpack or convert it"
    # a protocol buffer has no magic bytes, but ONNX begins with its version and the program that wrote it
    if path.suffix == ".onnx" or (head[:1] == b"\x08" and head[2:3] == b"\x12"):
        return f": it is an ONNX model; {_TAKE_SOURCE}"
    if path.suffix == ".msgpack":
        return f": it holds weights of Flax; {_CONVERT}"
    if ".ckpt" in path.name and (path.suffix in (".index", ".meta") or ".data-" in path.name):
        return f": it is a part of a TensorFlow checkpoint; {_CONVERT}"
    if path.suffix == ".bin" and path.with_suffix(".xml").is_file():
        return f": it belongs to a network of OpenVINO; {_TAKE_SOURCE}"
    return ""


def describe_zip_kind(names: Collection[str]) -> str:
    """Return what a zip archive is that does not hold the weights of ``torch.save``, and what to do; "" for weights.

    Args:
        names: the names of the archive's entries.
    """
    last = {name.rsplit("/", 1)[-1] for name in names}
    # torch.jit.save writes code and constants.pkl, torch.save only data.pkl and the tensors' bytes
    if "constants.pkl" in last:
        return "a TorchScript program, not weights; save only its state_dict()"
    if "extern_modules" in last:
        return "a package of torch.package, which holds code; save only the state_dict() of the model in it"
    if {"archive_format", "serialized_exported_program.json"} & last:
        return "a program of torch.export, not weights; save only its state_dict"
    if "data.pkl" in last:
        return ""
    if names and all(name.endswith(".npy") for name in names):
        return (
            "an archive of NumPy arrays (npz), such as the weights of Google's ViT; create that model in timm from the "
            "file and save its state_dict()"
        )
    if "model.weights.h5" in last:
        return f"a model of Keras; {_CONVERT}"
    return "an ordinary zip archive, not a checkpoint; unpack it and name the file in it"


def describe_refused_class(needed: str) -> str:
    """Return what to do about a pickle that needs a class, from the class's name.

    Args:
        needed: the class or function, with its module.
    """
    if needed.startswith("deepspeed."):
        return "it is a part of a DeepSpeed checkpoint; run its zero_to_fp32.py and name the file that it writes"
    return (
        "it probably holds a whole model or a program's settings; if you trust the file, load it where it was made and "
        "save only its weights with torch.save(model.state_dict(), ...) or as safetensors"
    )
