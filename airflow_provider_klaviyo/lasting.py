"""Fail a task for good when trying again cannot help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["fail_for_good", "lasting_errors"]


def lasting_errors() -> tuple[type[Exception], ...]:
    """Return what a retry cannot mend.

    That is: a connection or an argument that cannot work, a key that is accepted nowhere or lacks the scope, a list
    that is too large, a plan that is held. A key that is right elsewhere is tried again: Klaviyo has refused good keys
    for days at one endpoint, and then taken them again.
    """
    from airflow_provider_klaviyo.access.errors import ExportRefusedError, OutputPathError
    from airflow_provider_klaviyo.api.errors import KlaviyoConfigurationError, KlaviyoKeyError, KlaviyoPermissionError
    from airflow_provider_klaviyo.deletion.identifiers import IdentifierKindError
    from airflow_provider_klaviyo.deletion.invalid_rows import InvalidListError
    from airflow_provider_klaviyo.deletion.plan import PlanTooLargeError
    from airflow_provider_klaviyo.ledger.errors import LedgerSetupError
    from airflow_provider_klaviyo.sources.errors import SourceError

    return (
        ExportRefusedError,
        KlaviyoConfigurationError,
        KlaviyoKeyError,
        KlaviyoPermissionError,
        IdentifierKindError,
        InvalidListError,
        LedgerSetupError,
        OutputPathError,
        PlanTooLargeError,
        SourceError,
    )


@contextmanager
def fail_for_good() -> Iterator[None]:
    """Turn what a retry cannot mend into Airflow's `AirflowFailException`, which skips the retries left."""
    from airflow.providers.common.compat.sdk import AirflowFailException

    try:
        yield
    except lasting_errors() as error:
        # Its message says it all; the cause would be the same text and a second traceback.
        raise AirflowFailException(str(error)) from None
