"""Deletions that were accepted: who was asked for, how often, and who is gone."""

from __future__ import annotations


class Deletions:
    """The exact facts."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        # Profile ids and the accounts that they belong to.
        self.gone: dict[str, str] = {}
        self.pending: dict[str, str] = {}

    def request(self, account_id: str, profile_id: str) -> bool:
        """Note a request; return whether it is the first: one that is pending already keeps its time."""
        self.requests.append(profile_id)
        is_first = profile_id not in self.pending
        self.pending[profile_id] = account_id
        return is_first

    def drop(self, profile_id: str) -> None:
        """Forget a pending deletion because its profile went in another way."""
        self.pending.pop(profile_id, None)

    def finish(self, account_id: str, profile_id: str) -> None:
        """Note that a profile is gone."""
        self.pending.pop(profile_id, None)
        self.gone[profile_id] = account_id
