"""Every night, delete everyone on the suppression list; where that is unusually many, ask a person first.

Until somebody answers, under *Required Actions*, nothing is deleted. The question goes out by mail, and so does an
alert when a run is not done after a week: the law gives a month. Mail needs a connection `smtp_default` with
`from_email`.

Make the pool first, or no deletion is ever started: `airflow pools set klaviyo_deletions 4 "Deletions from Klaviyo"`.

Asking a person came with Airflow 3.1 and deadlines for everybody with 3.2: on an older one this file defines no DAG.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_2_PLUS

from airflow_provider_klaviyo.operators.klaviyo import (
    DeletionPlanOperator,
    DeletionPlanReleaseOperator,
    ProfileDeletionOperator,
)
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor

PEOPLE_TO_ASK = "privacy@example.com"

QUESTION = """
{% set plan = ti.xcom_pull(task_ids="plan", key="plan") %}
| Klaviyo account {{ plan.account_id }} | |
|---|---|
| rows listed | {{ "{:,}".format(plan.listed) }} |
| of them in work or settled before, or listed twice | {{ "{:,}".format(plan.known + plan.duplicates) }} |
| not in Klaviyo | {{ "{:,}".format(plan.absent) }} |
| **profiles to delete** | **{{ "{:,}".format(plan.profiles) }}** |
| hours that takes | {{ "{:.1f}".format(plan.seconds / 3600) }} |

It cannot be undone.
"""

if AIRFLOW_V_3_2_PLUS:
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier
    from airflow.providers.standard.operators.hitl import ApprovalOperator
    from airflow.sdk import (  # type: ignore[attr-defined]
        AsyncCallback,
        DeadlineAlert,
        DeadlineReference,
        XComArg,
        dag,
        task,
    )

    LATE = {
        "to": PEOPLE_TO_ASK,
        "subject": "Deletions from Klaviyo are late",
        "html_content": "Not done: {{ dag_run.dag_id }}, {{ dag_run.dag_run_id }}",
    }

    @dag(
        schedule="@daily",
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        # The next list is planned once this one is answered, so that nobody is asked twice about the same people.
        max_active_runs=1,
        # For its sake `airflow dags test` of Airflow 3.3.2 ends a good run with an error: apache/airflow#73428.
        deadline=DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT,
            interval=timedelta(days=7),
            callback=AsyncCallback(SmtpNotifier, kwargs=LATE),
        ),
        default_args={"retries": 5, "retry_delay": timedelta(minutes=10), "retry_exponential_backoff": True},
        doc_md=__doc__,
        tags=["klaviyo", "privacy"],
    )
    def approve_large_deletions() -> None:
        """Plan, ask if the plan is held because it is large, then delete and confirm."""
        plan = DeletionPlanOperator(
            task_id="plan",
            sql_conn_id="warehouse",
            sql="SELECT email, request_id, received_at FROM suppression_list",
            max_profiles=1_000,
            fail_when_held=False,
        )
        summary: Any = XComArg(plan, key="plan")

        @task.short_circuit(ignore_downstream_trigger_rules=False)
        def is_held(plan: dict[str, Any]) -> bool:
            return bool(plan["state"] == "held")

        approve = ApprovalOperator(
            task_id="approve",
            subject="Delete this many people from Klaviyo?",
            body=QUESTION,
            notifiers=SmtpNotifier(
                to=PEOPLE_TO_ASK,
                subject="{{ task.subject }}",
                html_content="Under Required Actions: {{ dag.dag_id }}, {{ run_id }}",
            ),
            # A "Reject" skips everything after it, also `delete`, which would otherwise run as for a small plan.
            ignore_downstream_trigger_rules=True,
        )
        release = DeletionPlanReleaseOperator(task_id="release", plan=summary)
        delete = ProfileDeletionOperator.partial(
            task_id="delete", pool="klaviyo_deletions", trigger_rule="none_failed"
        ).expand(batch=plan.output)
        confirm = DeletionConfirmedSensor(
            task_id="confirm", plan=plan.output, deferrable=True, trigger_rule="none_failed"
        )
        is_held(summary) >> approve >> release >> delete >> confirm

    approve_large_deletions()
