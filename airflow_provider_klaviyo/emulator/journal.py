"""A file from which an emulator goes on where a killed one stopped.

One JSON object a line, only ever appended, each before the client has its answer. Accounts, keys, people and
accepted deletions are in it, so it is as secret as they are. Quotas, counts of calls and faults are not: an emulator
that goes on knows who is there and who is to go, and not how busy it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

from airflow_provider_klaviyo.emulator.profiles import Profile
from airflow_provider_klaviyo.emulator.settings import Settings
from airflow_provider_klaviyo.emulator.state import Account, State, Tenant


class JournalledState(State):
    """One emulated Klaviyo that begins with what its journal says, and writes down what becomes of it."""

    def __init__(self, settings: Settings, rng: Random, path: Path) -> None:
        super().__init__(settings, rng)
        self._path = path
        for line in _complete_lines(path):
            self._replay(json.loads(line))

    def add_account(
        self, *, account_id: str | None, organization_name: str, key: str | None, scopes: Iterable[str] | None
    ) -> Account:
        """Open an account with one key, and write it down."""
        scopes = None if scopes is None else sorted(scopes)
        account = super().add_account(
            account_id=account_id, organization_name=organization_name, key=key, scopes=scopes
        )
        self._write(
            "account",
            account_id=account.id,
            organization_name=organization_name,
            key=account.key,
            scopes=scopes,
        )
        return account

    def add_key(self, account_id: str, *, key: str | None, scopes: Iterable[str] | None) -> str:
        """Make a key for an account, and write it down."""
        scopes = None if scopes is None else sorted(scopes)
        key = super().add_key(account_id, key=key, scopes=scopes)
        self._write("key", account_id=account_id, key=key, scopes=scopes)
        return key

    def add_profile(
        self,
        account_id: str,
        now: float,
        *,
        email: str | None = None,
        phone_number: str | None = None,
        external_id: str | None = None,
        new_id: str | None = None,
    ) -> Profile:
        """Store a profile, and write it down."""
        identifiers = {"email": email, "phone_number": phone_number, "external_id": external_id}
        profile = super().add_profile(account_id, now, **identifiers, new_id=new_id)
        self._write("profile", account_id=account_id, now=now, **identifiers, new_id=profile.id)
        return profile

    def accept_deletion(self, tenant: Tenant, profiles: Iterable[Profile], now: float, finished_at: float) -> None:
        """Accept the deletion of profiles, and write it down."""
        profiles = list(profiles)
        super().accept_deletion(tenant, profiles, now, finished_at)
        ids = [profile.id for profile in profiles]
        self._write("deletion", account_id=tenant.account.id, profile_ids=ids, now=now, finished_at=finished_at)

    def forget_people(self) -> None:
        """Remove all profiles and everything about deletions, and write it down."""
        super().forget_people()
        self._write("people forgotten")

    def _write(self, what: str, **facts: Any) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"what": what, **facts}) + "\n")

    def _replay(self, record: dict[str, Any]) -> None:
        """Let happen once more what was written down, and before it what was due by then."""
        if "now" in record:
            self.settle(record["now"])
        match record:
            case {"what": "account", **facts}:
                super().add_account(**facts)
            case {"what": "key", **facts}:
                super().add_key(**facts)
            case {"what": "profile", **facts}:
                super().add_profile(**facts)
            case {"what": "deletion", "profile_ids": ids, "now": now, "finished_at": finished_at, **facts}:
                tenant = self.tenants[facts["account_id"]]
                # A fault may have kept somebody from going, who by now is gone: faults are not in the journal.
                there = [profile for one in ids if (profile := tenant.profiles.get(one)) is not None]
                super().accept_deletion(tenant, there, now, finished_at)
            case {"what": "people forgotten"}:
                super().forget_people()
            case _:
                raise ValueError(f"The journal has a record of another kind: {record.get('what')}.")


def _complete_lines(path: Path) -> list[str]:
    """Return the lines of a file, and cut off what follows the last of them: a kill may have come in between."""
    if not path.exists():
        return []
    content = path.read_bytes()
    length = content.rfind(b"\n") + 1
    if length < len(content):
        with path.open("r+b") as file:
            file.truncate(length)
    return content[:length].decode("utf-8").splitlines()
