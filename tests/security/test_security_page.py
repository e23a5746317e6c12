"""SECURITY.md names for each promise the test that holds it."""

from __future__ import annotations

import ast
import re

from tests.conftest import ROOT

PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
HOLDERS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


def test_the_tests_that_hold_the_promises_exist() -> None:
    assert len(HOLDERS) > 10
    for file, name in HOLDERS:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
        assert tests, file
        assert not name or name in tests, f"{file} has no test {name}"


def test_every_file_of_security_tests_is_named() -> None:
    own = {f"tests/security/{path.name}" for path in (ROOT / "tests" / "security").glob("test_*.py")}
    assert own - {file for file, _ in HOLDERS} == {"tests/security/test_security_page.py"}


def test_files_of_the_source_that_are_named_exist() -> None:
    for file in re.findall(r"`((?:results|foundation|engine|benchmarks)/[\w/]+\.py)`", PAGE):
        assert (ROOT / file).is_file(), file


def test_the_page_is_short() -> None:
    assert len(PAGE.splitlines()) < 120
