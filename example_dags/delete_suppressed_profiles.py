"""Every night, delete from Klaviyo everyone on the warehouse's suppression list, and see that they are gone.

Connections: `klaviyo_default`, `warehouse` with the list, and `klaviyo_ledger`, a database that keeps the record.

Make the pool first, or no deletion is ever started: `airflow pools set klaviyo_deletions 4 "Deletions from Klaviyo"`.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import dag

from airflow_provider_klaviyo.operators.klaviyo import DeletionPlanOperator, ProfileDeletionOperator
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor


@dag(
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"retries": 5, "retry_delay": timedelta(minutes=10), "retry_exponential_backoff": True},
    doc_md=__doc__,
    tags=["klaviyo", "privacy"],
)
def delete_suppressed_profiles() -> None:
    """Register the list as a plan, delete it batch by batch, and wait until the last profile is gone."""
    plan = DeletionPlanOperator(
        task_id="plan",
        sql_conn_id="warehouse",
        sql="SELECT email, request_id, received_at FROM suppression_list",
        # A join gone wrong must not delete everybody: a plan that matches more profiles fails, and deletes nobody.
        max_profiles=1_000,
    )
    delete = ProfileDeletionOperator.partial(task_id="delete", pool="klaviyo_deletions").expand(batch=plan.output)

    # Where nobody is left to delete, `delete` is skipped, and this has nothing to wait for.
    confirm = DeletionConfirmedSensor(task_id="confirm", plan=plan.output, deferrable=True, trigger_rule="none_failed")
    delete >> confirm


delete_suppressed_profiles()
