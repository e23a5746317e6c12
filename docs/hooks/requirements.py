"""Print what the site of the documentation is built with: the extra ``docs``, at the locked versions where they fit.

pip would install torch with ``pip install '.[docs]'``, and the constraints of requirements.lock fit Python 3.11 on.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def list_requirements() -> list[str]:
    """The lines of a requirements file: those of the extra, and the lock as constraints where it fits this Python."""
    # the standard library reads TOML from Python 3.11 on; the list of the extra is plain enough to be read by hand
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^docs = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    if block is None:
        raise SystemExit("pyproject.toml has no extra docs")
    constraints = [f"-c {ROOT / 'requirements.lock'}"] if sys.version_info >= (3, 11) else []
    return [*constraints, *re.findall(r'^\s*"([^"]+)"', block[1], re.MULTILINE)]


if __name__ == "__main__":
    sys.stdout.write("\n".join(list_requirements()) + "\n")
