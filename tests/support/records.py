"""Records for a drain without a ledger and without a list, and the key that tests mark identifiers with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.deletion import drain as drain_module
from airflow_provider_klaviyo.deletion.drain import Record
from airflow_provider_klaviyo.deletion.fingerprints import FingerprintKeys
from airflow_provider_klaviyo.deletion.outcomes import Outcome

__all__ = ["KEYS", "Notes", "PermitAll", "drain"]

KEYS: Final = FingerprintKeys((b"a key for the tests",))


class PermitAll:
    """A record that permits every deletion, and takes a profile that is gone for absent."""

    def is_meant(self, profile: Profile) -> bool:
        """Take every profile for a listed one."""
        return True

    def begin(self, profile: Profile) -> bool:
        """Permit the call."""
        return True

    def end(self, profile_id: str, outcome: Outcome, *, in_doubt: bool = False) -> None:
        """Keep nothing."""

    def give_back(self, profile_id: str) -> None:
        """Keep nothing."""

    def miss(self, profile_id: str, *, is_there: bool) -> Outcome | None:
        """Take it for absent."""
        return Outcome.ABSENT

    def find_again(self, client: KlaviyoClient) -> Sequence[str]:
        """Find nobody."""
        return []


class Notes(PermitAll):
    """A record that notes each step.

    :param not_ours: profiles that are not permitted.
    :param not_meant: profiles that hold nothing that was listed.
    """

    def __init__(self, *not_ours: str, not_meant: Sequence[str] = ()) -> None:
        self.not_ours = not_ours
        self.not_meant = not_meant
        self.noted: list[tuple[str, str]] = []
        self.doubtful: list[str] = []

    def is_meant(self, profile: Profile) -> bool:
        """Take a profile for a listed one, unless it is said not to be."""
        return profile.id not in self.not_meant

    def begin(self, profile: Profile) -> bool:
        """Note the call, and permit it unless it is said not to be ours."""
        self.noted.append(("begin", profile.id))
        return profile.id not in self.not_ours

    def end(self, profile_id: str, outcome: Outcome, *, in_doubt: bool = False) -> None:
        """Note the outcome."""
        self.noted.append((outcome.value, profile_id))
        if in_doubt:
            self.doubtful.append(profile_id)

    def give_back(self, profile_id: str) -> None:
        """Note that nothing was deleted."""
        self.noted.append(("give_back", profile_id))


def drain(
    profile_ids: Sequence[str],
    client: KlaviyoClient,
    done: Mapping[str, Outcome] | None = None,
    record: Record | None = None,
    **options: Any,
) -> dict[str, Outcome]:
    """Drain with a record that permits everything, unless another is given."""
    return drain_module.drain(profile_ids, client, done, record=record or PermitAll(), **options)
