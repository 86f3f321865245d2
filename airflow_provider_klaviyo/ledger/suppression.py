"""Whoever waits for deletion is suppressed first, so that no marketing e-mail reaches them; each one is recorded."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from sqlalchemy import and_, func, or_, select

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.ledger.ledger import READY, Ledger
from airflow_provider_klaviyo.ledger.tables import events, requests
from airflow_provider_klaviyo.restriction.suppress import suppress

__all__ = ["suppress_planned"]

SUPPRESSED: Final = "suppressed"
PROFILES_AT_ONCE: Final = 5_000

log = logging.getLogger(__name__)


def suppress_planned(ledger: Ledger, plan_id: str, client: KlaviyoClient) -> None:
    """Suppress everyone of a plan whose deletion is still to be requested; nobody while the plan is held.

    Whoever was suppressed before, for the same plan, is left out. So is whose deletion was asked for, by whatever plan:
    to suppress the address of a profile that is on its way out would make a new one.

    :raises KlaviyoError: at the first trouble that waiting did not mend. Who is suppressed by then is recorded.
    """
    if ledger.plan(plan_id)["state"] != READY:
        return
    number = 0
    waiting = _to_suppress(ledger, plan_id)
    for start in range(0, len(waiting), PROFILES_AT_ONCE):
        page = waiting[start : start + PROFILES_AT_ONCE]
        if start:
            # Another run may work the plan off already: its batches are there since it was registered.
            still = set(_to_suppress(ledger, plan_id))
            page = [profile_id for profile_id in page if profile_id in still]
        number += len(suppress(page, client, lambda done: _note(ledger, plan_id, done)).suppressed)
    log.info("Plan %s: %s of %s profiles are suppressed now", plan_id, f"{number:,}", f"{len(waiting):,}")


def _to_suppress(ledger: Ledger, plan_id: str) -> list[str]:
    planned = (
        select(requests.c.profile_id)
        .where(
            requests.c.account_id == ledger.account_id,
            requests.c.plan_id == plan_id,
            requests.c.outcome == Outcome.PLANNED.value,
            requests.c.profile_id.is_not(None),
        )
        .group_by(requests.c.profile_id)
        .order_by(func.min(requests.c.due_at), func.min(requests.c.number))
    )
    asked_for = select(requests.c.profile_id).where(
        requests.c.account_id == ledger.account_id,
        or_(
            requests.c.outcome == Outcome.REQUESTED.value,
            and_(requests.c.outcome == Outcome.PLANNED.value, requests.c.claimed_at.is_not(None)),
        ),
    )
    suppressed = select(events.c.profile_id).where(events.c.plan_id == plan_id, events.c.event == SUPPRESSED)
    with ledger.database.begin() as connection:
        left_out = {*connection.execute(asked_for).scalars(), *connection.execute(suppressed).scalars()}
        return [profile_id for profile_id in connection.execute(planned).scalars() if profile_id not in left_out]


def _note(ledger: Ledger, plan_id: str, profile_ids: Sequence[str]) -> None:
    with ledger.database.begin() as connection:
        ledger.note(connection, plan_id, SUPPRESSED, [(None, profile_id) for profile_id in profile_ids])
