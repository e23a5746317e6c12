"""Report what is installed here, what is wrong with it, and how to fix it."""

from __future__ import annotations

import getpass
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from engine.processes.memory_allocator import computes_on_cpu, find_loaded_allocator, find_page_keeper
from engine.run_environment import get_git_state
from foundation.environment import get_cache_dir, get_weights_dir
from foundation.errors import UserError
from foundation.files import ensure_writable_dir
from foundation.package_versions import find_version, get_own_version
from foundation.plural import format_count

FindingState = Literal["ok", "note", "bad"]

# fork -> originals: both write to the same import names, and whichever was installed last wins silently
FORKED_PACKAGES = {
    "onedl-mmengine": ("mmengine", "mmengine-lite"),
    "onedl-mmcv": ("mmcv", "mmcv-lite", "mmcv-full"),
    "onedl-mmsegmentation": ("mmsegmentation",),
}
REQUIRED_PACKAGES = (
    *("torch", "torchvision", "timm", "safetensors", "huggingface-hub"),
    *FORKED_PACKAGES,
    *("pycocotools", "faster-coco-eval", "got10k", "six", "opencv-python"),
    *("numpy", "scipy", "scikit-learn", "scikit-image", "pillow", "matplotlib"),
    *("pydantic", "pyyaml", "rich", "filelock", "zstandard", "threadpoolctl", "jinja2", "shtab"),
)
"""The dependencies of pyproject.toml, but for those of old versions of Python and those that are listed as loggers."""

EXTRA_PACKAGES = {"deploy": ("onnx", "onnxruntime", "openvino"), "parquet": ("pyarrow",)}
LOGGERS = ("tensorboard", "wandb", "mlflow")
MIN_FREE_DISK_GIB = 5


class Finding(NamedTuple):
    """One thing that was checked.

    Attributes:
        name: what was checked.
        state: ``note`` is no fault: something optional is missing.
        detail: what was found.
        fix: for any state but ``ok``, how to fix it.
        shared_detail: what to show to others in place of ``detail``, where that names folders of the user's own.
    """

    name: str
    state: FindingState
    detail: str
    fix: str = ""
    shared_detail: str = ""


def diagnose_environment(data_root: Path, out: Path, device: str = "auto") -> list[Finding]:
    """Check everything that bench needs; nothing is changed, except that a test file is written to ``out``."""
    findings = [
        *_describe_machine(),
        _check_python(),
        *_check_packages(),
        *_check_forks(),
        *_check_torch(device),
        *_check_memory(device),
        *_check_extras(),
        *_check_folders(data_root, out),
    ]
    return [*findings, *_check_plugins()]


def make_shared_report(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """Return findings as they can be shown to others, such as in a public issue.

    Folders of data are counted and not named, the home folder is ``~``, the user's name ``USER``, and what stands
    before the ``@`` of an address is left out. No variable of the environment is in a finding in the first place.

    Args:
        findings: of ``diagnose_environment``.

    Returns:
        For each finding its ``name``, ``state``, ``detail`` and ``fix``, all text.
    """
    rows = [(f.name, f.state, f.shared_detail or f.detail, f.fix) for f in findings]
    return [dict(zip(("name", "state", "detail", "fix"), map(_hide_private_words, row), strict=True)) for row in rows]


def _hide_private_words(text: str) -> str:
    with suppress(RuntimeError, KeyError, OSError):  # a user of a container may have no home folder, or no name
        text = text.replace(str(Path.home()), "~")
    with suppress(KeyError, OSError, ImportError):
        # a folder of that name, such as /scratch/alice; a word in a sentence may be the same by chance
        text = re.sub(rf"(?<=[/\\]){re.escape(getpass.getuser())}(?=[/\\\s:;,]|$)", "USER", text)
    return re.sub(r"://[^/\s@]+@", "://", text)


def _describe_machine() -> Iterator[Finding]:
    source = get_git_state()
    # the package that pip installed has no commit: its version says which code it is
    commit = f", commit {source.commit[:12]}{' with changes' if source.dirty else ''}" if source.commit else ""
    yield Finding("bench", "ok", f"{get_own_version()}{commit}")
    yield Finding("system", "ok", f"{platform.platform()}, {platform.machine()}")


def _check_python() -> Finding:
    state: FindingState = "ok" if sys.version_info >= (3, 10) else "bad"
    return Finding("python", state, platform.python_version(), "" if state == "ok" else "use Python 3.10 or newer")


def _check_packages() -> Iterator[Finding]:
    for package in REQUIRED_PACKAGES:
        found = find_version(package)
        if found is None:
            yield Finding(package, "bad", "missing", f"pip install {package}")
        elif package == "torch" and found.split("+")[0] == "2.13.0":
            yield Finding(
                package,
                "bad",
                found,
                "torch 2.13.0 has no matching torchvision; pip install -U torch torchvision",
            )
        else:
            yield Finding(package, "ok", found)


def _check_forks() -> Iterator[Finding]:
    for fork, originals in FORKED_PACKAGES.items():
        for original in originals:
            if (found := find_version(original)) and find_version(fork):
                yield Finding(
                    f"{original} beside {fork}",
                    "bad",
                    f"{original} {found} installs over the same files",
                    f"pip uninstall -y {original} {fork} && pip install {fork}",
                )


def _check_torch(device: str) -> Iterator[Finding]:
    try:
        import torch
        import torchvision

        # a torchvision that does not fit to torch imports well and fails at its first compiled operator
        torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except (ImportError, RuntimeError, AttributeError) as error:
        first = str(error).splitlines()[0]
        yield Finding("torch and torchvision", "bad", first, "pip install -U torch torchvision")
        return
    yield Finding("threads", "ok", f"{torch.get_num_threads()} of {torch.multiprocessing.cpu_count()} cores")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        yield Finding("device", "ok", f"cuda {torch.version.cuda}: {', '.join(names)}")
    elif device == "cuda":
        yield Finding("device", "bad", "no CUDA device is visible", "install a GPU driver, or use --device cpu")
    elif torch.backends.mps.is_available():
        text = "mps: frozen backbones, bench evaluate, predict and track run there with --device mps; trainings do not"
        yield Finding("device", "ok", text)
    else:
        yield Finding(
            "device", "note", "cpu only", "full-length segmentation and tracking runs need a GPU to finish in days"
        )


def _check_memory(device: str) -> Iterator[Finding]:
    if not computes_on_cpu(device):
        return
    used, found = find_loaded_allocator(), find_page_keeper()
    if used or found:
        yield Finding("memory allocator", "ok", used or f"{found and found.library}: long CPU runs start with it")
    elif sys.platform == "linux":
        fix = (
            "install jemalloc (Debian, Ubuntu: apt install libjemalloc2; conda: jemalloc; pip: the package ray brings "
            "one, pip install 'litevit-bench[ray]')"
        )
        detail = "the system's; a training of segmentation or detection may take twice as long as with jemalloc"
        yield Finding("memory allocator", "note", detail, fix)


def _check_extras() -> Iterator[Finding]:
    for extra, packages in EXTRA_PACKAGES.items():
        missing = [package for package in packages if find_version(package) is None]
        if missing:
            fix = f"if you need it: pip install 'litevit-bench[{extra}]'"
            yield Finding(f"extra {extra}", "note", f"{', '.join(missing)} not installed", fix)
        else:
            yield Finding(f"extra {extra}", "ok", ", ".join(f"{p} {find_version(p)}" for p in packages))
    for logger in LOGGERS:
        found = find_version(logger)
        fix = "" if found else f"if you want it: pip install {logger}"
        yield Finding(f"logger {logger}", "ok" if found else "note", found or "not installed", fix)


def _check_folders(data_root: Path, out: Path) -> Iterator[Finding]:
    if data_root.is_dir():
        sets = sorted(path.name for path in data_root.iterdir() if path.is_dir())
        counted = f"{data_root}: {format_count(len(sets), 'folder')}"
        yield Finding("data root", "ok", f"{data_root}: {', '.join(sets) or 'empty'}", shared_detail=counted)
    else:
        fix = "name it with --data-root or $BENCH_DATA; tasks on embedded data need none"
        yield Finding("data root", "note", f"{data_root} does not exist", fix)
    yield Finding(
        "weights folder", "ok", f"{get_weights_dir()}{'' if get_weights_dir().is_dir() else ' (not there yet)'}"
    )
    yield Finding("cache folder", "ok", f"{get_cache_dir()}{'' if get_cache_dir().is_dir() else ' (not there yet)'}")
    try:
        ensure_writable_dir(out)
    except UserError as error:
        yield Finding("output folder", "bad", str(error), "name another one with --out")
        return
    free = shutil.disk_usage(out).free / 2**30
    low = free < MIN_FREE_DISK_GIB
    fix = "runs keep checkpoints; free some space or choose --out elsewhere" if low else ""
    yield Finding("output folder", "note" if low else "ok", f"{out}, {free:.0f} GiB free", fix)


def _check_plugins() -> Iterator[Finding]:
    from backbones.registry import BACKBONES
    from benchmarks.task_registry import TASKS

    for entry in (*BACKBONES.list_entries(), *TASKS.list_entries()):
        if entry.error is not None:
            yield Finding(f"plug-in {entry.name}", "bad", entry.error, f"fix or uninstall {entry.origin}")
