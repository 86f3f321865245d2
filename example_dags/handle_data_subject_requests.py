"""Every night, do what people have asked for: see their data, correct it, get no more mail, be forgotten.

One table, `data_subject_requests`, has a row for each request: `kind` says which of the four it is. Each goes to its
operator until your own books say when it was closed. What became of them all is what the last task returns, in numbers.

Connections: `klaviyo_default`, `warehouse` with the table, and `klaviyo_ledger`, a database that keeps the record.
Variable: `klaviyo_exports`, the folder for the documents of those who want to see their data, such as
`s3://aws_default@privacy-exports`. They are personal: nobody may read it who need not.

Make the pool first, or no deletion is ever started: `airflow pools set klaviyo_deletions 4 "Deletions from Klaviyo"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_klaviyo.operators.klaviyo import (
    DeletionPlanOperator,
    ProfileAccessOperator,
    ProfileDeletionOperator,
    ProfileSuppressionOperator,
    ProfileUpdateOperator,
)
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor

REQUESTS = "FROM data_subject_requests WHERE closed_at IS NULL AND kind"


@dag(
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"retries": 5, "retry_delay": timedelta(minutes=10), "retry_exponential_backoff": True},
    doc_md=__doc__,
    tags=["klaviyo", "privacy"],
)
def handle_data_subject_requests() -> None:
    """Route each request to its operator; nobody is forgotten before those who want to see their data have it."""
    restrict = ProfileSuppressionOperator(
        task_id="restrict",
        sql_conn_id="warehouse",
        sql=f"SELECT email, request_id {REQUESTS} = 'restriction'",
    )
    access = ProfileAccessOperator(
        task_id="access",
        sql_conn_id="warehouse",
        sql=f"SELECT email, request_id {REQUESTS} = 'access'",
        output_path="{{ var.value.klaviyo_exports }}",
        include_events=True,
    )
    rectify = ProfileUpdateOperator(
        task_id="rectify",
        sql_conn_id="warehouse",
        sql=f"SELECT external_id, request_id, new_email, new_phone_number {REQUESTS} = 'rectification'",
    )
    plan = DeletionPlanOperator(
        task_id="plan",
        sql_conn_id="warehouse",
        sql=f"SELECT email, request_id, received_at, regulation {REQUESTS} = 'erasure'",
        max_profiles=1_000,
        # A thousand deletions take 17 minutes; from here on nobody in the plan is sent marketing mail.
        suppress_first=True,
    )
    delete = ProfileDeletionOperator.partial(task_id="delete", pool="klaviyo_deletions").expand(batch=plan.output)
    confirm = DeletionConfirmedSensor(task_id="confirm", plan=plan.output, deferrable=True, trigger_rule="none_failed")

    @task
    def outcomes(
        restriction: Mapping[str, Any],
        access: Mapping[str, Any],
        rectification: Mapping[str, Any],
        erasure: Mapping[str, Any],
    ) -> dict[str, dict[str, int]]:
        """Return what became of the requests of each kind, counted by outcome."""
        found = {"restriction": restriction, "access": access, "rectification": rectification, "erasure": erasure}
        return {
            kind: {outcome: number for outcome, number in counts.items() if isinstance(number, int) and number}
            for kind, counts in found.items()
        }

    access >> plan
    delete >> confirm
    outcomes(restrict.output, access.output, rectify.output, confirm.output)  # type: ignore[arg-type]


handle_data_subject_requests()
