"""What ``make docs`` does to the pages beside MkDocs: the same files read well on a code host and on the site.

1. Links to files outside of ``docs/`` lead to the repository (``extra.repository`` in ``mkdocs.yml``), or become plain
   text with the path where no address is set. Links to ``README.md`` lead to the home page.
2. Lists and their indents are CommonMark on a code host; Python-Markdown wants four spaces for each level.
3. Formulas become MathML, which browsers draw by themselves: no script is loaded.
4. Notebooks become pages.
5. A page that would load anything from another host ends the build.
"""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from list_indents import indent_lists
from notebook_page import render_notebook

LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
CODE = re.compile(r"(```.*?```|``[^`]+``|`[^`\n]+`)", re.DOTALL)
DISPLAY_MATH = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
INLINE_MATH = re.compile(r"(?<![\\$\w])\$([^$\s](?:[^$]*?[^$\s])?)\$(?![\w$])")
LOADING = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src", "video": "src"}
"""The attribute by which an element loads something."""


def on_files(files: Any, config: Any) -> Any:
    """Add a page for each notebook."""
    from mkdocs.structure.files import File

    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            page = file.src_uri.removesuffix(".ipynb") + ".md"
            text = render_notebook(Path(file.abs_src_path).read_text(encoding="utf-8"))
            files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Rewrite links, lists and formulas of a page."""
    if page.is_homepage:
        page.meta["hide"] = ["navigation"]  # its only entry would be the page itself
    repository = config["extra"].get("repository", "")
    text = rewrite_outside_code(markdown, lambda part: rewrite_links(part, page.file.src_uri, repository))
    return rewrite_outside_code(indent_lists(text), write_formulas)


def on_post_build(config: Any) -> None:
    """Refuse a site that would load something from another host."""
    from mkdocs.exceptions import PluginError

    site = Path(config["site_dir"])
    found = {str(path.relative_to(site)): list_foreign_loads(path.read_text("utf-8")) for path in site.rglob("*.html")}
    if faults := {path: loads for path, loads in found.items() if loads}:
        some = ", ".join(f"{path} loads {loads[0]}" for path, loads in sorted(faults.items())[:3])
        raise PluginError(f"{len(faults)} pages load from other hosts: {some}")


def rewrite_outside_code(text: str, change: Callable[[str], str]) -> str:
    """Apply a function to a text in which blocks and spans of code are hidden."""
    hidden: list[str] = []

    def hide(found: re.Match[str]) -> str:
        hidden.append(found[0])
        return f"\ue000{len(hidden) - 1}\ue001"

    changed = change(CODE.sub(hide, text))
    return re.sub("\ue000(\\d+)\ue001", lambda found: hidden[int(found[1])], changed)


def rewrite_links(text: str, source: str, repository: str) -> str:
    """Make links of a page fit for the site.

    Args:
        text: Markdown in which code is hidden.
        source: path of the page below ``docs/``.
        repository: address of the repository's files, without a slash at the end; "" for none.
    """

    def replace(found: re.Match[str]) -> str:
        label, target = found[1], found[2]
        if "://" in target or target.startswith(("#", "mailto:")):
            return found[0]
        path, _, anchor = target.partition("#")
        place = posixpath.normpath(posixpath.join("docs", posixpath.dirname(source), path))
        if place in ("README.md", "docs/README.md"):
            home = posixpath.relpath("index.md", posixpath.dirname(source) or ".")
            return f"[{label}]({home}{'#' + anchor if anchor else ''})"
        if place.endswith(".ipynb"):
            return f"[{label}]({path.removesuffix('.ipynb')}.md)"
        if place.startswith("docs/"):
            return found[0]
        return f"[{label}]({repository}/{place})" if repository else f"{label} (`{place}` in the repository)"

    return LINK.sub(replace, text)


def write_formulas(text: str) -> str:
    """Replace formulas between dollars by MathML."""
    from latex2mathml.converter import convert

    def draw(source: str, display: str) -> str:
        # one line, so that Markdown sees one piece of HTML and no emphasis or list in it
        return " ".join(convert(" ".join(source.split()), display=display).split())

    text = DISPLAY_MATH.sub(lambda found: f'\n\n<div class="formula">{draw(found[1], "block")}</div>\n\n', text)
    return INLINE_MATH.sub(lambda found: draw(found[1], "inline"), text)


class _Loads(HTMLParser):
    """Collects what a page would load from other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at the one attribute that loads; links that a reader follows load nothing."""
        values = dict(attrs)
        if tag == "link" and values.get("rel") in ("canonical", "prev", "next", "alternate"):
            return
        address = values.get(LOADING.get(tag, "")) or ""
        if re.match(r"(https?:)?//", address):
            self.found.append(address)


def list_foreign_loads(html: str) -> list[str]:
    """The addresses on other hosts from which a browser would load something for a page."""
    parser = _Loads()
    parser.feed(html)
    # stylesheets in the page, and fonts in them
    styles = re.findall(r"(?:@import|url\()\s*[\"']?((?:https?:)?//[^\"')\s]+)", html)
    return [*parser.found, *styles]
