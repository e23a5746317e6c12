"""Measure how readable the house is: names, comments, import circles, sizes. ``python -m tests.house_metrics``.

``tests/test_house.py`` holds the limits; this script prints the numbers, and with ``--list`` what they come from.
"""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ROOMS = (
    *("foundation", "backbones", "results", "engine", "deployment", "pretraining", "classification"),
    *("segmentation", "detection", "tracking", "analysis", "benchmarks", "litevit_bench"),
)

ENTRY_POINTS = {"main", "run"}
"""One-word functions that every engineer knows; they are counted in neither share."""

SISTER_ROLES = {
    # one role in sister rooms is one meaning: who knows it in one room knows it in all
    "resolve_protocol": "what a request means under a protocol, in each use",
    "run_protocol": "carry a protocol out, in each use",
    "add_arguments": "the options of a verb, in each file of benchmarks/cli",
    "summarize_analysis": "an analysis in lines of text, in each analysis",
    "require_plain_vit": "refuse a backbone that is no plain ViT, in each use that needs one",
    "load_graphs": "open exported graphs, in each runtime",
    "require_runtime_precision": "refuse a precision that a runtime lacks, in each runtime",
}


class Definition(NamedTuple):
    """A public function or class at the top of a module."""

    name: str
    path: str


class House(NamedTuple):
    """What was measured.

    Attributes:
        one_word: public module-level functions whose name is one word, of ``functions``.
        homonyms: names of public functions and classes that stand in several files with several meanings.
        circles: groups of modules that import each other, imports inside functions included.
        folders: Python files of each folder.
        modules: lines of each module.
    """

    functions: list[Definition]
    one_word: list[Definition]
    names: int
    homonyms: dict[str, list[str]]
    comments: int
    code_lines: int
    circles: list[list[str]]
    folders: dict[str, int]
    modules: dict[str, int]

    @property
    def one_word_percent(self) -> float:
        """Share of the public functions that have a one-word name."""
        return 100 * len(self.one_word) / len(self.functions)

    @property
    def homonym_percent(self) -> float:
        """Share of the public names that mean several things."""
        return 100 * len(self.homonyms) / self.names

    @property
    def comments_per_100(self) -> float:
        """Comment lines (directives to tools left out) on 100 lines of code (docstrings left out)."""
        return 100 * self.comments / self.code_lines

    @property
    def words_per_name(self) -> float:
        """Words of a function's name, on average."""
        return sum(len(each.name.split("_")) for each in self.functions) / len(self.functions)


def measure_house(root: Path = ROOT) -> House:
    """Measure the rooms below ``root``; nothing is imported."""
    functions, classes = [], []
    comments = code_lines = 0
    folders: dict[str, int] = defaultdict(int)
    modules: dict[str, int] = {}
    for path in list_modules(root):
        relative, source = path.relative_to(root).as_posix(), path.read_text()
        modules[relative] = len(source.splitlines())
        if path.parent.name != "configs":  # one recipe a file: as many as there are recipes
            folders[path.parent.relative_to(root).as_posix()] += 1
        tree = ast.parse(source)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
                functions.append(Definition(node.name, relative))
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                classes.append(Definition(node.name, relative))
        found, code = count_comments(source, tree)
        comments, code_lines = comments + found, code_lines + code
    functions = [each for each in functions if each.name not in ENTRY_POINTS]
    places: dict[str, list[str]] = defaultdict(list)
    for each in (*functions, *classes):
        if each.path.startswith("litevit_bench/"):
            continue  # it hands on what the rooms have, under the same names
        places[each.name].append(each.path)
    return House(
        functions=functions,
        one_word=[each for each in functions if "_" not in each.name],
        names=len(places),
        homonyms={name: paths for name, paths in places.items() if len(paths) > 1 and name not in SISTER_ROLES},
        comments=comments,
        code_lines=code_lines,
        circles=find_circles(build_import_graph(root)),
        folders=dict(folders),
        modules=modules,
    )


def list_modules(root: Path) -> list[Path]:
    """Every Python file of the rooms."""
    return [path for room in ROOMS for path in sorted((root / room).rglob("*.py"))]


def count_comments(source: str, tree: ast.Module) -> tuple[int, int]:
    """Comments, and lines of code without docstrings, blank lines and lines that are only a comment."""
    directives = ("# noqa", "# type:", "# fmt:", "#!", "# pragma")
    comments, comment_lines, code = 0, set(), set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments += not token.string.startswith(directives)
            comment_lines.add(token.start[0])
        elif token.type not in (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER):
            code.update(range(token.start[0], token.end[0] + 1))
    docstrings: set[int] = set()
    for node in ast.walk(tree):
        # only these have a docstring, or a text that says what the line above is
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.If):
            continue
        for statement in node.body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                docstrings.update(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    return comments, len(code - docstrings)


def build_import_graph(root: Path) -> dict[str, set[str]]:
    """Which module imports which of ours, imports inside functions included and those for type checkers left out."""
    names = {}
    for path in list_modules(root):
        parts = path.relative_to(root).with_suffix("").parts
        names[".".join(parts).removesuffix(".__init__")] = path
    return {name: set(_iterate_imports(name, path, names)) for name, path in names.items()}


def _iterate_imports(module: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue  # with all that is below it
        if not isinstance(node, ast.expr):  # no import is inside of one
            waiting.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            members = [f"{node.module}.{alias.name}" for alias in node.names]
            imported = [each for each in members if each in known] or [node.module]
        else:
            continue
        yield from (each for each in imported if each in known and each != module)


def find_circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected groups of more than one module (Tarjan's algorithm, without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    circles: list[list[str]] = []
    for start in graph:
        if start in index:
            continue
        work = [(start, iter(sorted(graph[start])))]
        index[start] = low[start] = len(index)
        stack.append(start)
        while work:
            node, targets = work[-1]
            for target in targets:
                if target not in index:
                    index[target] = low[target] = len(index)
                    stack.append(target)
                    work.append((target, iter(sorted(graph[target]))))
                    break
                if target in stack:
                    low[node] = min(low[node], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    group = stack[stack.index(node) :]
                    del stack[stack.index(node) :]
                    if len(group) > 1:
                        circles.append(sorted(group))
    return circles


def main(words: list[str]) -> None:
    """Print the numbers."""
    house = measure_house()
    lines = list(house.modules.values())
    fullest = sorted(house.folders.items(), key=lambda item: -item[1])[:3]
    report = [
        f"public functions {len(house.functions)}: one word {house.one_word_percent:.1f} % (limit 12), "
        f"{house.words_per_name:.2f} words a name",
        f"names {house.names}: with several meanings {house.homonym_percent:.1f} % (limit 5)",
        f"comments per 100 lines of code: {house.comments_per_100:.1f} (at least 6)",
        f"import circles: {len(house.circles)} (limit 0)",
        f"fullest folders: {', '.join(f'{name} {count}' for name, count in fullest)} (limit 16)",
        f"modules: {len(lines)}, median {median(lines):.0f} lines, longest {max(lines)} (limit 400)",
    ]
    if "--list" in words:
        report += [f"one word: {each.name} {each.path}" for each in house.one_word]
        report += [f"several meanings: {name} {' '.join(paths)}" for name, paths in sorted(house.homonyms.items())]
        report += [f"circle: {' '.join(group)}" for group in house.circles]
    sys.stdout.write("\n".join(report) + "\n")


def list_tracked_files(root: Path = ROOT) -> list[str]:
    """Names of the files in git's index, or nothing where this is no checkout."""
    if not (root / ".git").exists():
        return []
    done = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\n") if name and (root / name).is_file()]


if __name__ == "__main__":
    main(sys.argv[1:])
