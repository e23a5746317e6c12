"""SHA-256 digests of what a module computes with: its tensors, its structure, and code that is not a library's."""

from __future__ import annotations

import hashlib
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from foundation.errors import UserError
from foundation.source_hash import is_library_module

LIBRARY_NAMES = {"torch", "timm", "numpy", *sys.stdlib_module_names, "builtins"}
"""Code of these is known by the packages' versions, which every record holds."""

# torch.compile leaves a mark on the module that it wraps, which changes nothing that is computed
_MODULE_INTERNALS = {*vars(nn.Module()), "training", "_is_torch_compile"}
_CLASS_INTERNALS = {"__doc__", "__module__", "__dict__", "__weakref__", "__annotations__", "__firstlineno__"}
_CARD_ATTRIBUTES = {"name", "mean", "std", "input_size", "pretrained_cfg", "default_cfg"}
"""What the outermost module says of itself; what counts of it is in the card."""

_MACHINE_ATTRIBUTES = {"fused_attn"}
"""Whether timm uses torch's fused attention, which it decides by the installation."""


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


def hash_tensor_shapes(module: nn.Module) -> str:
    """SHA-256 over the names, shapes and kinds of number of all parameters and buffers, whatever their values.

    It is the same on every machine and in every precision, as ``float64`` and ``float32`` are one kind of number.

    Raises:
        UserError: a tensor has no shape yet.
    """
    parameters = dict(module.named_parameters(remove_duplicate=False))
    lines = []
    for name, tensor in sorted(collect_tensors(module).items()):
        if is_lazy(tensor):
            raise UserError(
                f"{name} of this {type(module).__name__} has no shape before its first input (a lazy layer), so the "
                "model cannot be told from others before it runs; give the layer its sizes"
            )
        role = "parameter" if name in parameters else "buffer"
        lines.append(f"{role} {name} {tuple(tensor.shape)} {_get_number_kind(tensor)}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _get_number_kind(tensor: Tensor) -> str:
    if tensor.is_floating_point():
        return "float"
    return "complex" if tensor.is_complex() else "bool" if tensor.dtype == torch.bool else "int"


def hash_plain_attributes(module: nn.Module) -> str:
    """SHA-256 over the class and the plain attributes of every part: a number of heads stands in no tensor's shape.

    The values of tensors do not count, and what depends on the machine neither: see ``_format_plain``.
    """
    lines = []
    for path, part in module.named_modules():
        left_out = _MODULE_INTERNALS | _MACHINE_ATTRIBUTES | (set() if path else _CARD_ATTRIBUTES)
        values = {key: value for key, value in sorted(vars(part).items()) if key not in left_out}
        lines.append(f"{path}: {type(part).__qualname__} {_format_plain(values)}")
    frozen = [name for name, parameter in module.named_parameters() if not parameter.requires_grad]
    return hashlib.sha256("\n".join([*lines, f"frozen: {frozen}"]).encode()).hexdigest()


def _format_plain(value: Any, seen: frozenset[int] = frozenset()) -> str:
    """A value as text that is the same on every machine.

    Floats are rounded to six digits, as powers differ in the last one. Tensors and arrays count by their shape, paths
    by their last part, functions, classes and objects of libraries by their names.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str | Path):
        return repr(Path(value).name if Path(value).is_absolute() else str(value))
    if value is None or isinstance(value, int | complex | bytes | torch.dtype):
        return repr(value)
    if isinstance(value, Tensor | np.ndarray):
        return f"<tensor {tuple(value.shape)}>"
    if id(value) in seen:
        return "<seen>"
    seen = seen | {id(value)}
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_format_plain(key)}: {_format_plain(each, seen)}' for key, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_format_plain(each, seen) for each in value)}]"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(_format_plain(each, seen) for each in value))}}}"
    if isinstance(value, partial):
        return f"<partial {_format_plain([value.func, value.args, value.keywords], seen)}>"
    name = getattr(value, "__qualname__", None) or type(value).__qualname__
    held = vars(value) if isinstance(value, SimpleNamespace) or _is_own_object(value) else {}
    return f"<{name} {_format_plain(held, seen)}>" if held else f"<{name}>"


def _is_own_object(value: Any) -> bool:
    """Whether a value is an object of a class that is no library's: a library's may hold the state of the process."""
    is_object = not isinstance(value, type | FunctionType | MethodType | ModuleType) and hasattr(value, "__dict__")
    return is_object and not is_library_module(type(value).__module__)


def hash_code(module: nn.Module) -> str:
    """SHA-256 over the source of all classes and functions in a module that are not timm's, torch's or Python's.

    The source is ``inspect.getsource``'s, where it can be had. Of code that was typed in (an interpreter, ``exec``)
    it cannot; there the byte code stands for it, as it does where the file was edited after it was imported. Functions,
    classes, objects and numbers of the same file that the code names count too, wherever they were imported from.
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


def _format_value(value: Any, seen: frozenset[int] = frozenset()) -> str:
    """A value in full: arrays and tensors by their bytes, objects by what they hold, functions by their code.

    What cannot be taken apart (a lock, an open file) counts by its type; a ``repr`` may hold an address.
    """
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | torch.dtype):
        return repr(value)
    if isinstance(value, Tensor):
        return hash_state_dict({"": value})
    if isinstance(value, np.ndarray | np.generic):
        return f"{value.dtype} {value.shape} {value.tobytes().hex()}"
    if id(value) in seen:  # an object that holds itself, or a function that calls itself
        return "<seen>"
    seen = seen | {id(value)}
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key!r}: {_format_value(each, seen)}' for key, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_format_value(each, seen) for each in value)}]"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(_format_value(each, seen) for each in value))}}}"
    name = f"<{type(value).__module__}.{type(value).__qualname__}>"
    if isinstance(value, nn.Module):  # one that is in a list, or behind a global, is no part of the module tree
        return f"{value!r} {hash_state_dict(collect_tensors(value))}"
    if isinstance(value, partial):
        return f"{name}{_format_value([value.func, value.args, value.keywords], seen)}"
    if isinstance(value, MethodType):
        return f"{name}{_format_value(value.__func__, seen)}"
    if isinstance(value, type | FunctionType):
        title = f"<{value.__module__}.{value.__qualname__}>"
        if _is_library_code(value):
            return title
        return title + (_describe_class(value, seen) if isinstance(value, type) else _describe_function(value, seen))
    if isinstance(value, ModuleType):
        return name
    # a SimpleNamespace is the standard library's, and what it holds is the user's
    return f"{name}{_format_value(getattr(value, '__dict__', {}), seen)}{_format_value(type(value), seen)}"


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


def _describe_class(kind: type, seen: frozenset[int] = frozenset()) -> str:
    """Methods by their own lines (of two classes of one name in a file, a class's source is the first one's)."""
    lines = []
    for key, value in sorted(vars(kind).items()):
        plain = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if isinstance(plain, FunctionType):
            lines.append(f"{key}: {_describe_function(plain, seen)}")
        elif key not in _CLASS_INTERNALS:
            lines.append(f"{key}={_format_value(value, seen)}")
    return "\n".join(lines)


def _describe_function(function: FunctionType, seen: frozenset[int] = frozenset()) -> str:
    """Source, byte code, and the values that the function computes with.

    The source alone does not do: the file may have been edited after it was imported. Byte code alone changes with
    Python's version, which is not part of an id; it is left out where the source can be had and still fits.
    """
    seen = seen | {id(function)}
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):
        text = ""
    if not _is_source_of(text, function):
        text = _describe_code(function.__code__)
    return f"{text}\n{_format_surroundings(function, seen)}"


def _is_source_of(text: str, function: FunctionType) -> bool:
    """Return whether a text compiles to the code that a function has in memory."""
    try:
        compiled = compile(textwrap.dedent(text), "<source>", "exec")
    except SyntaxError:  # part of a longer statement, as of a lambda in a call
        return False
    found = [code for code in _iterate_codes(compiled) if code.co_name == function.__code__.co_name]
    return any(_describe_code(code) == _describe_code(function.__code__) for code in found)


def _iterate_codes(code: CodeType) -> Iterator[CodeType]:
    """A code object and all those inside it."""
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _iterate_codes(each)


def _format_surroundings(function: FunctionType, seen: frozenset[int]) -> str:
    """Values that a function computes with: defaults, what it closes over, and globals of its file that it names."""
    cells = [cell.cell_contents for cell in function.__closure__ or () if is_filled(cell)]
    names = sorted({name for code in _iterate_codes(function.__code__) for name in code.co_names})
    used = {name: function.__globals__[name] for name in names if name in function.__globals__}
    # the source of modules counts in the digest of the model (``backbones.model_digest``)
    plain = {name: value for name, value in used.items() if not isinstance(value, ModuleType)}
    return _format_value([function.__defaults__, function.__kwdefaults__, cells, plain], seen)


def is_filled(cell: Any) -> bool:
    """Return whether a variable that a function closes over has a value yet."""
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _describe_code(code: CodeType) -> str:
    constants = [_describe_code(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
    return f"{code.co_name} {code.co_code.hex()} {code.co_names} {constants}"
