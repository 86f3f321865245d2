"""A ledger that was restored from a backup: its plans may have been withdrawn, or worked off, since it was saved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, or_, select

from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.ledger.ledger import HELD, READY, Ledger
from airflow_provider_klaviyo.ledger.planning import withdraw_plan
from airflow_provider_klaviyo.ledger.tables import plans, requests

__all__ = ["Unfinished", "Withdrawn", "unfinished_plans", "withdraw_all"]


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A plan of which deletions are still to be requested.

    :param requests: identifiers that are to be deleted.
    """

    plan_id: str
    requests: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What a withdrawal of plans has stopped.

    :param unsent: identifiers whose deletion is not requested any more.
    :param in_doubt: identifiers whose deletion was being requested when the ledger was saved; they are watched.
    """

    plans: int
    unsent: int
    in_doubt: int


def unfinished_plans(ledger: Ledger) -> list[Unfinished]:
    """Return the plans of the ledger's account that are held, or not worked off, the oldest first.

    Those that were being made when the ledger was saved count for nothing, and are removed by a later plan.

    :raises LedgerUnavailableError: when the database cannot be read.
    """
    is_planned = requests.c.outcome == Outcome.PLANNED.value
    planned = (requests.c.plan_id == plans.c.plan_id) & is_planned
    query = (
        select(plans.c.plan_id, func.count(requests.c.plan_id))
        .select_from(plans.outerjoin(requests, planned))
        .where(plans.c.account_id == ledger.account_id, plans.c.state.in_((READY, HELD)))
        .group_by(plans.c.plan_id, plans.c.state, plans.c.began_at)
        .having(or_(func.count(requests.c.plan_id) > 0, plans.c.state == HELD))
        .order_by(plans.c.began_at, plans.c.plan_id)
    )
    with ledger.database.begin() as connection:
        return [Unfinished(plan_id, number) for plan_id, number in connection.execute(query)]


def withdraw_all(ledger: Ledger, unfinished: Iterable[Unfinished]) -> Withdrawn:
    """Withdraw these plans, one after the other; doing so once more does no harm.

    :raises LedgerUnavailableError: when the database fails; what was withdrawn until then stays so.
    """
    done = [withdraw_plan(ledger, one.plan_id) for one in unfinished]
    return Withdrawn(len(done), sum(one.unsent for one in done), sum(one.in_doubt for one in done))
