"""Every night, delete everyone on the suppression list from each of several Klaviyo accounts.

Every account has a connection, such as `klaviyo_eu`, and a pool of the same name: `airflow pools set klaviyo_eu 4
"Deletions from Klaviyo, EU"`. Make them first, or no deletion is ever started. All share the connections `warehouse`
and `klaviyo_ledger`: a ledger keeps accounts apart.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import TaskGroup, dag

from airflow_provider_klaviyo.operators.klaviyo import DeletionPlanOperator, ProfileDeletionOperator
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor

ACCOUNTS = ("eu", "us")


@dag(
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"retries": 5, "retry_delay": timedelta(minutes=10), "retry_exponential_backoff": True},
    doc_md=__doc__,
    tags=["klaviyo", "privacy"],
)
def delete_from_several_accounts() -> None:
    """Plan, delete and confirm for each account on its own: none waits for another, or fails with it."""
    for account in ACCOUNTS:
        klaviyo = f"klaviyo_{account}"
        with TaskGroup(account):
            plan = DeletionPlanOperator(
                task_id="plan",
                klaviyo_conn_id=klaviyo,
                sql_conn_id="warehouse",
                sql="SELECT email, request_id, received_at FROM suppression_list",
                max_profiles=1_000,
            )
            # Klaviyo's limits are each account's own, and so is the pool: a long list of one takes no slot of another.
            delete = ProfileDeletionOperator.partial(task_id="delete", klaviyo_conn_id=klaviyo, pool=klaviyo).expand(
                batch=plan.output
            )
            confirm = DeletionConfirmedSensor(
                task_id="confirm",
                klaviyo_conn_id=klaviyo,
                plan=plan.output,
                deferrable=True,
                trigger_rule="none_failed",
            )
            delete >> confirm


delete_from_several_accounts()
