"""Plans from every kind of source, each deleted and confirmed, and one that is held; no retries, to show a fault."""

from __future__ import annotations

import json
import os
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import chain, dag, task

from airflow_provider_klaviyo.operators.klaviyo import DeletionPlanOperator, ProfileDeletionOperator
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False)
def plans() -> None:
    """Make all plans, then delete one after the other, so that after a fault nobody else is at the same people."""

    @task(show_return_value_in_logs=False)
    def people() -> list[Any]:
        return list(json.loads(os.environ["PEOPLE"]))

    listed: Any = people()
    sources: dict[str, dict[str, Any]] = {
        "sql": {"sql": "SELECT email, received_at FROM suppression_list", "sql_conn_id": "warehouse"},
        "profiles": {"profiles": listed},
        "path": {"path": os.environ.get("PEOPLE_PATH", "people.csv")},
    }
    plans = [DeletionPlanOperator(task_id=f"plan_{name}", batch_size=2, **source) for name, source in sources.items()]
    deletions = [
        ProfileDeletionOperator.partial(task_id=f"delete_{name}").expand(batch=plan.output)
        for name, plan in zip(sources, plans, strict=True)
    ]
    chain(*plans, *deletions)
    for name, plan, delete in zip(sources, plans, deletions, strict=True):
        confirm = DeletionConfirmedSensor(task_id=f"confirm_{name}", plan=plan.output, deferrable=True, poke_interval=1)
        delete >> confirm
    DeletionPlanOperator(
        task_id="plan_held",
        sql="SELECT email FROM held_list",
        sql_conn_id="warehouse",
        max_profiles=1,
        fail_when_held=False,
    )


plans()
