"""Start a long run on the CPU again, once, with a memory allocator that keeps the pages of freed tensors.

glibc gives every large tensor that is freed back to the kernel, which clears the pages before the next one gets them.
A training step of UperNet at 512 px takes and frees several times its memory, and up to half of its time goes there.
jemalloc and tcmalloc keep the pages, at the same peak of memory; docs/explanation/measurements.md has both.

glibc can be told to keep them (``mallopt``: M_MMAP_MAX=0, M_TRIM_THRESHOLD=-1), but not at the same peak: an aligned
block of S bytes is cut out of one of S + 96, so a freed one is too small for the next of its size until the splinters
beside it are merged with it, which the lists for small blocks (fastbins) prevent. Memory grew at each step. With
M_MXFAST=0 it stops, but up to 40 % higher than before, since glibc fills the place of a large block with small ones.

Which allocator a process has cannot be changed once it runs, hence the new start. Imports no torch.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from foundation.environment import NO_RESTART_VAR

_JEMALLOC = {"MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1,narenas:1"}
"""Give nothing back; and one arena, so that a tensor can take the place of one that another thread freed."""

_TCMALLOC = {"TCMALLOC_RELEASE_RATE": "0", "TCMALLOC_LARGE_ALLOC_REPORT_THRESHOLD": str(1 << 40)}
"""Give nothing back; and do not report each tensor of more than a gigabyte on stderr."""

_KNOWN_ALLOCATORS = re.compile(r"lib(?:jemalloc|tcmalloc|mimalloc|tbbmalloc)[\w.-]*")


class PageKeeper(NamedTuple):
    """An allocator that keeps pages: its shared library, and the variables by which it is told to."""

    library: Path
    variables: Mapping[str, str]


def find_page_keeper() -> PageKeeper | None:
    """Find an allocator that can be loaded before a program: jemalloc, also that of the package ray, or tcmalloc."""
    try:
        os.confstr("CS_GNU_LIBC_VERSION")
    # not on Linux, or not with glibc: musl knows the name and refuses it with an error of the system
    except (AttributeError, ValueError, OSError):
        return None
    for library, variables in _iter_libraries():
        # LD_PRELOAD is a list whose separators cannot be quoted
        if library.is_file() and not re.search(r"[\s:]", str(library)):
            return PageKeeper(library, variables)
    return None


def _iter_libraries() -> Iterator[tuple[Path, Mapping[str, str]]]:
    folders = [Path(sys.prefix, "lib"), Path("/usr/lib", f"{platform.machine()}-linux-gnu")]
    folders += [Path("/usr/lib64"), Path("/usr/lib"), Path("/usr/local/lib")]
    for folder in folders:
        yield from ((path, _JEMALLOC) for path in sorted(folder.glob("libjemalloc.so*")))
    ray = importlib.util.find_spec("ray")  # found, not imported
    for place in (ray and ray.submodule_search_locations) or ():
        yield Path(place, "core", "libjemalloc.so"), _JEMALLOC
    for folder in folders:
        yield from ((path, _TCMALLOC) for path in sorted(folder.glob("libtcmalloc*.so*")) if "debug" not in path.name)


def find_loaded_allocator() -> str | None:
    """Return the file name of the allocator that this process uses in place of the system's, ``None`` without."""
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not on Linux
        return None
    # openvino loads a tbbmalloc for itself: what counts is what was loaded before the program
    names = [match[0] for match in _KNOWN_ALLOCATORS.finditer(os.environ.get("LD_PRELOAD", ""))]
    return next((name for name in names if name in maps), None)


def make_restart_environment(device: str, environment: Mapping[str, str] = os.environ) -> dict[str, str] | None:
    """Return the variables to start this process with again, or ``None`` where it should go on as it is.

    Args:
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``.
        environment: the variables of this process.

    Raises:
        UserError: ``$BENCH_NO_RESTART`` is neither a yes nor a no.
    """
    if NO_RESTART_VAR.read_switch() or not computes_on_cpu(device, environment):
        return None
    preloaded = environment.get("LD_PRELOAD", "")
    # somebody has made the choice
    if _KNOWN_ALLOCATORS.search(preloaded) or (found := find_page_keeper()) is None:
        return None
    preload = f"{found.library} {preloaded}".strip()
    # the first variable is the mark against a second restart, here and in the processes that this one starts
    return {**found.variables, **environment, NO_RESTART_VAR.name: "1", "LD_PRELOAD": preload}


def computes_on_cpu(device: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether no GPU will be used, as far as that is known without torch."""
    if device != "auto" or environment.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return device in ("auto", "cpu")
    return not any(Path(name).exists() for name in ("/dev/nvidiactl", "/dev/kfd"))  # of CUDA and ROCm


def can_start(environment: Mapping[str, str]) -> bool:
    """Return whether Python starts with these variables, without a word.

    A library for another kind of processor is only complained of, but jemalloc ends every program on a machine whose
    memory pages are larger than those that it was built for.
    """
    try:
        probe = subprocess.run([sys.executable, "-S", "-c", ""], env=environment, capture_output=True)
    except OSError:
        return False
    return probe.returncode == 0 and not probe.stderr


def can_repeat_command() -> bool:
    """Return whether the same command line would do the same again.

    A program that Python read from stdin is used up: a second start would find it empty, do nothing and report success.
    """
    program = getattr(sys.modules["__main__"], "__file__", None)
    return program is not None and Path(program).is_file()


def restart_process(environment: Mapping[str, str]) -> None:
    """Replace this process by the same command with other variables; it returns only where that is impossible.

    Process id, open streams, folder and ignored signals stay. Call it before a handler is set or a thread is started.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(sys.executable, sys.orig_argv, environment)  # noqa: S606 - the command that started this process
    except OSError:
        return  # such as a list of variables that is too long: the run works without as well
