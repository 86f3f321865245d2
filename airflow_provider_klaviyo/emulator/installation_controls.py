"""The controls that are about apps with OAuth."""

from __future__ import annotations

import re
from collections.abc import Iterable

from airflow_provider_klaviyo.emulator.ids import letters
from airflow_provider_klaviyo.emulator.installations import Grant, Installation
from airflow_provider_klaviyo.emulator.steering import Steering
from airflow_provider_klaviyo.emulator.tenants import Account

# What S256 makes of any verifier.
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


class InstallationControls(Steering):
    """Which apps are installed where, and what their tokens are good for."""

    def add_installation(
        self,
        account: Account | str | None = None,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        scopes: Iterable[str] | None = None,
        rotates: bool = True,
        expires_in: int = 3600,
    ) -> Installation:
        """Install an app in an account and return it with its first refresh token; it has quotas of its own.

        `scopes` None means all there are. Where it `rotates`, a refresh token can be used once, and comes with the
        next one. `expires_in` is how many seconds an access token is good for. An app in several accounts has one
        secret: name it, or none.
        """
        with self._lock:
            rng, now = self._state.rng, self._now()
            client_id = client_id or letters(20, rng)
            elsewhere = self._state.grants.of_client(client_id)
            known_secret = elsewhere[0].installation.client_secret if elsewhere else None
            installation: Installation = self._state.happen(
                "installation",
                account_id=self._account_id(account),
                client_id=client_id,
                client_secret=client_secret or known_secret or letters(40, rng),
                refresh_token=letters(40, rng),
                scopes=None if scopes is None else sorted(scopes),
                rotates=rotates,
                expires_in=expires_in,
                now=now,
            )
            return installation

    @property
    def installations(self) -> list[Installation]:
        """All installations, each with the refresh token that it has now."""
        with self._lock:
            return [grant.installation for grant in self._state.grants]

    def authorize(
        self, client_id: str, code_challenge: str, redirect_uri: str, account: Account | str | None = None
    ) -> str:
        """Let somebody agree to an app that is installed, and return the code that is worth tokens for five minutes.

        `code_challenge` is made by S256. `account` None means the first that the app is in. With the tokens for the
        code an installation begins anew, also one that was revoked.
        """
        if _CHALLENGE.fullmatch(code_challenge) is None:
            raise ValueError("A code challenge is 43 letters and digits of base64url, as S256 makes it.")
        with self._lock:
            grant = self._grant(client_id, None if account is None else self._account_id(account))
            code = letters(40, self._state.rng)
            proof = {"code": code, "code_challenge": code_challenge, "redirect_uri": redirect_uri}
            self._state.happen("authorization", **_names(grant), **proof, now=self._now())
            return code

    def expire_access_tokens(self, installation: Installation) -> None:
        """Let its access tokens be good for nothing from now on; its refresh token stays."""
        with self._lock:
            grant = self._grant(installation.client_id, installation.account_id)
            self._state.happen("access tokens expired", **_names(grant))

    def revoke_installation(self, installation: Installation) -> None:
        """Let its refresh token and its access tokens be good for nothing from now on."""
        with self._lock:
            grant = self._grant(installation.client_id, installation.account_id)
            self._state.happen("installation revoked", **_names(grant))

    def _grant(self, client_id: str, account_id: str | None) -> Grant:
        for grant in self._state.grants.of_client(client_id):
            if account_id in {None, grant.installation.account_id}:
                return grant
        raise ValueError("There is no such installation.")


def _names(grant: Grant) -> dict[str, str]:
    return {"account_id": grant.installation.account_id, "client_id": grant.installation.client_id}
