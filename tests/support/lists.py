"""Have a list deleted without a ledger, as the deletion operator does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from records import KEYS

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.deletion.checkpoint import Checkpoint
from airflow_provider_klaviyo.deletion.drain import drain
from airflow_provider_klaviyo.deletion.plan import make_plan
from airflow_provider_klaviyo.deletion.work import Work

__all__ = ["delete_listed"]


def delete_listed(
    listed: Sequence[object], client: KlaviyoClient, looked_up_at: datetime | None = None
) -> dict[str, Any]:
    """Look a list up, delete the profiles that it matches, and return the result.

    :param looked_up_at: by the emulator's clock.
    """

    def look_up() -> Work:
        return make_plan(listed, client).work(looked_up_at or datetime.now(UTC), KEYS)

    checkpoint = Checkpoint(None, "", KEYS, look_up, None)
    work = look_up()
    checkpoint.start(work)
    deletions = drain(work.profile_ids, client, record=checkpoint)
    return checkpoint.work.result(deletions)
