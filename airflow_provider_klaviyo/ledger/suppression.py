"""Suppress profiles while they wait for deletion, so that no marketing e-mail reaches them, and record each one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from sqlalchemy import and_, or_, select

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.deletion.meant import fingerprints_of
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.ledger.ledger import READY, Ledger
from airflow_provider_klaviyo.ledger.tables import events, plans, requests
from airflow_provider_klaviyo.restriction.suppress import suppress

__all__ = ["suppress_planned"]

SUPPRESSED: Final = "suppressed"
PROFILES_AT_ONCE: Final = 5_000

log = logging.getLogger(__name__)


def suppress_planned(ledger: Ledger, plan_id: str, client: KlaviyoClient) -> None:
    """Suppress the profiles of a plan whose deletion is still to be requested; none while the plan is held.

    Left out are profiles that were suppressed before for the same plan; those whose deletion was requested, by any
    plan, because to suppress the address of a profile that is on its way out would make a new one; and those that do
    not hold what was listed any more, as a look-up by id just before sees it.

    :raises KlaviyoError: at the first trouble that waiting did not mend. Those suppressed by then are recorded.
    """
    number = 0
    waiting = list(_to_suppress(ledger, plan_id))
    for start in range(0, len(waiting), PROFILES_AT_ONCE):
        # Asked anew: another run may work the plan off already, and somebody may withdraw it.
        still = _to_suppress(ledger, plan_id)
        page = [profile_id for profile_id in waiting[start : start + PROFILES_AT_ONCE] if profile_id in still]
        is_meant = partial(_is_meant, ledger, still)
        number += len(suppress(page, client, partial(_note, ledger, plan_id), is_meant=is_meant).suppressed)
    log.info("Plan %s: %s of %s profiles are suppressed now", plan_id, f"{number:,}", f"{len(waiting):,}")


def _is_meant(ledger: Ledger, listed: Mapping[str, set[str]], profile: Profile) -> bool:
    return not listed.get(profile.id, set()).isdisjoint(fingerprints_of(profile, ledger.keys))


def _to_suppress(ledger: Ledger, plan_id: str) -> dict[str, set[str]]:
    """Return the profiles to suppress, each with the fingerprints that it is listed by."""
    planned = (
        select(requests.c.profile_id, requests.c.fingerprint)
        .join(plans, plans.c.plan_id == requests.c.plan_id)
        .where(
            requests.c.account_id == ledger.account_id,
            requests.c.plan_id == plan_id,
            requests.c.outcome == Outcome.PLANNED.value,
            requests.c.profile_id.is_not(None),
            plans.c.state == READY,
        )
        .order_by(requests.c.due_at, requests.c.number)
    )
    asked_for = select(requests.c.profile_id).where(
        requests.c.account_id == ledger.account_id,
        or_(
            requests.c.outcome == Outcome.REQUESTED.value,
            and_(requests.c.outcome == Outcome.PLANNED.value, requests.c.claimed_at.is_not(None)),
        ),
    )
    suppressed = select(events.c.profile_id).where(events.c.plan_id == plan_id, events.c.event == SUPPRESSED)
    listed: dict[str, set[str]] = {}
    with ledger.database.begin() as connection:
        left_out = {*connection.execute(asked_for).scalars(), *connection.execute(suppressed).scalars()}
        for profile_id, fingerprint in connection.execute(planned):
            if profile_id not in left_out:
                listed.setdefault(profile_id, set()).add(fingerprint)
    return listed


def _note(ledger: Ledger, plan_id: str, profile_ids: Sequence[str]) -> None:
    with ledger.database.begin() as connection:
        ledger.note(connection, plan_id, SUPPRESSED, [(None, profile_id) for profile_id in profile_ids])
