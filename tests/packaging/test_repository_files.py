"""The files around the code say what the code and pyproject.toml say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.cli.main import build_parser
from foundation.package_versions import OWN_NAME
from tests.conftest import ROOT
from tests.house_metrics import ROOMS, list_tracked_files
from tests.project_file import read_project

GITHUB = ROOT / ".github"
FORMS = sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))


def read_yaml(path: Path) -> Any:
    """The content of a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def list_static_commands() -> list[str]:
    """The commands of ``make static``, without the folder of the programs."""
    makefile = (ROOT / "Makefile").read_text()
    recipe = re.search(r"^static:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe is not None
    return [line.strip().removeprefix("$(BIN)/") for line in recipe[1].splitlines()]


def test_pre_commit_makes_the_checks_of_make_static() -> None:
    config = read_yaml(ROOT / ".pre-commit-config.yaml")
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert {repo["repo"] for repo in config["repos"]} == {"local"}  # the very versions of requirements.lock
    assert [hook["entry"].removeprefix(".venv/bin/") for hook in hooks] == list_static_commands()
    # the tools find their files themselves, as they do under make
    assert all(hook["pass_filenames"] is False and hook["language"] == "system" for hook in hooks)


def test_versions_of_python_are_named_alike_everywhere() -> None:
    project = read_project()
    classifiers = project["project"]["classifiers"]
    versions = re.findall(r"Python :: (3\.\d+)", "\n".join(classifiers))
    assert project["project"]["requires-python"] == f">={versions[0]}"
    assert project["tool"]["ruff"]["target-version"] == f"py{versions[0].replace('.', '')}"
    guide = (ROOT / "docs" / "guides" / "install.md").read_text()
    assert set(versions) <= set(re.findall(r"^\| (3\.\d+)", guide, re.MULTILINE))
    assert f"Python {versions[0]} to {versions[-1]}" in (ROOT / "README.md").read_text()
    workflow = read_yaml(GITHUB / "workflows" / "checks.yml")
    tried = workflow["jobs"]["checks"]["strategy"]["matrix"]["python"]
    assert set(tried) <= set(versions) and {versions[0], versions[-1]} <= set(tried)


def test_the_workflow_runs_the_script_of_every_submission() -> None:
    workflow = read_yaml(GITHUB / "workflows" / "checks.yml")
    steps = [step["run"] for step in workflow["jobs"]["checks"]["steps"] if "run" in step]
    assert steps == ["bash .ci/run"]
    assert workflow["permissions"] == {"contents": "read"}


def test_the_citation_is_of_this_version() -> None:
    citation = read_yaml(ROOT / "CITATION.cff")
    project = read_project()["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert citation["message"] and citation["title"] and citation["authors"]


def test_the_version_has_release_notes() -> None:
    version = read_project()["project"]["version"]
    notes = ROOT / "docs" / "releases" / f"{version}.md"
    assert notes.read_text().startswith(f"# bench {version}\n")


@pytest.mark.parametrize("form", [path for path in FORMS if path.name != "config.yml"], ids=lambda path: path.stem)
def test_a_form_asks_for_what_tells_the_cause(form: Path) -> None:
    content = read_yaml(form)
    assert content["name"] and content["description"]
    fields = {field["id"]: field for field in content["body"] if field["type"] != "markdown"}
    asked = {name for name, field in fields.items() if field.get("validations", {}).get("required")}
    needed = {"fault": {"happened", "doctor"}, "wrong_number": {"number", "record", "verify"}}[form.stem]
    assert asked == needed
    assert fields["doctor"]["attributes"]["label"] == "bench doctor --json"
    # commands that a form tells to run are there
    parser = build_parser()
    for line in re.findall(r"`bench ([^`]+)`", form.read_text()):
        words = [{"RUN": "runs/digits/RUN"}.get(word, word) for word in line.split()]
        if words[0] == "pack":
            words += ["runs", "-o", "results.tar.zst"]
        parser.parse_args(words)


# The image


def read_instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile and their arguments, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text()
    joined = re.sub(r"\\\n\s*", "", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    return [
        (word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


def test_the_image_is_of_this_project() -> None:
    instructions = read_instructions()
    project = read_project()["project"]
    python = next(rest for word, rest in instructions if word == "ARG").removeprefix("PYTHON=")
    # the version of the lock file, which the image installs from
    assert f"on Python {python}" in (ROOT / "Makefile").read_text()
    stages = [rest for word, rest in instructions if word == "FROM"]
    assert [stage.partition(" AS ")[0] for stage in stages] == ["python:${PYTHON}-slim-bookworm"] * 2
    (extras,) = [extra for _, rest in instructions for extra in re.findall(r"\.\[([\w,]+)\]", rest)]
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert ("ENTRYPOINT", '["bench"]') in instructions and "bench" in project["scripts"]
    assert all("-c requirements.lock" in rest for _, rest in instructions if rest.startswith("pip install"))
    # what the entry point needs is set up before the rights are given away, and nothing is done after
    words = [word for word, _ in instructions]
    assert words[words.index("USER") :] == ["USER", "WORKDIR", "VOLUME", "ENTRYPOINT", "CMD"]
    assert dict(instructions)["USER"] not in ("root", "0")
    for variable in re.findall(r"(BENCH_\w+)=", dict(instructions)["ENV"]):
        assert variable in build_parser().format_help()


def test_the_image_is_built_from_the_rooms_alone() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"  # everything is left out that is not named
    named = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert named == {*ROOMS, "pyproject.toml", "requirements.lock", "README.md", "LICENSE"}
    assert all((ROOT / name).exists() for name in named)
    copied = [rest.split()[0] for word, rest in read_instructions() if word == "COPY" and not rest.startswith("--from")]
    assert copied == ["requirements.lock", "."]


def test_every_room_says_that_it_is_typed() -> None:
    assert all((ROOT / room / "py.typed").is_file() for room in ROOMS)
    if tracked := list_tracked_files(ROOT):  # PEP 561: the file must be in the package that users get
        assert {f"{room}/py.typed" for room in ROOMS} <= set(tracked)


def test_the_package_is_named_once() -> None:
    assert read_project()["project"]["name"] == OWN_NAME
