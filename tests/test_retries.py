"""When a failed task is tried again, as Airflow asks a policy; and what an Airflow says that knows none."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_klaviyo.api import errors
from airflow_provider_klaviyo.emulator import Emulator

DAG = """
from datetime import timedelta

from airflow.sdk import dag
from airflow_provider_klaviyo.operators.klaviyo import ProfileDeletionOperator
from airflow_provider_klaviyo.retries import KlaviyoRetryPolicy


@dag(schedule=None)
def erase():
    ProfileDeletionOperator(
        task_id="delete",
        profiles=["jane@example.com"],
        retries=1,
        retry_delay=timedelta(hours=9),
        retry_policy=KlaviyoRetryPolicy(refused_delay=timedelta(seconds=1)),
    )


erase()
"""

if AIRFLOW_V_3_3_PLUS:

    def decide(error: Exception, **arguments: Any) -> tuple[str, timedelta | None]:
        from airflow_provider_klaviyo.retries import KlaviyoRetryPolicy

        policy = KlaviyoRetryPolicy.deserialize(json.loads(json.dumps(KlaviyoRetryPolicy(**arguments).serialize())))
        decision = policy.evaluate(error, 1, 3)
        return decision.action.value, decision.retry_delay

    def test_klaviyos_word_counts() -> None:
        error = errors.KlaviyoRateLimitError("no", retry_after_seconds=3_600)
        assert decide(error) == ("retry", timedelta(hours=1))

    def test_no_retry_after_makes_it_wait_for_years() -> None:
        told = errors.KlaviyoRateLimitError("no", retry_after_seconds=1e8)
        assert decide(told) == ("retry", timedelta(days=1))
        assert decide(told, longest_delay=timedelta(days=7)) == ("retry", timedelta(days=7))

    def test_a_key_that_is_right_is_tried_again_for_days() -> None:
        error = errors.KlaviyoAuthenticationError("no")
        assert decide(error) == ("retry", timedelta(hours=1))
        assert decide(error, refused_delay=timedelta(hours=3)) == ("retry", timedelta(hours=3))

    @pytest.mark.parametrize(
        "kind", [errors.KlaviyoKeyError, errors.KlaviyoPermissionError, errors.KlaviyoConfigurationError]
    )
    def test_what_a_retry_cannot_mend_is_not_tried_again(kind: type[errors.KlaviyoError]) -> None:
        assert decide(kind("no")) == ("fail", None)

    @pytest.mark.parametrize("error", [errors.KlaviyoServerError("no"), ValueError("no")])
    def test_the_rest_is_left_to_the_task(error: Exception) -> None:
        assert decide(error) == ("default", None)

    def test_airflow_asks_it(airflow: Any, tmp_path: Path, emulator: Emulator, connection: Callable[..., str]) -> None:
        jane = emulator.add_profile(email="jane@example.com")
        emulator.fault("deletion_refused", times=1)
        airflow.dags = tmp_path / "dags"
        airflow.dags.mkdir()
        (airflow.dags / "erase.py").write_text(DAG)
        run = airflow.run("erase", AIRFLOW_CONN_KLAVIYO_DEFAULT=connection(emulator))
        assert run.returncode == 0, run.stdout + run.stderr
        assert emulator.deleted == {jane}

else:

    def test_an_airflow_without_policies_says_what_to_do() -> None:
        with pytest.raises(ImportError, match=r"needs Airflow 3\.3 or newer.*set retries and retry_delay"):
            importlib.import_module("airflow_provider_klaviyo.retries")
