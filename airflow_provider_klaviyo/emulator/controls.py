"""Everything that can be asked of, and done to, an emulator from outside its API; thread-safe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_provider_klaviyo.emulator.answers import Answer, Outcome
from airflow_provider_klaviyo.emulator.api_gate import ApiGate
from airflow_provider_klaviyo.emulator.asking import Asked
from airflow_provider_klaviyo.emulator.endpoint import Endpoint
from airflow_provider_klaviyo.emulator.endpoints import ENDPOINT_NAMES, TOKEN_ENDPOINT
from airflow_provider_klaviyo.emulator.faults import Fault
from airflow_provider_klaviyo.emulator.installation_controls import InstallationControls
from airflow_provider_klaviyo.emulator.people_controls import PeopleControls
from airflow_provider_klaviyo.emulator.settings import draw_seconds
from airflow_provider_klaviyo.emulator.tenants import Account
from airflow_provider_klaviyo.emulator.token_gate import TokenGate


class Controls(PeopleControls, InstallationControls):
    """All controls."""

    def add_account(
        self,
        organization_name: str = "Another Example Shop",
        *,
        account_id: str | None = None,
        key: str | None = None,
        scopes: Iterable[str] | None = None,
    ) -> Account:
        """Open one more account, with one key; `scopes` None means all there are."""
        with self._lock:
            return self._state.add_account(
                account_id=account_id, organization_name=organization_name, key=key, scopes=scopes
            )

    def add_key(
        self,
        account: Account | str | None = None,
        *,
        key: str | None = None,
        scopes: Iterable[str] | None = None,
    ) -> str:
        """Make one more key for an account and return it; it shares the quota of the others."""
        with self._lock:
            return self._state.add_key(self._account_id(account), key=key, scopes=scopes)

    @property
    def accounts(self) -> list[Account]:
        """All accounts, the default one first."""
        with self._lock:
            return [tenant.account for tenant in self._state.tenants.values()]

    @property
    def deletion_requests(self) -> list[str]:
        """The profile ids of all accepted requests, in order and as often as they were requested."""
        with self._lock:
            return list(self._state.deletions.requests)

    @property
    def deleted(self) -> set[str]:
        """The ids of the profiles that are gone."""
        with self._lock:
            self._now()
            return set(self._state.deletions.gone)

    @property
    def pending(self) -> set[str]:
        """The ids of the profiles whose deletion was accepted and is not done."""
        with self._lock:
            self._now()
            return set(self._state.deletions.pending)

    def calls(self, endpoint: str | None = None, status: Outcome | None = None) -> int:
        """Return how many calls there were; `status` is a number, or "dropped" for no answer."""
        _check_endpoint(endpoint)
        with self._lock:
            return self._state.counts.calls(endpoint, status)

    def report(self) -> dict[str, Any]:
        """Return what was asked, as JSON, without identifiers and keys."""
        with self._lock:
            self._now()
            return self._state.report()

    def reset_counts(self) -> None:
        """Begin a new report; profiles, deletions, faults and what is used of the quotas stay."""
        with self._lock:
            self._state.reset_counts()

    def fault(
        self,
        name: str,
        *,
        endpoint: str | None = None,
        account: Account | str | None = None,
        times: int | None = None,
        probability: float = 1.0,
        **options: object,
    ) -> None:
        """Make something go wrong from now on: everywhere and always, or less.

        `faults.FAULTS` has the names and options. `times` is how often it strikes, `probability` how
        likely each time. Several faults can be on at once; of one name, the first that strikes counts.
        """
        _check_endpoint(endpoint)
        with self._lock:
            now = self._now()
            account_id = None if account is None else self._account_id(account)
            self._state.faults.add(Fault(name, now, endpoint, account_id, times, probability, options))

    def clear_faults(self, name: str | None = None) -> None:
        """Let things go right again, all of them or one; deletions that were held then finish."""
        with self._lock:
            self._now()
            self._state.faults.clear(name)
            self._state.agenda.release(name)

    @property
    def faults(self) -> list[dict[str, Any]]:
        """The faults that are on, and how often each struck."""
        with self._lock:
            return [fault.describe() for fault in self._state.faults]

    def answer(self, endpoint: Endpoint, asked: Asked) -> tuple[Answer, float]:
        """Return the answer to a request, and how many seconds to let the client wait for it."""
        with self._lock:
            latency_seconds = draw_seconds(self._settings.latency_seconds, self._state.rng)
            gate = TokenGate if endpoint is TOKEN_ENDPOINT else ApiGate
            return gate(self._state, endpoint, asked, self._clock()).answer(), latency_seconds


def _check_endpoint(name: str | None) -> None:
    if name is not None and name not in ENDPOINT_NAMES:
        raise ValueError(f"No endpoint is called {name!r}; there are {', '.join(sorted(ENDPOINT_NAMES))}.")
