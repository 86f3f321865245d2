"""The profiles of one account, found by any identifier in constant time.

Pure: no clock, no lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from airflow_provider_klaviyo.emulator.filters import Filter
from airflow_provider_klaviyo.emulator.paging import first_page

IDENTIFIERS = ("email", "phone_number", "external_id")


@dataclass(frozen=True, slots=True)
class Profile:
    """A person as Klaviyo keeps them; `created` is a Unix time, `position` the place in every listing."""

    id: str
    created: float
    position: int
    email: str | None = None
    phone_number: str | None = None
    external_id: str | None = None

    @property
    def identifiers(self) -> dict[str, str]:
        """By which the profile can be found, besides its id."""
        return {field: value for field in IDENTIFIERS if (value := getattr(self, field))}


class ProfileStore:
    """Profiles in the order in which they came."""

    def __init__(self) -> None:
        self._listing: list[Profile | None] = []
        self._by_id: dict[str, Profile] = {}
        # A value is nearly always held by one profile: a tuple of one costs less than a list or a set.
        self._holders: dict[str, dict[str, tuple[Profile, ...]]] = {field: {} for field in IDENTIFIERS}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Profile]:
        return (profile for profile in self._listing if profile is not None)

    def get(self, profile_id: str) -> Profile | None:
        """Return the profile with this id."""
        return self._by_id.get(profile_id)

    def add(
        self,
        profile_id: str,
        *,
        created: float,
        email: str | None = None,
        phone_number: str | None = None,
        external_id: str | None = None,
    ) -> Profile:
        """Store a profile; e-mails are kept in lower case."""
        if profile_id in self._by_id:
            raise ValueError(f"There is a profile {profile_id} already.")
        email = email.lower() if email else None
        profile = Profile(profile_id, created, len(self._listing), email, phone_number, external_id)
        self._listing.append(profile)
        self._by_id[profile_id] = profile
        for field, value in profile.identifiers.items():
            holders = self._holders[field]
            holders[value] = (*holders.get(value, ()), profile)
        return profile

    def remove(self, profile_id: str) -> Profile | None:
        """Forget a profile and return what it was."""
        profile = self._by_id.pop(profile_id, None)
        if profile is None:
            return None
        self._listing[profile.position] = None
        for field, value in profile.identifiers.items():
            rest = tuple(other for other in self._holders[field][value] if other is not profile)
            if rest:
                self._holders[field][value] = rest
            else:
                del self._holders[field][value]
        return profile

    def matching(self, wanted: Filter) -> list[Profile]:
        """Return the profiles that a filter finds, each once, in the order of the listing."""
        found: dict[int, Profile] = {}
        for value in wanted.values:
            for profile in self._holding(wanted.field, value):
                found[profile.position] = profile
        return [found[position] for position in sorted(found)]

    def page(self, wanted: Filter | None, *, start: int, size: int) -> tuple[list[Profile], int | None]:
        """Return up to `size` profiles from position `start` on, and where the next page starts."""
        ahead: Iterable[Profile]
        if wanted is None:
            listed = (self._listing[position] for position in range(start, len(self._listing)))
            ahead = (profile for profile in listed if profile is not None)
        else:
            ahead = (profile for profile in self.matching(wanted) if profile.position >= start)
        return first_page(ahead, size)

    def _holding(self, field: str, value: str) -> tuple[Profile, ...]:
        if field == "id":
            profile = self._by_id.get(value)
            return (profile,) if profile else ()
        return self._holders[field].get(value, ())
