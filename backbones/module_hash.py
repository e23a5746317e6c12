"""SHA-256 digests of what a module computes with: its tensors, its structure, and code that is not a library's."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

LIBRARY_NAMES = {"torch", "timm", *sys.stdlib_module_names, "builtins"}
"""Code of these is known by the packages' versions, which every record holds."""

# torch.compile leaves a mark on the module that it wraps, which changes nothing that is computed
_MODULE_INTERNALS = {*vars(nn.Module()), "training", "_is_torch_compile"}
_CLASS_INTERNALS = {"__doc__", "__module__", "__dict__", "__weakref__", "__annotations__", "__firstlineno__"}
_CARD_ATTRIBUTES = {"name", "mean", "std", "input_size", "pretrained_cfg", "default_cfg"}
"""What the outermost module says of itself; what counts of it is in the card."""


def collect_tensors(module: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers by name, buffers that are in no state dict included."""
    return dict([*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)])


def hash_state_dict(state: Mapping[str, Any]) -> str:
    """SHA-256 over the names, types, shapes and values of a network's tensors, whatever file they come in."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode() + _get_bytes(tensor))
    return digest.hexdigest()


def hash_structure(module: nn.Module) -> str:
    """SHA-256 over how a module is put together: its ``repr``, and what its parts hold beside tensors.

    The ``repr`` alone does not do: a number such as a scale, kept as a plain attribute, changes what comes out and
    stands in no ``repr``.
    """
    lines = [repr(module)]
    for path, part in module.named_modules():
        left_out = _MODULE_INTERNALS | (set() if path else _CARD_ATTRIBUTES)
        lines += [
            f"{path}.{key}={_format_value(value)}" for key, value in sorted(vars(part).items()) if key not in left_out
        ]
    trainable = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    # all or none: a module that was frozen to be evaluated is the same module
    lines.append(f"trainable: {trainable if len(trainable) < len(list(module.parameters())) else []}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def hash_code(module: nn.Module) -> str:
    """SHA-256 over the source of all classes and functions in a module that are not timm's, torch's or Python's.

    The source is ``inspect.getsource``'s, where it can be had. Of code that was typed in (an interpreter, ``exec``)
    it cannot; there the byte code stands for it. Neither sees a function that a method calls from another file.
    """
    found: dict[str, str] = {}
    for part in module.modules():
        for kind in type(part).__mro__:
            if not _is_library_code(kind):
                found[f"{kind.__module__}.{kind.__qualname__}"] = _describe_class(kind)
        for key, value in iterate_functions(part):
            if not _is_library_code(value):
                found[f"{key} {value.__module__}.{value.__qualname__}"] = _describe_function(value)
    text = "\n".join(f"{name}\n{code}" for name, code in sorted(found.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def _get_bytes(tensor: Tensor) -> bytes:
    # as bytes, since numpy has no bfloat16; flat, since a view of other bytes needs a dimension
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return bytes(flat.view(torch.uint8).numpy().tobytes())


def _format_value(value: Any) -> str:
    """A plain value in full, tensors by their hash, anything else by its type (a ``repr`` may hold an address)."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key!r}: {_format_value(each)}' for key, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_format_value(each) for each in value)}]"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(_format_value(each) for each in value))}}}"
    if isinstance(value, Tensor):
        return hash_state_dict({"": value})
    if value is None or isinstance(value, bool | int | float | complex | str | torch.dtype):
        return repr(value)
    return f"<{type(value).__module__}.{type(value).__qualname__}>"


def iterate_functions(part: nn.Module) -> Iterator[tuple[str, FunctionType]]:
    """Functions of the instance: a ``forward`` that was put in its place, activations, hooks."""
    for key, value in vars(part).items():
        each = value.values() if key.endswith("_hooks") and isinstance(value, Mapping) else [value]
        for function in each:
            plain = function.__func__ if isinstance(function, MethodType) else function
            if isinstance(plain, FunctionType):
                yield key, plain


def _is_library_code(thing: type | FunctionType) -> bool:
    return thing.__module__.partition(".")[0] in LIBRARY_NAMES


def _describe_class(kind: type) -> str:
    """Methods by their own lines (of two classes of one name in a file, a class's source is the first one's)."""
    lines = []
    for key, value in sorted(vars(kind).items()):
        plain = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if isinstance(plain, FunctionType):
            lines.append(f"{key}: {_describe_function(plain)}")
        elif key not in _CLASS_INTERNALS:
            lines.append(f"{key}={_format_value(value)}")
    return "\n".join(lines)


def _describe_function(function: FunctionType) -> str:
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):
        text = _describe_code(function.__code__)
    return f"{text}\n{_format_surroundings(function)}"


def _format_surroundings(function: FunctionType) -> str:
    """Values that a function was made with: defaults, and what it closes over."""
    cells = [cell.cell_contents for cell in function.__closure__ or () if is_filled(cell)]
    return _format_value([function.__defaults__, function.__kwdefaults__, cells])


def is_filled(cell: Any) -> bool:
    """Return whether a variable that a function closes over has a value yet."""
    try:
        return cell.cell_contents is not cell
    except ValueError:  # a variable that has no value yet
        return False


def _describe_code(code: CodeType) -> str:
    constants = [_describe_code(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
    return f"{code.co_name} {code.co_code.hex()} {code.co_names} {constants}"
