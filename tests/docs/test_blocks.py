"""Every block of commands and of Python on the pages is executed, planned, or marked with the reason why not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from backbones.registry import BACKBONES
from tests.conftest import ROOT
from tests.docs.blocks import Block, iter_commands, list_runnable, read_blocks
from tests.docs.count_blocks import HOME, fill_home
from tests.docs.workplace import Workplace, make_environment
from tests.house_metrics import ROOMS

BLOCKS = list_runnable()


def list_pages(*modes: str) -> list[Path]:
    """The pages that have a block of one of these modes."""
    return sorted({block.page for block in BLOCKS if block.mode in modes})


def name_page(page: Path) -> str:
    """For the ids of tests."""
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """Makes what several pages name, once."""
    return Workplace(tmp_path_factory.mktemp("workshop"))


@pytest.fixture
def place(workshop: Workplace, tmp_path: Path) -> Workplace:
    """The folder of one page."""
    return Workplace(tmp_path / "work", workshop)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in make_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BENCH_CARDS", str(tmp_path / "cards"))
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path / "weights"))
    # weights that the user has fetched are not there either
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    # what a page adds to the registry leaves with it
    monkeypatch.setattr(BACKBONES, "_targets", dict(BACKBONES._targets))
    monkeypatch.setattr(BACKBONES, "_loaded", dict(BACKBONES._loaded))


def run_page(page: Path, place: Workplace, *modes: str) -> None:
    """Execute the blocks of a page that have one of these modes, in their order, with one set of names."""
    names: dict[str, Any] = {}
    for block in BLOCKS:
        if block.page == page and block.mode in modes:
            if block.language == "python":
                place.run_python(block, names)
            else:
                place.run_block(block)


@pytest.mark.parametrize("page", list_pages("executed"), ids=name_page)
def test_blocks_are_executed(page: Path, place: Workplace) -> None:
    run_page(page, place, "executed")


@pytest.mark.soak
@pytest.mark.parametrize("page", list_pages("soak"), ids=name_page)
def test_slow_blocks_are_executed(page: Path, place: Workplace) -> None:
    run_page(page, place, "executed", "soak")


@pytest.mark.parametrize("page", list_pages("planned"), ids=name_page)
def test_blocks_are_planned(page: Path, place: Workplace) -> None:
    for block in BLOCKS:
        if block.page == page and block.mode == "planned":
            place.plan_block(block)


@pytest.mark.parametrize("page", list_pages("fails"), ids=name_page)
def test_refusals_are_as_printed(page: Path, place: Workplace) -> None:
    """A block that fails is followed by what is printed; " ... " in it stands for anything."""
    blocks = read_blocks(page)
    for block, output in zip(blocks, [*blocks[1:], None], strict=True):
        if block.mode == "fails":
            assert output is not None and output.language == "text", f"{block.place}: no output follows"
            place.run_refusal(block, output.text)


def test_sentences_that_cannot_be_provoked_are_in_the_source() -> None:
    """Those of the table at the end of the page; code in backquotes that is no command."""
    table = (ROOT / "docs" / "guides" / "troubleshooting.md").read_text(encoding="utf-8").partition("## The machine")[2]
    first_cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| ")]
    sentences = [found for cell in first_cells for found in re.findall(r"`([^`]+ [^`]+)`", cell)]
    assert len(sentences) == 1
    source = "\n".join(path.read_text() for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))
    source = re.sub(r'"\s*f?"', "", source)  # a text over two lines
    assert [part for text in sentences for part in text.split(" ... ") if part not in source] == []


def test_counts_on_the_home_page_are_those_of_today() -> None:
    text = HOME.read_text(encoding="utf-8")
    assert fill_home(text) == text, "run python -m tests.docs.count_blocks"


def test_most_blocks_are_executed() -> None:
    assert sum(block.mode in ("executed", "fails") for block in BLOCKS) > len(BLOCKS) / 2


# What the scanner finds


def write_page(folder: Path, text: str) -> list[Block]:
    """The blocks of a page with a text."""
    page = folder / "page.md"
    page.write_text(text)
    return read_blocks(page)


def test_marks_are_read(tmp_path: Path) -> None:
    item = "- item\n\n  <!-- planned: days -->\n  ```bash\n  bench run \\\n    x\n  ```\n"
    first, second = write_page(tmp_path, f"A:\n```bash\nbench list tasks\n```\n{item}")
    assert (first.mode, first.line, first.text) == ("executed", 3, "bench list tasks")
    assert (second.mode, second.reason, second.text) == ("planned", "days", "bench run \\\n  x")
    assert list(iter_commands(second)) == [["bench", "run", "x"]]


@pytest.mark.parametrize(
    "text, fault",
    [
        ("<!-- not run -->\n```bash\nls\n```\n", "needs a reason"),
        ("<!-- planned -->\n```bash\nls\n```\n", "needs a reason"),
        ("<!-- fails: because -->\n```bash\nls\n```\n", "takes none"),
        ("<!-- not run: output -->\n```text\nls\n```\n", "is never run"),
    ],
)
def test_a_mark_without_a_reason_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        write_page(tmp_path, text)


def test_a_block_that_fails_is_found(tmp_path: Path, place: Workplace) -> None:
    (block,) = write_page(tmp_path, "```bash\nbench list nonsense\n```\n")
    with pytest.raises(AssertionError, match="ends with code 2"):
        place.run_block(block._replace(page=ROOT / "README.md"))
    (block,) = write_page(tmp_path, "```bash\nmake coffee\n```\n")
    with pytest.raises(AssertionError, match="make is not executed; mark the block"):
        place.run_block(block._replace(page=ROOT / "README.md"))
    (block,) = write_page(tmp_path, "<!-- planned: days -->\n```bash\nbench run digits --backbone vit_nnao\n```\n")
    with pytest.raises(AssertionError, match="vit_nnao"):
        place.plan_block(block._replace(page=ROOT / "README.md"))
    (block,) = write_page(tmp_path, "<!-- fails -->\n```bash\nbench list nonsense\n```\n")
    with pytest.raises(AssertionError, match="bench says"):
        place.run_refusal(block._replace(page=ROOT / "README.md"), "another sentence")
