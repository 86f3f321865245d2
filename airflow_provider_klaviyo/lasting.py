"""Fail a task for good when trying again cannot help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["fail_for_good"]


@contextmanager
def fail_for_good() -> Iterator[None]:
    """Turn what a retry cannot mend into Airflow's `AirflowFailException`, which skips the retries left.

    That is: a connection or an argument that cannot work, a key without the scope, a list that is too large, a plan
    that is held. A key
    that is not accepted (401) is retried, because Klaviyo has refused good keys for days and then taken them again.
    """
    from airflow.providers.common.compat.sdk import AirflowFailException

    from airflow_provider_klaviyo.api.errors import KlaviyoConfigurationError, KlaviyoPermissionError
    from airflow_provider_klaviyo.deletion.identifiers import IdentifierKindError
    from airflow_provider_klaviyo.deletion.plan import PlanTooLargeError
    from airflow_provider_klaviyo.ledger.errors import LedgerSetupError
    from airflow_provider_klaviyo.sources.errors import SourceError

    lasting = (
        KlaviyoConfigurationError,
        KlaviyoPermissionError,
        IdentifierKindError,
        LedgerSetupError,
        PlanTooLargeError,
        SourceError,
    )
    try:
        yield
    except lasting as error:
        # Its message says it all; the cause would be the same text and a second traceback.
        raise AirflowFailException(str(error)) from None
