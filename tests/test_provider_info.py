"""What Airflow is told about the package exists, and is what Airflow's own schema asks for."""

from __future__ import annotations

import importlib
import importlib.resources
import json
from typing import Any

import pytest

from airflow_provider_klaviyo.get_provider_info import get_provider_info

ROOMS = ["hooks", "operators", "sensors", "triggers"]


@pytest.fixture
def info() -> dict[str, Any]:
    return get_provider_info()


@pytest.mark.parametrize("room", ROOMS)
def test_the_modules_exist(info: dict[str, Any], room: str) -> None:
    names = [name for entry in info[room] for name in entry["python-modules"]]
    assert names == [f"airflow_provider_klaviyo.{room}.klaviyo"]
    for name in names:
        assert importlib.import_module(name).__all__


def test_the_hook_exists(info: dict[str, Any]) -> None:
    module, _, name = info["connection-types"][0]["hook-class-name"].rpartition(".")
    assert getattr(importlib.import_module(module), name).conn_type == info["connection-types"][0]["connection-type"]


def test_it_is_plain_data(info: dict[str, Any]) -> None:
    assert json.loads(json.dumps(info)) == info


def test_each_caller_gets_one_of_its_own() -> None:
    get_provider_info()["connection-types"].clear()
    assert get_provider_info()["connection-types"]


def test_airflow_takes_it(info: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(importlib.resources.files("airflow").joinpath("provider_info.schema.json").read_text())
    jsonschema.validate(info, schema)
