"""People who come from another task: deleted as one list and one by one, confirmed in every mode."""

from __future__ import annotations

import json
import os
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_klaviyo.operators.klaviyo import ProfileDeletionOperator
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def people_from_a_task() -> None:
    """Delete, and confirm in all the ways there are, one after the other."""

    @task(show_return_value_in_logs=False)
    def people() -> dict[str, list[str]]:
        return dict(json.loads(os.environ["PEOPLE"]))

    @task(show_return_value_in_logs=False)
    def mapped_people() -> list[str]:
        return list(json.loads(os.environ["PEOPLE"])["mapped"])

    listed: Any = people()
    quick: dict[str, Any] = {"poke_interval": 1, "exponential_backoff": False}
    ways: dict[str, dict[str, Any]] = {
        "poke": {"mode": "poke"},
        "reschedule": {"mode": "reschedule"},
        "defer": {"deferrable": True},
    }
    before: Any = listed
    for name, way in ways.items():
        delete = ProfileDeletionOperator(task_id=f"delete_{name}", profiles=listed[name])
        confirm = DeletionConfirmedSensor(task_id=name, profiles=delete.output, **way, **quick)
        before >> delete >> confirm
        before = confirm

    delete = ProfileDeletionOperator(task_id="delete_addresses", profiles=listed["addresses"])
    confirm = DeletionConfirmedSensor(task_id="addresses", profiles=listed["addresses"], deferrable=True, **quick)
    one_by_one = ProfileDeletionOperator.partial(task_id="one_by_one").expand(profiles=mapped_people())
    before >> delete >> confirm >> one_by_one
    DeletionConfirmedSensor(task_id="mapped", profiles=one_by_one.output, mode="poke", **quick)


people_from_a_task()
