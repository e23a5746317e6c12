"""Make sure that a worker on any machine runs the driver's code and sees the driver's folders. Imports no torch."""

from __future__ import annotations

import functools
import os
import platform
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from foundation.environment import ENVIRONMENT_VARIABLES, OFFLINE_VAR
from foundation.errors import UserError
from foundation.files import ensure_writable_dir, sha256_chunks, write_atomic
from foundation.package_versions import get_own_version

ROOMS = (
    *("foundation", "backbones", "results", "engine", "deployment", "pretraining", "classification"),
    *("segmentation", "detection", "tracking", "analysis", "benchmarks", "litevit_bench"),
)
"""The packages that bench consists of."""

_HOME = Path(__file__).resolve().parents[3]
"""The folder that holds all packages of bench."""

_SHARED_DISK_SECONDS = 5.0
"""How long a network disk may take to show a new file on another machine."""


class WrongWorkerError(UserError):
    """A machine that should run cells has another bench, or does not share the driver's folder."""


@dataclass(frozen=True)
class DriverMark:
    """What a worker compares itself with; it can be pickled.

    Attributes:
        version: version of bench in the driver.
        code: digest of bench's source in the driver.
        file: a file that the driver wrote into the folder of the sweep.
    """

    version: str
    code: str
    file: Path


def write_driver_mark(folder: Path) -> DriverMark:
    """Write a file that every worker must see, and describe the driver.

    Args:
        folder: absolute path of a folder that all machines share.

    Raises:
        UserError: the folder cannot be written.
    """
    ensure_writable_dir(folder)
    # a new name each time: a network disk may remember for a while that a file was not there
    file = folder / f"driver-{uuid.uuid4().hex}"
    write_atomic(file, f"process {os.getpid()} of {platform.node()}\n")
    return DriverMark(get_own_version(), hash_bench_code(), file)


def require_driver_mark(mark: DriverMark) -> None:
    """Pass if this process runs the driver's code and sees the driver's file.

    Raises:
        WrongWorkerError: naming this machine, what is wrong, and what to do.
    """
    for room in ROOMS:
        if (hiding := _find_hiding_place(room)) is not None:
            raise WrongWorkerError(
                f"on {platform.node()}, {hiding} hides the part {room!r} of bench; rename it, or start the command in "
                "another folder (Ray adds the current folder to Python's path)"
            )
    code = hash_bench_code()
    if code != mark.code:
        raise WrongWorkerError(
            f"{platform.node()} has bench {get_own_version()} (code {code[:8]}), and the driver has bench "
            f"{mark.version} (code {mark.code[:8]}); install the same bench on every machine"
        )
    if not _wait_for_file(mark.file):
        raise WrongWorkerError(
            f"{platform.node()} does not see the folder {mark.file.parent} of the driver; name a folder on a disk that "
            "all machines share with --out"
        )


def list_driver_variables() -> dict[str, str]:
    """Return bench's environment variables as they count on every machine, paths made absolute.

    A variable that is not set here is empty there, which means the same.
    """
    variables = {}
    for variable in ENVIRONMENT_VARIABLES:
        path = None if variable is OFFLINE_VAR else variable.read_path()
        variables[variable.name] = str(path.absolute()) if path else ""
    variables[OFFLINE_VAR.name] = os.environ.get(OFFLINE_VAR.name, "")
    # switch_network_off sets them beside bench's own
    return variables | {name: os.environ[name] for name in ("HF_HUB_OFFLINE", "WANDB_MODE") if name in os.environ}


@functools.lru_cache(maxsize=1)
def hash_bench_code() -> str:
    """Return the digest of the source that this process imports under the names of bench's packages.

    A version says too little: two checkouts of one version differ, and a file of somebody else's may hide a package.
    """
    return sha256_chunks(_iterate_source())


def _iterate_source() -> Iterator[bytes]:
    for room in ROOMS:
        spec = find_spec(room)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            for path in sorted(Path(place).rglob("*.py")):
                content = path.read_bytes()
                yield f"{room}/{path.relative_to(place).as_posix()} {len(content)}\n".encode()
                yield content


def _find_hiding_place(room: str) -> str | None:
    """Return what Python takes for a package of bench, if it is not beside the package of this module."""
    spec = find_spec(room)
    if spec is None or spec.origin is None:
        return "an incomplete installation"
    is_own = Path(spec.origin).resolve() == _HOME / room / "__init__.py"
    return None if is_own else spec.origin


def _wait_for_file(file: Path) -> bool:
    end = time.monotonic() + _SHARED_DISK_SECONDS
    while not file.exists():
        if time.monotonic() > end:
            return False
        time.sleep(0.5)
    return True
