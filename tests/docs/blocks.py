"""The fenced blocks of the pages, and what the tests do with each of them.

A block of ``bash``, ``console`` or ``python`` is executed, unless the line before its fence is one of these comments:

``<!-- soak: REASON -->``      executed by ``make soak`` only
``<!-- planned: REASON -->``   the commands are parsed, and what they would run is planned
``<!-- not run: REASON -->``   the commands are parsed, no more (tests/test_docs.py)
``<!-- fails -->``             the command is executed and refused with what the next block of ``text`` says
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from tests.conftest import ROOT

Mode = Literal["executed", "soak", "planned", "not run", "fails"]

RUNNABLE = ("bash", "console", "python")
MARK = re.compile(r"\s*<!-- (soak|planned|not run|fails)(?:: (.*\S))? -->\s*")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]

GENERATED_MARKS: dict[str, tuple[Mode, str]] = {
    "bench evaluate imagenet": ("not run", "needs ImageNet and weights"),
    "bench choose --task imagenet": ("not run", "needs evaluations on ImageNet"),
    "bench score lasot": ("not run", "needs LaSOT"),
    "bench merge runs colleague": ("not run", "needs a second store; tests/benchmarks/transfer merges"),
    "bench get weights mae_tiny": ("not run", "needs the network"),
    "bench submit runs": ("not run", "needs a clean history of the repository"),
    "bench demo": ("not run", "takes two minutes; CI runs it"),
    "bench sweep": ("planned", "starts processes of its own; tests/benchmarks/matrix sweeps"),
    "bench add backbone": ("not run", "docs/guides/your-checkpoint.md adds two"),
    "bench analyze data-scale": ("soak", "is four runs"),
    "bench analyze layers": ("soak", "fits ten classifiers"),
    "bench profile": ("soak", "times two networks; docs/quickstart/engineer.md times three"),
    "bench export": ("soak", "docs/guides/export.md exports the same"),
    "bench verify": ("soak", "docs/notebooks/new-checkpoint.ipynb verifies"),
}
"""Marks for the examples of ``docs/reference/cli.md``, which is generated and cannot hold comments; by their start."""


class Block(NamedTuple):
    """A fenced block of a page.

    Attributes:
        page: its page.
        line: number of its first line of content.
        language: the word after the fence.
        text: its content.
        mode: what the tests do with it.
        reason: why it is not executed; "" where it is.
    """

    page: Path
    line: int
    language: str
    text: str
    mode: Mode
    reason: str

    @property
    def place(self) -> str:
        """Page and line, for messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def read_blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page with their marks, outputs (``text``) included."""
    blocks: list[Block] = []
    before, fence = "", None
    content: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            if fence is None:
                fence, content = (number + 1, line.strip().removeprefix("```"), len(line) - len(line.lstrip())), []
                mark = before
            else:
                start, language, indent = fence
                text = "\n".join(row[indent:] for row in content)
                blocks.append(Block(page, start, language, text, *read_mark(mark, page, language, text)))
                fence = None
        elif fence is not None:
            content.append(line)
        before = line
    return blocks


def read_mark(line: str, page: Path, language: str, text: str) -> tuple[Mode, str]:
    """The mode and the reason that the line before a fence gives.

    Raises:
        ValueError: a mark without a reason, or before a block that is not executed anyway.
    """
    found = MARK.fullmatch(line)
    if found is None:
        if page.name == "cli.md":
            return next((mark for start, mark in GENERATED_MARKS.items() if text.startswith(start)), ("executed", ""))
        return "executed", ""
    word, reason = found[1], found[2] or ""
    if language not in RUNNABLE:
        raise ValueError(f"{page.name}: a block of {language or 'no language'} is never run; drop {line.strip()}")
    if bool(reason) == (word == "fails"):
        raise ValueError(f"{page.name}: {line.strip()} needs a reason, and fails takes none")
    return word, reason  # type: ignore[return-value]


def list_runnable(pages: list[Path] | None = None) -> list[Block]:
    """The blocks of commands and of Python on all pages."""
    blocks = [block for page in pages or PAGES for block in read_blocks(page)]
    return [block for block in blocks if block.language in RUNNABLE]


def iter_commands(block: Block) -> Iterator[list[str]]:
    """The command lines of a block as words, without comments; continued lines are joined."""
    for line in block.text.replace("\\\n", "").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if words:
            yield words


def describe_counts(blocks: list[Block]) -> str:
    """The sentence of the page about the tests of these pages."""
    count = Counter(block.mode for block in blocks)
    return (
        f"Of {len(blocks)} blocks of commands and Python, {count['executed'] + count['fails'] + count['soak']} are "
        f"executed\n({count['fails']} of them to be refused as printed, {count['soak']} by `make soak` alone), "
        f"{count['planned']} are planned only, and\n{count['not run']} are not run."
    )
