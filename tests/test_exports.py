"""``__all__`` is there, sorted, and true: it has what the module makes, and all that others take from it."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

import airflow_provider_klaviyo

PACKAGE = Path(airflow_provider_klaviyo.__file__).parent
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.name not in {"__init__.py", "__main__.py"}]
OWN_FILES = [path for path in FILES if "emulator" not in path.parts]
IMPORTABLE = [path for path in OWN_FILES if AIRFLOW_V_3_3_PLUS or path.name != "retries.py"]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def exported(path: Path) -> list[str] | None:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and [getattr(one, "id", None) for one in node.targets] == ["__all__"]:
            return list(ast.literal_eval(node.value))
    return None


def made(path: Path) -> set[str]:
    """Return the names that a module makes at its top level, not those it imports; all of a mere front door's."""
    names: set[str] = set()
    body = ast.parse(path.read_text()).body
    if all(isinstance(node, ast.ImportFrom | ast.Expr | ast.Assign) for node in body):
        return {alias.name for node in body if isinstance(node, ast.ImportFrom) for alias in node.names}
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(one.id for one in targets if isinstance(one, ast.Name))
    return names


def constants_classes_functions(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def ids(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", OWN_FILES, ids=ids)
def test_a_module_says_what_it_is_for_others(path: Path) -> None:
    assert exported(path)


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_it_is_sorted_and_made_here(path: Path) -> None:
    names = exported(path) or []
    assert names == sorted(set(names), key=constants_classes_functions)
    assert set(names) <= made(path)
    assert not [name for name in names if name.startswith("_")]


@pytest.mark.parametrize("path", IMPORTABLE, ids=ids)
def test_it_can_be_imported(path: Path) -> None:
    module = importlib.import_module(module_name(path))
    assert [name for name in exported(path) or [] if not hasattr(module, name)] == []


@pytest.mark.parametrize("path", OWN_FILES, ids=ids)
def test_others_take_nothing_else(path: Path) -> None:
    taken: set[str] = set()
    for other in OWN_FILES:
        for node in ast.walk(ast.parse(other.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == module_name(path):
                taken.update(alias.name for alias in node.names)
    assert taken - set(exported(path) or []) == set()
