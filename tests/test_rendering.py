"""Fields arrive as the DAG's author wrote them, or as another task returned them; see also `test_dags`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException
from jinja2 import UndefinedError

from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.access import ProfileAccessOperator
from airflow_provider_klaviyo.operators.klaviyo import (
    DeletionPlanReleaseOperator,
    ProfileDeletionOperator,
    ProfileUpdateOperator,
)
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor

LITERALS = ["12_345", "0x1F", "+15005550006", "1e3", "007", "None", "True", "[1]", "('x',)", "'quoted'", " 1 ", "1\n"]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
both_ways = pytest.mark.parametrize("native", [False, True])


def rendered(operator: Any = ProfileDeletionOperator, native: bool = False, dag: Any = None, **arguments: Any) -> Any:
    """Return a task as it is before Airflow executes it."""
    params = arguments.pop("params", {})
    more: Any = {} if dag is None else dag
    with DAG("a_dag", schedule=None, start_date=BEGIN, render_template_as_native_obj=native, **more):
        task = operator(task_id="task", **arguments)
    context: Any = {"params": params, "ti": SimpleNamespace(map_index=-1)}
    task.render_template_fields(context)
    return task


@both_ways
@pytest.mark.parametrize("value", LITERALS)
def test_a_text_without_a_template_is_not_changed(value: str, native: bool) -> None:
    task = rendered(native=native, profiles=[value, {"external_id": value}])
    assert task.profiles.value == [value, {"external_id": value}]
    task = rendered(native=native, sql=value, sql_conn_id=value, parameters=[value, (value, {"x": value})])
    assert (task.sql, task.sql_conn_id, task.parameters) == (value, value, [value, (value, {"x": value})])


@both_ways
@pytest.mark.parametrize("value", LITERALS)
def test_a_text_out_of_a_template_is_not_changed(value: str, native: bool) -> None:
    given: Any = {"native": native, "params": {"one": value}}
    task = rendered(profiles=["{{ params.one }}", {"external_id": "{{ params.one }}"}], **given)
    assert task.profiles.value == [value, {"external_id": value}]
    assert rendered(profiles="{{ params.one }}", **given).profiles.value == value
    query: Any = {"sql": "{{ params.one }}", "sql_conn_id": "{{ params.one }}", "klaviyo_conn_id": "{{ params.one }}"}
    task = rendered(parameters={"x": "{{ params.one }}"}, **query, **given)
    assert (task.sql, task.sql_conn_id, task.klaviyo_conn_id, task.parameters) == (value, value, value, {"x": value})
    release = rendered(DeletionPlanReleaseOperator, plan="{{ params.one }}", **given)
    assert release.plan == value


@both_ways
def test_parts_are_put_together_as_text(native: bool) -> None:
    params = {"one": 1, "two": "0_0"}
    task = rendered(native=native, params=params, profiles=[{"external_id": "{{ params.one }}{{ params.two }}"}])
    assert task.profiles.value == [{"external_id": "10_0"}]
    task = rendered(native=native, params=params, profiles=["{% if params.one %}1_1{% endif %}{# not said #}"])
    assert task.profiles.value == ["1_1"]


def test_an_expression_has_its_value_where_objects_are_asked_for() -> None:
    people = ["1_1", {"external_id": "0x1"}]
    given: Any = {"native": True, "params": {"people": people, "number": 7, "none": None}}
    assert rendered(profiles="{{ params.people }}", **given).profiles.value is people
    assert rendered(profiles="{{ params.people[:1] }}", **given).profiles.value == ["1_1"]
    assert rendered(profiles="{{ ['1_1', '2_2'] }}", **given).profiles.value == ["1_1", "2_2"]
    task = rendered(sql="x", sql_conn_id="x", parameters=["{{ params.none }}", "{{ params.number }}"], **given)
    assert task.parameters == [None, 7]


@both_ways
@pytest.mark.parametrize(
    ("operator", "field", "more"),
    [
        (ProfileDeletionOperator, "klaviyo_conn_id", {"profiles": []}),
        (ProfileDeletionOperator, "ledger_conn_id", {"profiles": []}),
        (ProfileDeletionOperator, "sql_conn_id", {"sql": "x"}),
        (ProfileDeletionOperator, "require_export", {"profiles": []}),
        (ProfileDeletionOperator, "path", {}),
        (ProfileUpdateOperator, "klaviyo_conn_id", {"profiles": []}),
        (ProfileAccessOperator, "output_path", {"profiles": []}),
        (DeletionConfirmedSensor, "klaviyo_conn_id", {"profiles": []}),
        (DeletionPlanReleaseOperator, "ledger_conn_id", {"plan": "x"}),
    ],
)
def test_a_name_is_text(operator: Any, field: str, more: dict[str, Any], native: bool) -> None:
    suffix = ".csv" if field == "path" else ""
    text = "{{ params.name }}" + suffix
    task = rendered(operator, native, params={"name": 123}, **{field: text}, **more)
    assert getattr(task, field) == "123" + suffix


@pytest.mark.parametrize("value", [None, ["1", "2"], ("1",), {"a": 1}, {1}, b"1"])
def test_what_has_no_text_that_means_the_same_fails_for_good(value: object) -> None:
    for arguments in (
        {"profiles": "{{ params.one }}"},
        {"profiles": [{"external_id": "{{ params.one }}"}]},
        {"profiles": [{"external_id": "of-{{ params.one }}"}]},
        {"sql": "x", "sql_conn_id": "x", "parameters": ["{{ params.one }}"]},
        {"profiles": [], "klaviyo_conn_id": "{{ params.one }}"},
    ):
        with pytest.raises(
            AirflowFailException, match=rf"is of type {type(value).__name__}: hand over the value itself"
        ):
            rendered(params={"one": value}, **arguments)


def test_a_query_may_have_any_value_in_it() -> None:
    task = rendered(sql="SELECT {{ params.one }} AS email", sql_conn_id="x", params={"one": (1, None)})
    assert task.sql == "SELECT (1, None) AS email"


@both_ways
def test_what_is_not_defined_fails_and_shows_nobody(native: bool, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UndefinedError):
        rendered(native=native, profiles=["canary@example.com", "{{ params.missing }}"])
    with pytest.raises(UndefinedError):
        rendered(native=native, profiles=["canary@example.com", "{{ params.missing }}@example.com"])
    assert "canary" not in caplog.text


def test_what_an_environment_says_of_no_value_counts() -> None:
    dag = {"jinja_environment_kwargs": {"finalize": lambda value: "nobody" if value is None else value}}
    assert rendered(dag=dag, profiles=["{{ params.one }}"], params={"one": None}).profiles.value == ["nobody"]


@both_ways
def test_macros_and_filters_of_the_dag_are_there(native: bool) -> None:
    dag = {"user_defined_macros": {"result": "1_1"}, "user_defined_filters": {"twice": lambda text: text * 2}}
    assert rendered(native=native, dag=dag, profiles=["{{ result }}", "{{ '1_' | twice }}"]).profiles.value == [
        "1_1",
        "1_1_",
    ]


@both_ways
def test_an_address_may_end_like_the_name_of_a_file(
    native: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "people.sql").write_text("SELECT email FROM {{ params.table }}")
    folder: Any = {"template_searchpath": [str(tmp_path)]}
    with DAG("a_dag", schedule=None, start_date=BEGIN, render_template_as_native_obj=native, **folder) as dag:
        people = ProfileDeletionOperator(task_id="list", profiles=["canary@example.sql", {"email": "x@{{ 1 }}.sql"}])
        query = ProfileDeletionOperator(task_id="query", sql="people.sql", sql_conn_id="x", parameters=["canary.sql"])
        late = ProfileDeletionOperator(task_id="late", sql="{{ params.file }}", sql_conn_id="x")
        missing = ProfileDeletionOperator(task_id="missing", sql="nothing.sql", sql_conn_id="x")
    with caplog.at_level(logging.ERROR):
        dag.resolve_template_files()
    assert query.sql == "SELECT email FROM {{ params.table }}"
    assert missing.sql == "nothing.sql"
    assert "canary" not in caplog.text
    context: Any = {"params": {"table": "people", "file": "x"}, "ti": None}
    for task in (people, query, late):
        task.render_template_fields(context)
    assert people.profiles.value == ["canary@example.sql", {"email": "x@1.sql"}]
    assert (query.sql, query.parameters, late.sql) == ("SELECT email FROM people", ["canary.sql"], "x")


def test_a_list_that_is_rendered_is_not_rendered_again() -> None:
    task = rendered(profiles=["{{ params.one }}"], params={"one": "{{ 'innocent' }}"})
    task.render_template_fields({"params": {}})
    assert task.profiles.value == ["{{ 'innocent' }}"]


def test_what_is_called_gives_data() -> None:
    task = rendered(profiles=lambda context, jinja_env: ["{{ 1 }}", context["params"]["one"]], params={"one": "1_1"})
    assert task.profiles.value == ["{{ 1 }}", "1_1"]
    assert str(task.profiles) == "<2 not shown>"


def test_numbers_as_text_delete_nobody_else(emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(emulator)
    meant = emulator.add_profile(external_id="12_345")
    emulator.add_profile(external_id="12345")
    rendered(native=True, profiles=[{"external_id": "12_345"}]).execute({})
    assert emulator.deleted == {meant}
