"""The rules of the house that no linter knows: sizes, docstrings, no hidden control flow, no sleeping."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = (
    "opsconsole",
    "deployments",
    "runbooks",
    "trading",
    "alerts",
    "environments",
    "accounts",
    "audit",
    "demo",
    "opsctl",
)
APPS = ("deployments", "runbooks", "trading", "alerts", "environments", "accounts", "audit")
LONGEST_FILE, LONGEST_FUNCTION = 400, 40
MAY_POLL = (
    "opsconsole/local",
    "opsconsole/bench",
    "opsconsole/management/commands/bench_",
    "environments/drivers/rpc.py",
    "opsctl/waiting.py",
    "demo",
)
"""Whoever waits for processes that tell nothing by themselves, and what measures from outside; nowhere else."""
UNDOCUMENTED = {"Meta", "Command"}
TOLD_BY_BASE = ("AppConfig", "QuerySet", "TextChoices", "ObjectPermissionBase")
"""What such a class is, its base says."""
FRAMEWORK = frozenset({"ready", "add_arguments", "handle", "dispatch", "get", "post", "save", "clean", "extra"})
"""Names that Django, DRF or a base class here define and document."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(*folders: str) -> list[Path]:
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if not {"node_modules", ".venv"} & {*path.parts}
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


def base_names(node: ast.ClassDef) -> set[str]:
    """Last parts of the bases: ``QuerySet`` of ``models.QuerySet["Deployment"]``."""
    bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
    return {ast.unparse(base).rsplit(".", 1)[-1] for base in bases}


@cache
def documented_methods() -> dict[str, set[str]]:
    """Class name to the names of its documented methods: who overrides one need not repeat it."""
    found: dict[str, set[str]] = {}
    for path in files(*PRODUCT):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                documented = {one.name for one in node.body if isinstance(one, Function) and ast.get_docstring(one)}
                found.setdefault(node.name, set()).update(documented)
    return found


def silent_in(body: list[ast.stmt], told: frozenset[str] = frozenset()) -> Iterator[Function | ast.ClassDef]:
    """Public functions, classes and methods without a docstring, but those that a base or a framework explains."""
    for node in body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_") or node.name in told:
            continue
        if isinstance(node, ast.ClassDef):
            inherited = frozenset(method for base in base_names(node) for method in documented_methods().get(base, ()))
            yield from silent_in(node.body, inherited | (FRAMEWORK if node.bases else frozenset()))
            if node.name in UNDOCUMENTED or any(name.endswith(TOLD_BY_BASE) for name in base_names(node)):
                continue
        if ast.get_docstring(node) is None:
            yield node


def test_everything_public_says_what_it_is_for():
    silent = [
        f"{where(path, node)} {node.name}"
        for path in files(*PRODUCT)
        if not is_migration(path)
        for node in silent_in(tree(path).body)
    ]
    assert silent == []


def test_every_module_says_what_it_is():
    silent = [
        where(path)
        for path in files(*PRODUCT)
        if not is_migration(path)
        and path.name not in ("__init__.py", "apps.py", "audit.py")
        and path.read_text().strip()
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
        if name.startswith(
            ("django.db.models.signals", "django.dispatch", "django.core.signals", "django.contrib.auth.signals")
        )
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
        f"{where(path, node)} {name}"
        for path in files(*APPS)
        for node, name in imports(path)
        if name.split(".")[0] == "demo"
    ]
    assert found == []
