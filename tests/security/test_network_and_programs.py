"""No verb uses the network unless it was asked for weights or data, starts a shell, or takes a name in a shared folder.

Every verb of ``benchmarks/cli/verbs.py`` runs once in a process that an audit hook watches (``watch_verbs``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks.cli.verbs import VERBS
from tests.conftest import ROOT
from tests.limits import HANG_SECONDS
from tests.security.audit import audit_events
from tests.security.watch_verbs import HUB_LINE, LINES

PROGRAMS = {
    ("git", "-C", str(ROOT), "rev-parse", "HEAD"),  # bench's own source: engine.run_environment
    ("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no"),
    ("uname", "-p"),  # Python's platform module
    ("ldconfig", "-p"),  # Python's ctypes
    ("fc-list", "--help"),  # matplotlib, when it first looks for fonts
    ("fc-list", "--format=%{file}\\n"),
}
"""All that may be started, word by word: no shell, and no word of the user's."""


class Watched(NamedTuple):
    """What happened during one command line."""

    verb: str
    line: str
    code: int
    events: list[list[Any]]


class Report(NamedTuple):
    """What all lines did, and the folders they worked in."""

    lines: list[Watched]
    temporary: Path
    home: Path
    errors: str


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Run all verbs in one process."""
    base = tmp_path_factory.mktemp("watched")
    work, temporary, home, log = (base / name for name in ("work", "tmp", "home", "log"))
    for folder in (work, temporary, home):
        folder.mkdir()
    log.touch()
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL")}
    env = kept | {
        "PYTHONPATH": os.pathsep.join([str(Path(audit_events.__file__).parent), str(ROOT)]),
        "OMP_NUM_THREADS": "1",
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "BENCH_CACHE": str(base / "cache"),
        "BENCH_AUDIT_LOG": str(log),
    }
    words = [sys.executable, "-m", "tests.security.watch_verbs"]
    done = subprocess.run(words, cwd=work, env=env, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert done.returncode == 0, done.stderr[-3000:]
    lines: list[Watched] = []
    for event, *values in map(json.loads, log.read_text().splitlines()):
        if event == "line":
            lines.append(Watched(values[0], values[1], -1, []))
        elif event == "code":
            lines[-1] = lines[-1]._replace(code=values[0])
        elif lines:
            lines[-1].events.append([event, *values])
    return Report(lines, temporary, home, done.stderr)


def test_every_verb_has_a_line_and_works(report: Report) -> None:
    assert {verb for verb, _ in LINES} == set(VERBS), "a new verb needs a line in tests/security/watch_verbs.py"
    failed = [each.line for each in report.lines if each.verb in VERBS and each.code != 0]
    assert not failed, f"{failed}: {report.errors[-3000:]}"


def test_nothing_asks_the_network_but_the_hub_on_request(report: Report) -> None:
    asked = {each.line: [event for event in each.events if event[0] in audit_events.NETWORK] for each in report.lines}
    hub = asked.pop(HUB_LINE)
    assert not any(asked.values()), asked
    assert {event[0] for event in hub} == {"socket.getaddrinfo"} and all("huggingface.co" in event for event in hub)


def test_no_shell_and_only_known_programs(report: Report) -> None:
    started = {
        (Path(event[1]).name, *event[2:]): each.line
        for each in report.lines
        for event in each.events
        if event[0] in audit_events.PROGRAMS
    }
    unknown = {words: line for words, line in started.items() if words not in PROGRAMS}
    assert not unknown, unknown
    assert any(words[0] == "git" for words in started) or not (ROOT / ".git").exists(), "the hook sees programs"


def test_the_shared_folder_holds_only_private_names(report: Report) -> None:
    """A name that can be foreseen can be taken by another user, as a link to a file of the victim's."""
    events = [event for each in report.lines for event in each.events]
    folders = [event for event in events if event[0] == "os.mkdir"]
    assert folders, "the hook sees folders"
    assert all(mode == 0o700 for _, _, mode in folders), folders
    files = [event for event in events if event[0] == "open"]
    assert all(flags & os.O_EXCL for _, _, flags in files), files
    assert not list(report.temporary.iterdir())


def test_libraries_leave_nothing_of_telemetry_at_home(report: Report) -> None:
    """ONNX Runtime keeps an id of the machine in ~/.cache/Microsoft if it reports; YAPF and matplotlib keep caches."""
    found = {path.relative_to(report.home).as_posix() for path in report.home.glob(".*/*")}
    assert found <= {".cache/YAPF", ".cache/matplotlib", ".config/matplotlib"}
