"""The way of a request, as far as all have it in common, and what faults do to it on the way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_klaviyo.emulator.answers import (
    Answer,
    Outcome,
    RefusalError,
    dropped,
    html,
    redirect,
    throttled,
)
from airflow_provider_klaviyo.emulator.asking import Asked
from airflow_provider_klaviyo.emulator.endpoint import Asking, Endpoint
from airflow_provider_klaviyo.emulator.limits import Quota
from airflow_provider_klaviyo.emulator.state import State
from airflow_provider_klaviyo.emulator.tenants import Key

_TARGET_TOO_LONG = 414
_CHANGES: Mapping[str, Callable[[Answer], Answer]] = {
    "truncated_json": Answer.truncated,
    "wrong_types": Answer.mistyped,
    "wrong_resources": Answer.of_another_type,
    "errors_in_ok": Answer.with_errors,
}


class Gate(ABC):
    """One request on its way through."""

    def __init__(self, state: State, endpoint: Endpoint, asked: Asked, now: float) -> None:
        self._state = state
        self._endpoint = endpoint
        self._asked = asked
        self._now = now
        self._key = self._find_key()
        self._account_id = self._key.tenant.account.id if self._key else None

    def answer(self) -> Answer:
        """Return what the client is sent, and count the call."""
        self._state.settle(self._now)
        try:
            answer = self._at_the_edge() or self._behind_the_edge()
        except RefusalError as refusal:
            answer = refusal.answer()
        outcome: Outcome = "dropped" if answer.dropped else answer.status
        self._state.counts.call(self._key.owner if self._key else None, self._endpoint.name, outcome)
        return answer

    def _at_the_edge(self) -> Answer | None:
        """Return the answer of whatever stands before Klaviyo: no key is read, no quota used."""
        if len(self._asked.target.encode()) > self._state.settings.max_target_bytes:
            return html(_TARGET_TOO_LONG)
        if self._strikes("connection_dropped_before"):
            return dropped()
        if options := self._fault("redirect"):
            return redirect(f"{options['to']}{self._asked.target}")
        if options := self._fault("server_error_html"):
            return html(int(options["status"]))
        return None

    @abstractmethod
    def _find_key(self) -> Key | None:
        """Return what the credentials of the request are good for."""

    @abstractmethod
    def _behind_the_edge(self) -> Answer:
        """Return Klaviyo's own answer, or refuse the request."""

    def _refused_by_quota(self, quota: Quota) -> Answer | None:
        if options := self._fault("throttled"):
            return throttled(int(options["retry_after"]))
        if self._strikes("throttled_without_retry_after"):
            return throttled(None)
        if self._strikes("throttled_with_retry_after_zero"):
            return throttled(0)
        retry_after = quota.take(self._now)
        return None if retry_after is None else throttled(retry_after)

    def _on_its_way_back(self, answer: Answer) -> Answer:
        """Return what arrives of an answer to a call that did what it was meant to do."""
        if self._strikes("connection_dropped_after"):
            return dropped(answer)
        for name, change in _CHANGES.items():
            if answer.body and self._strikes(name):
                return change(answer)
        if options := self._fault("gzip_bomb"):
            return answer.exploding(int(options["megabytes"]))
        if answer.body and (options := self._fault("slow_body")):
            return answer.dripping(float(options["bytes_per_second"]))
        return answer

    def _asking(self, key: Key) -> Asking:
        return Asking(self._asked, self._state, key.tenant, self._endpoint.name, self._now)

    def _strikes(self, name: str) -> bool:
        return self._fault(name) is not None

    def _fault(self, name: str) -> Mapping[str, Any] | None:
        return self._state.faults.draw(name, self._endpoint.name, self._account_id)
