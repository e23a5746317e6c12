"""The pages: links lead somewhere, command lines parse, settings and fields are those of the code, lines are short."""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import litevit_bench
from backbones.registry import BACKBONES
from benchmarks.cli.main import build_parser
from benchmarks.task_registry import TASKS
from classification import recipe as classification
from classification.as_is.settings import ClassifierSettings
from detection.as_is.settings import DetectionSettings
from detection.recipe import DetectionRecipe
from engine.recipe import TrainingRecipe
from pretraining import recipe as pretraining
from results.records import record
from results.records.identity import AS_IS
from segmentation.as_is.settings import SegmentationSettings
from segmentation.recipe import SegmentationRecipe
from tests.conftest import ROOT
from tracking.as_is.settings import EvaluationSettings
from tracking.recipe import TrackingRecipe

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(DOCS.rglob("*.md"))]
MAX_LINE_LENGTH = 110
USER_NAMES = re.compile(r"my_\w+")
"""Backbones that a page asks the reader to make."""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


class CodeBlock(NamedTuple):
    """A fenced block: its language, and its lines with their numbers."""

    language: str
    lines: list[tuple[int, str]]

    @property
    def text(self) -> str:
        """The block's content."""
        return "\n".join(line for _, line in self.lines)


def split_page(page: Path) -> tuple[list[tuple[int, str]], list[CodeBlock]]:
    """The lines of prose with their numbers, and the fenced blocks."""
    prose: list[tuple[int, str]] = []
    blocks: list[CodeBlock] = []
    inside = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            inside = not inside
            if inside:
                # what is refused on purpose is executed by tests/docs
                is_refused = bool(prose) and prose[-1][1].strip() == "<!-- fails -->"
                blocks.append(CodeBlock("text" if is_refused else line.strip().removeprefix("```"), []))
        elif inside:
            blocks[-1].lines.append((number, line))
        else:
            prose.append((number, line))
    assert not inside, f"{page}: a fence is not closed"
    return prose, blocks


def list_anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = [line.lstrip("#").strip() for _, line in split_page(page)[0] if line.startswith("#")]
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for number, line in split_page(page)[0]:
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", line)):
            if "://" in target:
                continue
            path, _, anchor = target.partition("#")
            place = (page.parent / path).resolve() if path else page
            assert place.exists(), f"{page.name}:{number}: {target} is not there"
            assert ROOT in place.parents, f"{page.name}:{number}: {target} leads out of the project"
            if anchor:
                assert anchor in list_anchors(place), f"{page.name}:{number}: {place.name} has no heading #{anchor}"


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    linked = {(DOCS / target.partition("#")[0]).resolve() for target in re.findall(r"\]\(([^)\s]+)\)", index)}
    assert {page for page in PAGES if DOCS in page.parents and page.name != "README.md"} <= linked


@each_page
def test_lines_are_short(page: Path) -> None:
    """But for tables, code and lines that a link makes long."""
    for number, line in split_page(page)[0]:
        if not line.startswith(("|", "$$", " + \\underbrace", "<!--")) and "](" not in line:
            assert len(line) <= MAX_LINE_LENGTH, f"{page.name}:{number} has {len(line)} characters"


# Command lines


@pytest.fixture(scope="module")
def parser() -> argparse.ArgumentParser:
    """The real parser, with every verb."""
    return build_parser()


def list_commands(page: Path) -> Iterator[tuple[int, list[str]]]:
    """The words after ``bench`` of every command line in a page's blocks; outputs are in blocks of ``text``."""
    for block in split_page(page)[1]:
        if block.language in ("text", "python", "toml", "json"):
            continue
        joined = ""
        for number, line in block.lines:
            joined += line.removesuffix("\\") if line.endswith("\\") else line
            if line.endswith("\\"):
                continue
            words = shlex.split(joined, comments=True)
            joined = ""
            if words[:1] == ["torchrun"]:
                assert "--no-python" in words, f"{page.name}:{number}: torchrun without --no-python"
                words = words[words.index("bench") :]
            if words[:1] == ["srun"] and "bench" in words:
                assert "--launcher" in words, f"{page.name}:{number}: srun without --launcher"
                words = words[words.index("bench") :]
            if words[:1] == ["bench"]:
                yield number, words[1:]


@each_page
def test_command_lines_parse(page: Path, parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]) -> None:
    for number, words in list_commands(page):
        try:
            options = parser.parse_args(words)
        except SystemExit as done:
            if done.code:
                pytest.fail(f"{page.name}:{number}: bench {' '.join(words)}: {capsys.readouterr().err}")
            continue
        fault = find_unknown_name(options)
        assert not fault, f"{page.name}:{number}: bench {' '.join(words)}: {fault}"


def find_unknown_name(options: argparse.Namespace) -> str:
    """The first task, protocol, backbone or setting on a command line that is not there; "" if all are."""
    task = getattr(options, "task", None)
    for name in [task] if isinstance(task, str) and options.verb != "profile" else []:
        if name not in TASKS.list_names():
            return f"no task {name}"
        protocol = getattr(options, "protocol", None)
        # every task has the evaluations of its finished models
        if protocol not in (None, AS_IS, *TASKS.get(name).protocols):
            return f"task {name} has no protocol {protocol}"
    backbone = getattr(options, "backbone", None)
    for name in [backbone] if isinstance(backbone, str) else backbone or []:
        if name not in BACKBONES.list_names() and not name.startswith("timm/") and not USER_NAMES.fullmatch(name):
            return f"no backbone {name}"
    for change in getattr(options, "overrides", ()):
        key = change.partition("=")[0]
        if key not in SETTINGS and not key.startswith("model."):
            return f"no setting {key}"
    return ""


def test_a_wrong_command_line_would_be_found(parser: argparse.ArgumentParser) -> None:
    right = "run digits --backbone vit_nano --protocol knn --set k=5"
    assert find_unknown_name(parser.parse_args(right.split())) == ""
    for old, new in (("digits", "digitz"), ("vit_nano", "vit_nono"), ("knn", "upernet"), ("k=5", "kk=5")):
        assert find_unknown_name(parser.parse_args(right.replace(old, new).split())).startswith(("no ", "task "))


# Settings and record fields

SETTINGS_BY_SECTION: dict[str, tuple[type[BaseModel], ...]] = {
    "Every training": (TrainingRecipe,),
    "finetune and its variants": (
        classification.DigitsRecipe,
        classification.ImageRecipe,
        classification.DistillRecipe,
    ),
    "linear, linear_sgd, lowshot, knn": (
        classification.LinearRecipe,
        classification.LinearSgdRecipe,
        classification.LowShotRecipe,
        classification.KnnRecipe,
    ),
    "Finished classifiers": (ClassifierSettings,),
    "Segmentation": (SegmentationRecipe,),
    "Finished segmentation models": (SegmentationSettings,),
    "Finished detectors": (DetectionSettings,),
    "Detection": (DetectionRecipe,),
    "Tracking": (TrackingRecipe,),
    "Finished trackers": (EvaluationSettings,),
    "Pre-training": (
        pretraining.DecoupledRecipe,
        pretraining.SimmimDistillRecipe,
        pretraining.MocoRecipe,
    ),
}
"""Heading of the page of settings, and the recipes whose settings stand there (besides those of every training)."""


def iter_settings(recipe: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """The settings of a recipe by dotted key."""
    for name, info in recipe.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from iter_settings(info.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", info


SETTINGS = {key for recipes in SETTINGS_BY_SECTION.values() for recipe in recipes for key, _ in iter_settings(recipe)}


def format_setting_default(info: FieldInfo) -> str:
    """A default as ``--set`` takes it; ``-`` where the protocol's file must say."""
    if info.is_required():
        return "-"
    value = info.get_default(call_default_factory=True)
    if value is None or isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`[{','.join(map(str, value))}]`" if isinstance(value, list) else f"`{value}`"


@pytest.mark.parametrize("section", SETTINGS_BY_SECTION)
def test_every_setting_is_on_its_page_with_its_default(section: str) -> None:
    parts = re.split(r"^##+ (.*)$", (DOCS / "reference" / "settings.md").read_text(), flags=re.MULTILINE)
    text = dict(zip(parts[1::2], parts[2::2], strict=True))[section]
    shared = set() if section == "Every training" else {key for key, _ in iter_settings(TrainingRecipe)}
    if section.startswith("linear"):
        shared = set()  # these protocols do not train by the engine
    rows = {line for line in text.splitlines() if line.startswith("| `")}
    known = set()
    for recipe in SETTINGS_BY_SECTION[section]:
        for key, info in iter_settings(recipe):
            known.add(key)
            if key in shared:
                continue
            default = format_setting_default(info)
            found = [row for row in rows if row.startswith(f"| `{key}` |")]
            assert found, f"{key} is not in the section {section}"
            assert any(default in row for row in found), f"{key}: the default is {default}"
    assert {row.split("`")[1] for row in rows} <= known, "a setting that is not there"


def test_every_field_of_a_record_is_on_its_page() -> None:
    page = (DOCS / "reference" / "records.md").read_text()
    models = [
        model
        for model in vars(record).values()
        if isinstance(model, type) and issubclass(model, record.StrictModel) and model is not record.StrictModel
    ]
    for model in models:
        for name in model.model_fields:
            assert re.search(rf"`([\w.*]+\.)?{name}`", page), f"{model.__name__}.{name}"


# Python


def test_every_function_for_users_is_on_its_page() -> None:
    page = (DOCS / "reference" / "python.md").read_text()
    for name in litevit_bench.__all__:
        assert re.search(rf"`(bench\.)?{name}[(`]", page), name


@each_page
def test_python_blocks_fit_the_code(page: Path) -> None:
    """They compile, what they import is there, and calls of ``bench`` name arguments that exist."""
    for block in split_page(page)[1]:
        if block.language != "python":
            continue
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
                for name in missing:
                    importlib.import_module(f"{node.module}.{name}")
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                if isinstance(owner, ast.Name) and owner.id == "bench":
                    function = getattr(litevit_bench, node.func.attr)
                    names = inspect.signature(function).parameters
                    assert {keyword.arg for keyword in node.keywords} <= set(names), f"{page.name}: {ast.unparse(node)}"
