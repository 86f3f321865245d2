"""The profiles of one account, found by any identifier in constant time.

Pure: no clock, no lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from airflow_provider_klaviyo.emulator.filters import Filter
from airflow_provider_klaviyo.emulator.paging import first_page

IDENTIFIERS = ("email", "phone_number", "external_id")
TEXTS = ("first_name", "last_name", "organization", "locale", "title", "image")
MERGED = ("location", "properties")

# One for all who have none: most have none.
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Profile:
    """A person as Klaviyo keeps them; times are Unix times, `position` is the place in every listing."""

    id: str
    created: float
    updated: float
    position: int
    email: str | None = None
    phone_number: str | None = None
    external_id: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    organization: str | None = None
    locale: str | None = None
    title: str | None = None
    image: str | None = None
    location: Mapping[str, Any] = field(default_factory=lambda: _NOTHING, hash=False)
    properties: Mapping[str, Any] = field(default_factory=lambda: _NOTHING, hash=False)
    suppressed_at: float | None = None

    @property
    def identifiers(self) -> dict[str, str]:
        """By which the profile can be found, besides its id."""
        return {field: value for field in IDENTIFIERS if (value := getattr(self, field))}

    def carried_over_to(self, destination: Profile, *, identifiers_win: bool) -> dict[str, Any]:
        """Return the attributes that another profile takes over in a merge."""
        names = (*IDENTIFIERS, *TEXTS, "suppressed_at")
        missing = {name for name in names if getattr(destination, name) is None}
        carried = missing | set(IDENTIFIERS) if identifiers_win else missing
        values = {name: value for name in sorted(carried) if (value := getattr(self, name)) is not None}
        return values | {name: {**getattr(self, name), **getattr(destination, name)} for name in MERGED}


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

    def add(self, profile_id: str, *, created: float, **attributes: Any) -> Profile:
        """Store a profile; e-mails are kept in lower case."""
        if profile_id in self._by_id:
            raise ValueError(f"There is a profile {profile_id} already.")
        profile = Profile(profile_id, created, created, len(self._listing), **_kept(attributes))
        self._listing.append(profile)
        self._index(profile)
        return profile

    def update(self, profile_id: str, *, updated: float, **attributes: Any) -> Profile:
        """Change a profile; what is not named stays, also within its location and its properties."""
        before = self._by_id[profile_id]
        merged = {
            name: {**getattr(before, name), **attributes[name]} if attributes[name] is not None else _NOTHING
            for name in MERGED
            if name in attributes
        }
        profile = replace(before, updated=updated, **_kept(attributes | merged))
        self._take_out(before)
        self._listing[profile.position] = profile
        self._index(profile)
        return profile

    def remove(self, profile_id: str) -> Profile | None:
        """Forget a profile and return what it was."""
        profile = self._by_id.get(profile_id)
        if profile is not None:
            self._listing[profile.position] = None
            self._take_out(profile)
        return profile

    def matching(self, wanted: Filter) -> list[Profile]:
        """Return the profiles that a filter finds, each once, in the order of the listing."""
        found: dict[int, Profile] = {}
        for value in wanted.values:
            for profile in self._holding(wanted.field, value):
                found[profile.position] = profile
        return [found[position] for position in sorted(found)]

    def other_with(self, attributes: dict[str, Any], profile_id: str) -> Profile | None:
        """Return another profile than this one that holds one of the identifiers."""
        kept = _kept(attributes)
        for name in IDENTIFIERS:
            for other in self._holding(name, kept.get(name) or ""):
                if other.id != profile_id:
                    return other
        return None

    def page(self, wanted: Filter | None, *, start: int, size: int) -> tuple[list[Profile], int | None]:
        """Return up to `size` profiles from position `start` on, and where the next page starts."""
        ahead: Iterable[Profile]
        if wanted is None:
            listed = (self._listing[position] for position in range(start, len(self._listing)))
            ahead = (profile for profile in listed if profile is not None)
        else:
            ahead = (profile for profile in self.matching(wanted) if profile.position >= start)
        return first_page(ahead, size)

    def _index(self, profile: Profile) -> None:
        self._by_id[profile.id] = profile
        for name, value in profile.identifiers.items():
            self._holders[name][value] = (*self._holders[name].get(value, ()), profile)

    def _take_out(self, profile: Profile) -> None:
        del self._by_id[profile.id]
        for name, value in profile.identifiers.items():
            rest = tuple(other for other in self._holders[name][value] if other is not profile)
            if rest:
                self._holders[name][value] = rest
            else:
                del self._holders[name][value]

    def _holding(self, field: str, value: str) -> tuple[Profile, ...]:
        if field == "id":
            profile = self._by_id.get(value)
            return (profile,) if profile else ()
        return self._holders[field].get(value, ())


def _kept(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return attributes as they are kept."""
    if email := attributes.get("email"):
        return {**attributes, "email": email.lower()}
    return attributes
