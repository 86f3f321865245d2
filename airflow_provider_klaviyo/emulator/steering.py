"""What all controls are made of: the state of an emulator, a lock, and a clock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from random import Random

from airflow_provider_klaviyo.emulator.journal import JournalledState
from airflow_provider_klaviyo.emulator.settings import Settings
from airflow_provider_klaviyo.emulator.state import State
from airflow_provider_klaviyo.emulator.tenants import Account, Tenant


class Steering:
    """The state of an emulator, with a lock, a clock and, if it is to outlive its process, a journal."""

    def __init__(
        self, settings: Settings, *, seed: int | None, clock: Callable[[], float], journal: Path | None = None
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.RLock()
        rng = Random(seed)  # noqa: S311 - dice, not secrets
        self._state = State(settings, rng) if journal is None else JournalledState(settings, rng, journal)
        self.account: Account

    def _now(self) -> float:
        """Return the time, once everything has happened that was due by then."""
        now = self._clock()
        self._state.settle(now)
        return now

    def _tenant(self, account: Account | str | None) -> Tenant:
        account_id = account.id if isinstance(account, Account) else account or self.account.id
        if account_id not in self._state.tenants:
            raise ValueError("There is no such account.")
        return self._state.tenants[account_id]

    def _account_id(self, account: Account | str | None) -> str:
        return self._tenant(account).account.id

    def _tenant_with(self, profile_id: str) -> Tenant:
        """Return the account that a profile is in."""
        for tenant in self._state.tenants.values():
            if tenant.profiles.get(profile_id) is not None:
                return tenant
        raise ValueError("There is no such profile.")
