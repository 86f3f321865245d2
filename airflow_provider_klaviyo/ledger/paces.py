"""One pace for all workers: the next free turn of each account and endpoint is a row of the ledger's database.

A turn is taken by compare-and-set, and how long to wait for it is worked out from the database's clock, so that it
does not matter what the workers' clocks say.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import and_

from airflow_provider_klaviyo.api.pace import Pace, Slot, hold, reserve
from airflow_provider_klaviyo.ledger.database import Database
from airflow_provider_klaviyo.ledger.errors import LedgerUnavailableError
from airflow_provider_klaviyo.ledger.tables import paces

__all__ = ["LedgerPaces"]

# Turns that come quicker than this are taken several at once, and a refusal met by another worker is seen within it.
SECONDS_AT_ONCE: Final = 1.0
MOST_AT_ONCE: Final = 1_000
# So late a turn may be used all the same: the few that come together then are nothing to Klaviyo.
LATE_SECONDS: Final = 0.1
TRIES: Final = 100
# Far more than all turns waited for, and any refusal, can come to.
LONGEST_AHEAD_SECONDS: Final = 3_600.0


@dataclass(slots=True)
class _Local:
    """What this process knows of one pace.

    :param turns: taken, and not used yet.
    :param taken: how many turns were taken the last time, less those that came to nothing.
    :param all_used: whether none did.
    :param offset: the database's clock less ours, as of when the pace was read.
    :param read_at: when that was, on our clock.
    """

    turns: deque[float] = field(default_factory=deque)
    taken: int = 0
    all_used: bool = True
    held_until: float = 0.0
    offset: float = 0.0
    read_at: float = float("-inf")


class LedgerPaces:
    """The paces of everything that shares a ledger, in the form of `Paces`. Safe between threads.

    :raises LedgerUnavailableError: from every method, when a pace cannot be read or written. Then no call is made.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._locals: dict[tuple[str, str], _Local] = {}

    def reserve(
        self,
        account: str,
        endpoint: str,
        interval_seconds: float,
        slot: Slot | None = None,
        longest_seconds: float = math.inf,
    ) -> Slot:
        """Take the next turn at an endpoint of an account, or look again at one taken earlier.

        A turn further away than ``longest_seconds`` is not taken.
        """
        with self._lock:
            local = self._locals.setdefault((account, endpoint), _Local())
            if self._clock() - local.read_at >= SECONDS_AT_ONCE and (slot is not None or local.turns):
                self._change(account, endpoint, local, interval_seconds, _read)
            late = self._now(local) - max(interval_seconds, SECONDS_AT_ONCE)
            # A turn that a stall has let pass is void: all who were stalled would go at once.
            if slot is not None and slot.at >= local.held_until and slot.at > late:
                return self._slot(local, slot.at)
            while local.turns:
                at = local.turns.popleft()
                if at >= local.held_until and at > self._now(local) - max(interval_seconds, LATE_SECONDS):
                    return self._slot(local, at)
                local.taken, local.all_used = local.taken - 1, False
            # Twice as many while all are used: who has one question must not use up the turns of a second.
            most = min(MOST_AT_ONCE, int(SECONDS_AT_ONCE / interval_seconds))
            local.taken = max(1, min(most, 2 * local.taken if local.all_used else local.taken))
            local.all_used = True
            self._change(
                account, endpoint, local, interval_seconds, _take(local.taken, interval_seconds, longest_seconds)
            )
            return self._slot(local, local.turns.popleft())

    def hold(self, account: str, endpoint: str, seconds: float) -> None:
        """Keep everybody off an endpoint of an account for so long from now."""
        with self._lock:
            local = self._locals.setdefault((account, endpoint), _Local())
            self._change(account, endpoint, local, 0.0, lambda pace, now: (hold(pace, now + seconds), []))

    def _now(self, local: _Local) -> float:
        return self._clock() + local.offset

    def _slot(self, local: _Local, at: float) -> Slot:
        return Slot(at, max(0.0, at - self._now(local)))

    def _change(
        self,
        account: str,
        endpoint: str,
        local: _Local,
        interval_seconds: float,
        change: Callable[[Pace, float], tuple[Pace, list[float]]],
    ) -> None:
        """Read a pace, change it unless somebody else has meanwhile, and keep what is known of it now."""
        row = and_(paces.c.quota == account, paces.c.endpoint == endpoint)
        for _ in range(TRIES):
            with self._database.begin() as connection:
                now = self._database.seconds(connection)
                read_at = self._clock()
                found = connection.execute(paces.select().where(row)).mappings().first()
                before = (
                    _plausible(Pace(found["next_at"], found["held_until"]), now)
                    if found
                    else Pace.starting(now, interval_seconds)
                )
                after, turns = change(before, now)
                values = {"next_at": after.next_at, "held_until": max(0.0, after.held_until)}
                if found is None:
                    new = {"quota": account, "endpoint": endpoint, "version": 1, **values}
                    done = self._database.insert_once(connection, paces, new)
                elif after == before:
                    done = True
                else:
                    statement = paces.update().where(row, paces.c.version == found["version"])
                    version = found["version"] + 1
                    done = connection.execute(statement.values(version=version, **values)).rowcount == 1
            if done:
                local.turns.extend(turns)
                local.held_until, local.offset, local.read_at = after.held_until, now - read_at, read_at
                return
        raise LedgerUnavailableError(
            f"the pace of {endpoint} was changed by others {TRIES} times in a row while it was to be changed here: are "
            "there hundreds of workers? Give their pool fewer slots"
        )


def _plausible(pace: Pace, now: float) -> Pace:
    """Return a pace as it was kept, unless the database's clock was far ahead when it was: then it begins anew."""
    if max(pace.next_at, pace.held_until) > now + LONGEST_AHEAD_SECONDS:
        return Pace(now, 0.0)
    return pace


def _read(pace: Pace, _: float) -> tuple[Pace, list[float]]:
    """Change nothing."""
    return pace, []


def _take(
    number: int, interval_seconds: float, longest_seconds: float
) -> Callable[[Pace, float], tuple[Pace, list[float]]]:
    """Return the change that takes the next turns; the first one is named even where it is too far away to be taken."""

    def take(pace: Pace, now: float) -> tuple[Pace, list[float]]:
        pace, slot = reserve(pace, now, interval_seconds, None, longest_seconds)
        turns = [slot.at]
        while len(turns) < number and slot.wait_seconds <= longest_seconds:
            pace, slot = reserve(pace, now, interval_seconds)
            turns.append(slot.at)
        return pace, turns

    return take
