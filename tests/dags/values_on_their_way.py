"""Identifiers that look like Python literals or templates, in all the ways in which a task can be given them."""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_klaviyo.operators.klaviyo import ProfileDeletionOperator, ProfileUpdateOperator

Delete: Any = ProfileDeletionOperator
PARAMS = {
    "id": "0x1F",
    "phone": "+15005550006",
    "list": [{"external_id": "1_1"}, {"external_id": "1_2"}],
    "number": 123,
}
SQL = "SELECT email FROM people WHERE name = ?"


def make(dag_id: str, **arguments: Any) -> DAG:
    """Make a DAG of one task for each way, with an external id or an address of its own."""
    with DAG(dag_id, schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), **arguments) as dag:

        @task
        def people() -> list[dict[str, str]]:
            return [{"external_id": "2_1"}, {"external_id": "{{ '2_2' }}"}]

        @task
        def lists() -> list[list[dict[str, str]]]:
            return [[{"external_id": "3_1"}], [{"external_id": "{{ '3_2' }}"}]]

        @task
        def arguments_of_tasks() -> list[dict[str, Any]]:
            return [{"profiles": [{"external_id": "4_1"}, {"external_id": "{{ '4_2' }}"}]}]

        listed: Any = people()
        Delete(task_id="literal", profiles=({"external_id": "5_1"}, {"phone_number": "+15005550001"}))
        Delete(task_id="template", profiles=[{"external_id": "{{ params.id }}"}, "{{ params.phone }}"])
        Delete(task_id="part", profiles=[{"external_id": "{{ params.id }}-{{ params.number }}"}])
        Delete(task_id="output", profiles=listed)
        Delete(task_id="outputs", profiles=[{"external_id": "5_2"}, listed])
        other = Delete(task_id="set_later", profiles=[])
        other.profiles = [{"external_id": "{{ '5_3' }}"}]

        one = {"klaviyo_conn_id": ["klaviyo_default"]}
        Delete.partial(task_id="partial", profiles=[{"external_id": "{{ '6_1' }}"}, {"external_id": "6_2"}]).expand(
            **one
        )
        Delete.partial(task_id="partial_output", profiles=listed).expand(**one)
        Delete.partial(task_id="partial_list").expand_kwargs(
            [{"profiles": [{"external_id": "{{ '7_1' }}"}]}, {"profiles": [listed, {"external_id": "7_2"}]}]
        )
        Delete.partial(task_id="expand").expand(profiles=lists())
        Delete.partial(task_id="expand_items").expand(profiles=listed)
        Delete.partial(task_id="expand_list").expand(profiles=[[{"external_id": "{{ '8_1' }}"}], listed])
        Delete.partial(task_id="expand_kwargs").expand_kwargs(arguments_of_tasks())

        query = {"sql": SQL, "sql_conn_id": "warehouse"}
        Delete(task_id="parameter", parameters=["12_345"], **query)
        Delete(task_id="parameter_template", parameters=["{{ params.id }}"], **query)
        Delete.partial(task_id="parameter_partial", parameters=["{{ params.phone }}"], **query).expand(**one)
        Delete.partial(task_id="parameter_expand", **query).expand(parameters=[["{{ '9_1' }}"], ["9_2"]])

        Delete(task_id="connection", profiles=[{"external_id": "9_9"}], klaviyo_conn_id="{{ params.number }}")
        ProfileUpdateOperator(
            task_id="update", profiles=[{"email": "jane@example.com", "new_external_id": "{{ '00_7' }}"}]
        )
    return dag


text = make("values_as_text", params=PARAMS)
native = make("values_as_objects", params=PARAMS, render_template_as_native_obj=True)
with native:
    Delete(task_id="list", profiles="{{ params.list }}")
    Delete.partial(task_id="list_partial", profiles="{{ params.list }}").expand(klaviyo_conn_id=["klaviyo_default"])
