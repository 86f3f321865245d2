"""When to try a failed task again, for Airflow 3.3 and newer: older ones have no retry policies."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_klaviyo.api.errors import KlaviyoAuthenticationError, KlaviyoError
from airflow_provider_klaviyo.lasting import lasting_errors

try:
    from airflow.providers.common.compat.sdk import RetryDecision, RetryPolicy
except (AttributeError, ImportError):
    raise ImportError(
        "KlaviyoRetryPolicy needs Airflow 3.3 or newer. On this one leave retry_policy out: set retries and retry_delay"
    ) from None

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["KlaviyoRetryPolicy"]


class KlaviyoRetryPolicy(RetryPolicy):
    """Try again when Klaviyo said, hours later where it refuses a key that is right, and not when it cannot help.

    Airflow itself does not know what Klaviyo said: its ``retry_delay`` is too short for a ``Retry-After`` of an hour,
    and too long for one of a second. A policy cannot add retries: set ``retries`` to as many as you want.

    :param refused_delay: before the next try when an endpoint refuses a key that others accept. With an hour, 48
        retries outlast the two days of April 2026.
    :param longest_delay: before any retry, whatever a ``Retry-After`` says; a day by default.

    Source: https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/tasks.html
    """

    def __init__(
        self, *, refused_delay: timedelta = timedelta(hours=1), longest_delay: timedelta = timedelta(days=1)
    ) -> None:
        self.refused_delay = refused_delay
        self.longest_delay = longest_delay

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Return when to try again; what is not Klaviyo's is left to the task's own ``retry_delay``."""
        match exception:
            case Exception() if isinstance(exception, lasting_errors()):
                return RetryDecision.fail(str(exception))
            case KlaviyoAuthenticationError():
                return RetryDecision.retry(self.refused_delay, "Klaviyo refuses a key that is right, for now")
            case KlaviyoError(retry_after_seconds=float() | int() as seconds) if seconds >= 0:
                longest = self.longest_delay.total_seconds()
                delay = timedelta(seconds=min(seconds, longest))
                reason = "as long as Klaviyo said" if seconds <= longest else "longest_delay; Klaviyo said longer"
                return RetryDecision.retry(delay, reason)
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """Return what makes the same policy again."""
        return {
            "refused_delay": self.refused_delay.total_seconds(),
            "longest_delay": self.longest_delay.total_seconds(),
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> KlaviyoRetryPolicy:
        """Make a policy again."""
        return cls(**{name: timedelta(seconds=seconds) for name, seconds in data.items()})
