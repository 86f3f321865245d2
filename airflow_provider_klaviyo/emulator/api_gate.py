"""The way of a request to the API: key, scope, quota, form, endpoint."""

from __future__ import annotations

from airflow_provider_klaviyo.emulator.answers import Answer, RefusalError, authentication_failed, permission_denied
from airflow_provider_klaviyo.emulator.gate import Gate
from airflow_provider_klaviyo.emulator.tenants import Key


class ApiGate(Gate):
    """One request on its way through."""

    def _find_key(self) -> Key | None:
        if self._asked.access_token is not None:
            return self._state.grants.key(self._asked.access_token, self._now)
        return self._state.keys.get(self._asked.key or "")

    def _behind_the_edge(self) -> Answer:
        if self._key is None or self._strikes("key_revoked"):
            raise authentication_failed()
        quota = self._state.quota(self._key, self._endpoint.name, self._endpoint.limit, self._now)
        try:
            self._authorize(self._key)
            refused = self._refused_by_quota(quota)
            if refused is not None:
                return refused
            answer = self._at_the_endpoint(self._key)
        except RefusalError as refusal:
            answer = refusal.answer()
        return answer.with_headers(quota.headers(self._now, self._state.settings.header_form))

    def _authorize(self, key: Key) -> None:
        for scope in self._endpoint.scopes:
            taken_away = self._state.faults.draw("scope_missing", self._endpoint.name, self._account_id, scope=scope)
            if scope not in key.scopes or taken_away is not None:
                raise permission_denied(scope)

    def _at_the_endpoint(self, key: Key) -> Answer:
        self._asked.check_revision()
        if self._endpoint.method != "GET":
            self._asked.check_media_type()
        return self._on_its_way_back(self._endpoint.answer(self._asking(key)))
