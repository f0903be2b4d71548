"""The rules of the house that no linter knows: sizes, docstrings, no hidden control flow, no sleeping."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("opsconsole", "deployments", "environments", "accounts", "audit", "demo")
APPS = ("deployments", "environments", "accounts", "audit")
LONGEST_FILE, LONGEST_FUNCTION = 400, 40
MAY_POLL = ("opsconsole/local", "opsconsole/bench", "opsconsole/management/commands/bench_", "environments/drivers/rpc.py", "demo")
"""Whoever waits for processes that tell nothing by themselves, and what measures from outside; nowhere else."""
UNDOCUMENTED = {"Meta", "Migration", "Command"}
FRAMEWORK = {"ready", "add_arguments", "handle", "dispatch", "get", "post", "save", "clean", "extra"}
"""Names that Django, DRF or a base class here define and document."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(*folders: str) -> list[Path]:
    return sorted(
        path for folder in folders for path in (ROOT / folder).rglob("*.py") if not {"node_modules", ".venv"} & {*path.parts}
    )


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def where(path: Path, node: ast.AST | None = None) -> str:
    return f"{path.relative_to(ROOT)}{f':{node.lineno}' if node is not None else ''}"  # type: ignore[attr-defined]


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, Function))


def is_migration(path: Path) -> bool:
    return "migrations" in path.parts


def test_no_file_is_too_long():
    found = {where(path): len(path.read_text().splitlines()) for path in files(*PRODUCT, "tests")}
    assert {name: lines for name, lines in found.items() if lines > LONGEST_FILE} == {}


def test_no_function_is_too_long():
    found = {
        f"{where(path, node)} {node.name}": node.end_lineno - node.lineno + 1
        for path in files(*PRODUCT, "tests")
        for node in functions(path)
        if node.end_lineno is not None
    }
    assert {name: lines for name, lines in found.items() if lines > LONGEST_FUNCTION} == {}


def public(body: list[ast.stmt], overrides: bool = False) -> Iterator[Function | ast.ClassDef]:
    """Public functions and classes of a body, and the methods of those classes."""
    for node in body:
        if not isinstance(node, (Function, ast.ClassDef)) or node.name.startswith("_"):
            continue
        if isinstance(node, ast.ClassDef):
            if node.name in UNDOCUMENTED:
                continue
            yield node
            yield from public(node.body, overrides=bool(node.bases))
        elif not (overrides and node.name in FRAMEWORK):
            yield node


def is_told_elsewhere(path: Path, node: Function | ast.ClassDef) -> bool:
    """A Django app's configuration, tables that guardian only wants to exist, and the body of a Protocol or an override."""
    if isinstance(node, ast.ClassDef):
        bases = {base.id for base in node.bases if isinstance(base, ast.Name)} | {
            base.attr for base in node.bases if isinstance(base, ast.Attribute)
        }
        return bool(bases & {"AppConfig", "QuerySet", "TextChoices"}) or any(name.endswith("PermissionBase") for name in bases)
    return any(isinstance(one, ast.Name) and one.id == "override" for one in node.decorator_list)


def test_everything_public_says_what_it_is_for():
    silent = [
        f"{where(path, node)} {node.name}"
        for path in files(*PRODUCT)
        if not is_migration(path)
        for node in public(tree(path).body)
        if ast.get_docstring(node) is None and not is_told_elsewhere(path, node)
    ]
    assert silent == []


def test_every_module_says_what_it_is():
    silent = [
        where(path)
        for path in files(*PRODUCT)
        if not is_migration(path) and path.name not in ("__init__.py", "apps.py", "audit.py") and path.read_text().strip()
        if ast.get_docstring(tree(path)) is None
    ]
    assert silent == []


def imports(path: Path) -> Iterator[tuple[ast.stmt, str]]:
    """Every imported name, in full."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def test_no_signals():
    """No business logic that runs because a row was saved (architecture, rule 6)."""
    found = [
        f"{where(path, node)} {name}"
        for path in files(*APPS, "opsconsole")
        for node, name in imports(path)
        if name.startswith(("django.db.models.signals", "django.dispatch", "django.core.signals", "django.contrib.auth.signals"))
    ]
    assert found == []


def test_the_product_waits_for_events_and_does_not_sleep():
    found = [
        where(path, node)
        for path in files(*PRODUCT)
        if not where(path).startswith(MAY_POLL)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.sleep", "sleep")
    ]
    assert found == []


def test_the_demo_is_reached_over_the_network_only():
    found = [
        f"{where(path, node)} {name}" for path in files(*APPS) for node, name in imports(path) if name.split(".")[0] == "demo"
    ]
    assert found == []
