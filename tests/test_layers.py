"""Imports go one way: the wire knows no Airflow, the promises know no HTTP, and the emulator knows nobody."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_klaviyo

PACKAGE = Path(airflow_provider_klaviyo.__file__).parent
OWN = PACKAGE.name

# What each room may import of the others; everything outside the package is judged below.
MAY_IMPORT = {
    "access": {"access", "api", "deletion", "tracebacks"},
    "api": {"api", ""},
    "deletion": {"api", "deletion"},
    "emulator": {"emulator"},
    "hooks": {"access", "api", "deletion", "hooks", "get_provider_info", "ledger", "tracebacks"},
    "ledger": {"api", "deletion", "ledger", "restriction"},
    "operators": {
        "access",
        "api",
        "concealed",
        "deletion",
        "hooks",
        "lasting",
        "ledger",
        "operators",
        "rectification",
        "rendering",
        "restriction",
        "sources",
        "task",
        "tracebacks",
    },
    "rectification": {"api", "deletion", "rectification", "sources"},
    "restriction": {"api", "deletion", "restriction"},
    "rendering": {"concealed", "sources"},
    "sensors": {
        "api",
        "deletion",
        "hooks",
        "lasting",
        "ledger",
        "rendering",
        "sensors",
        "sources",
        "task",
        "triggers",
        "tracebacks",
    },
    "triggers": {"api", "deletion", "hooks", "lasting", "triggers", "tracebacks"},
    "commands": {"api", "commands", "hooks", "ledger"},
    "concealed": set(),
    "get_provider_info": set(),
    "oauth": {"api"},
    "lasting": {"access", "api", "deletion", "ledger", "sources"},
    "retries": {"api", "lasting"},
    "sources": {"concealed", "deletion", "sources", "tracebacks"},
    "deployment": set(),
    "task": {"deployment"},
    "tracebacks": set(),
    "": set(),
}


def room_of(path: Path) -> str:
    if path.relative_to(PACKAGE).parts == ("ledger", "__main__.py"):
        return "commands"  # A front door, under the name that somebody types.
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if name == "__init__" else name


def imports_of(path: Path, *, at_import: bool = False) -> Iterator[str]:
    """Yield the modules that a file imports; `at_import` leaves out what functions and type checkers import."""
    todo: list[ast.AST] = [ast.parse(path.read_text())]
    while todo:
        node = todo.pop()
        if at_import and (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or is_for_type_checkers(node)):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the package"
            assert node.module is not None
            yield node.module
        todo.extend(ast.iter_child_nodes(node))


def is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def own_rooms(path: Path) -> set[str]:
    modules = [module.split(".") for module in imports_of(path)]
    return {module[1] if len(module) > 1 else "" for module in modules if module[0] == OWN}


def foreign(path: Path, *, at_import: bool = False) -> set[str]:
    top = {module.split(".")[0] for module in imports_of(path, at_import=at_import)}
    return top - {OWN} - set(sys.stdlib_module_names)


FILES = sorted(PACKAGE.rglob("*.py"))
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))


@every_file
def test_a_room_imports_only_what_lies_below_it(path: Path) -> None:
    assert own_rooms(path) <= MAY_IMPORT[room_of(path)]


@every_file
def test_a_room_imports_only_the_packages_that_it_may(path: Path) -> None:
    allowed = {
        "access": set(),
        "api": {
            "client.py": {"httpx"},
            "deadline.py": {"httpcore", "httpx"},
            "transport.py": {"httpx"},
        }.get(path.name, set()),
        "deletion": set(),
        "emulator": {"starlette", "uvicorn"},
        "hooks": {"airflow", "asgiref", "flask_appbuilder", "wtforms"}
        | ({"sqlalchemy"} if path.name == "database.py" else set()),
        "ledger": {"cryptography", "sqlalchemy"} if path.name in {"sealing.py", "tokens.py"} else {"sqlalchemy"},
        "rectification": set(),
        "rendering": {"airflow", "jinja2"},
        "restriction": set(),
        "sources": {"airflow", "pyarrow", "sqlparse"},
        "concealed": set(),
        "get_provider_info": set(),
        "deployment": {"airflow"},
        "task": {"airflow"},
        "tracebacks": set(),
        "": set(),
    }
    assert foreign(path) <= allowed.get(room_of(path), {"airflow", "pendulum"})


@pytest.mark.parametrize("room", ["operators", "sensors"])
def test_what_dags_import_is_light(room: str) -> None:
    """Every parse of a DAG pays for what its operators import at the top."""
    for path in (PACKAGE / room).rglob("*.py"):
        at_the_top = set(imports_of(path, at_import=True))
        heavy = tuple(
            f"{OWN}.{other}."
            for other in ("access", "api", "deletion", "hooks", "ledger", "rectification", "restriction")
        )
        assert {name for name in at_the_top if name.startswith(heavy)} <= {f"{OWN}.deletion.terms"}
        assert "httpx" not in at_the_top


def test_every_process_loads_the_provider_info_without_imports() -> None:
    assert set(imports_of(PACKAGE / "get_provider_info.py")) == {"__future__", "typing"}
