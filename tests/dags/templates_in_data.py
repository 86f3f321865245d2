"""Addresses that are templates, in all the ways in which another task can hand them over."""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_klaviyo.operators.klaviyo import ProfileDeletionOperator

TRAP = "{{ 'innocent' }}@example.com"


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def templates_in_data() -> None:
    """Hand a trap over directly, by ``partial``, by ``expand`` and by ``expand_kwargs``."""

    @task
    def people() -> list[str]:
        return [TRAP]

    @task
    def arguments() -> list[dict[str, list[str]]]:
        return [{"profiles": [TRAP, "jane@example.com"]}, {"profiles": ["{{ 1 / 0 }}@example.com"]}]

    listed: Any = people()
    accepting: Any = {"max_invalid": 1}
    ProfileDeletionOperator(task_id="directly", profiles=listed, **accepting)
    ProfileDeletionOperator.partial(task_id="partial", profiles=listed, **accepting).expand(
        klaviyo_conn_id=["klaviyo_default"]
    )
    ProfileDeletionOperator.partial(task_id="expand", **accepting).expand(profiles=listed)
    ProfileDeletionOperator.partial(task_id="expand_kwargs", **accepting).expand_kwargs(arguments())


templates_in_data()
