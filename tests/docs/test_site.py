"""What ``make docs`` does to pages: lists, links, formulas, notebooks, and no request to another host."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT
from tests.limits import HANG_SECONDS

HOOKS = ROOT / "docs" / "hooks"


def load_hook(name: str) -> ModuleType:
    """A module of docs/hooks, which is no package."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", HOOKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The hook."""
    monkeypatch.syspath_prepend(str(HOOKS))
    return load_hook("site")


INDENTS = [
    ("text\n- a\n- b", "text\n\n- a\n- b"),
    ("- a\n  goes on\n- b", "- a\n    goes on\n- b"),
    ("- a\n  - b\n    goes on\n- c", "- a\n    - b\n        goes on\n- c"),
    ("1. a\n\n   ```bash\n   ls\n     x\n   ```\n\nend", "1. a\n\n    ```bash\n    ls\n      x\n    ```\n\nend"),
    ("- a:\n\n  | b | c |\n  | - | - |\n\nend", "- a:\n\n    | b | c |\n    | - | - |\n\nend"),
    ("```text\n- a\n  - b\n```", "```text\n- a\n  - b\n```"),
    ("- a\n\nend\n  more", "- a\n\nend\n  more"),
]


@pytest.mark.parametrize("markdown, wanted", INDENTS)
def test_lists_are_indented_for_the_site(markdown: str, wanted: str) -> None:
    assert load_hook("list_indents").indent_lists(markdown) == wanted


def test_links_out_of_the_pages_are_rewritten(site: ModuleType) -> None:
    text = "[a](../../README.md#install) [`b`](../reference/cli.md) [c](../../results/x.txt) [d](https://e.f) [g](#h)"
    kept = "[`b`](../reference/cli.md)"

    def rewrite(repository: str) -> str:
        return site.rewrite_outside_code(text, lambda part: site.rewrite_links(part, "guides/plan.md", repository))

    plain = f"[a](../index.md#install) {kept} c (`results/x.txt` in the repository) [d](https://e.f) [g](#h)"
    assert rewrite("") == plain
    assert "[c](https://host/x/results/x.txt)" in rewrite("https://host/x")
    assert (
        site.rewrite_outside_code("`[a](../../LICENSE)`", lambda part: part.replace("a", "b")) == "`[a](../../LICENSE)`"
    )
    assert site.rewrite_links("[n](notebooks/a.ipynb)", "index.md", "") == "[n](notebooks/a.md)"


def test_pages_that_load_from_other_hosts_are_found(site: ModuleType) -> None:
    loads = '<script src="https://a.b/c.js"></script><img src="//d.e/f.png"><style>@import "https://g.h/i.css"</style>'
    assert site.list_foreign_loads(loads) == ["https://a.b/c.js", "//d.e/f.png", "https://g.h/i.css"]
    assert site.list_foreign_loads('<link rel="stylesheet" href="https://a.b/c.css">') == ["https://a.b/c.css"]
    # links that a reader follows, and files of the site, are fine
    assert site.list_foreign_loads('<a href="https://a.b">x</a><script src="../c.js"></script>') == []
    assert site.list_foreign_loads('<link rel="canonical" href="https://a.b/">') == []


def test_formulas_become_mathml(site: ModuleType) -> None:
    pytest.importorskip("latex2mathml")
    found = site.write_formulas("for $x_i$ and US$ 5, $$ a = b $$")
    assert found.count("<math") == 2 and "US$ 5" in found
    assert "<msub>" in found and 'display="block"' in found


def test_notebooks_become_pages() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# A\n", "b"]},
        {"cell_type": "code", "source": "1 + 1", "outputs": [{"data": {"text/plain": ["2"]}}]},
        {"cell_type": "code", "source": "draw()", "outputs": [{"data": {"image/png": "AAAA", "text/plain": "x"}}]},
    ]
    page = load_hook("notebook_page").render_notebook(json.dumps({"cells": cells}))
    assert page.startswith("# A\nb\n\n```python\n1 + 1\n```\n\n```text\n2\n```\n\n```python\ndraw()\n```\n\n<img ")
    assert "base64,AAAA" in page


def test_every_page_is_in_the_navigation() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    named = set(re.findall(r"^ *- .*?([\w/.-]+\.md)$", nav, re.MULTILINE))
    docs = ROOT / "docs"
    pages = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")} - {"README.md"}
    pages |= {path.relative_to(docs).with_suffix(".md").as_posix() for path in docs.rglob("*.ipynb")}
    assert named == pages


def test_requirements_of_the_site_are_its_extra() -> None:
    lines = load_hook("requirements").list_requirements()
    names = {re.split(r"[<>=\[]", line)[0] for line in lines if not line.startswith("-c")}
    assert {"mkdocs", "mkdocs-material", "mkdocstrings"} <= names
    assert "mkdocs>=1.6,<2" in lines and not names & {"torch", "litevit-bench"}


@pytest.mark.soak
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """Only where the extra ``docs`` is installed; ``make docs`` has an environment of its own."""
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    assert (tmp_path / "site" / "index.html").is_file()
