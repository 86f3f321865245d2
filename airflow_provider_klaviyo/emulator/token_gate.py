"""The way of a request for tokens: client, quota, endpoint; no revision, no scopes, no headers about the quota."""

from __future__ import annotations

from airflow_provider_klaviyo.emulator.answers import Answer
from airflow_provider_klaviyo.emulator.gate import Gate
from airflow_provider_klaviyo.emulator.tenants import Key
from airflow_provider_klaviyo.emulator.token_request import TokenRefusalError, client, invalid_client


class TokenGate(Gate):
    """One request on its way through."""

    def _find_key(self) -> Key | None:
        """Return what the app may do; one in several accounts is counted in the first."""
        try:
            client_id, client_secret = client(self._asked)
        except TokenRefusalError:
            return None
        for grant in self._state.grants.of_client(client_id):
            if grant.installation.client_secret == client_secret:
                return grant.key
        return None

    def _behind_the_edge(self) -> Answer:
        if self._key is None or self._strikes("key_revoked"):
            raise invalid_client()
        quota = self._state.quota(self._key, self._endpoint.name, self._endpoint.limit, self._now)
        refused = self._refused_by_quota(quota)
        return refused or self._on_its_way_back(self._endpoint.answer(self._asking(self._key)))
