"""The controls that are about people: who is there, in which lists and segments, and who did what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any
from uuid import UUID

from airflow_provider_klaviyo.emulator.groups import Kind
from airflow_provider_klaviyo.emulator.ids import letters
from airflow_provider_klaviyo.emulator.profiles import Profile
from airflow_provider_klaviyo.emulator.steering import Steering
from airflow_provider_klaviyo.emulator.tenants import Account


class Unchanged(Enum):
    """The default of an argument whose None means to remove a value."""

    UNCHANGED = "unchanged"


UNCHANGED = Unchanged.UNCHANGED


class PeopleControls(Steering):
    """Who is there, and what of them."""

    def add_profile(
        self,
        email: str | None = None,
        phone_number: str | None = None,
        external_id: str | None = None,
        profile_id: str | None = None,
        account: Account | str | None = None,
        *,
        first_name: str | None = None,
        last_name: str | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> str:
        """Store a person and return the profile id; identifiers need not be unique, ids do."""
        with self._lock:
            attributes = {
                "email": email,
                "phone_number": phone_number,
                "external_id": external_id,
                "first_name": first_name,
                "last_name": last_name,
                "properties": properties,
            }
            return self._state.add_profile(self._account_id(account), self._now(), attributes, profile_id).id

    def add_profiles(self, people: Iterable[Mapping[str, Any]], account: Account | str | None = None) -> list[str]:
        """Store many people, each with any of what `add_profile` takes."""
        with self._lock:
            return [self.add_profile(**person, account=account) for person in people]

    def update_profile(
        self,
        profile_id: str,
        *,
        email: str | Unchanged | None = UNCHANGED,
        phone_number: str | Unchanged | None = UNCHANGED,
        external_id: str | Unchanged | None = UNCHANGED,
    ) -> None:
        """Change the identifiers that are named, None removes one; they need not be unique.

        An identifier changes hands when it is removed here and given to another profile.
        """
        named = {"email": email, "phone_number": phone_number, "external_id": external_id}
        changes = {name: value for name, value in named.items() if value is not UNCHANGED}
        with self._lock:
            now = self._now()
            self._state.update_profile(self._tenant_with(profile_id), profile_id, changes, now)

    def merge_profiles(self, source_id: str, destination_id: str, *, identifiers_win: bool = True) -> None:
        """Merge the source profile into the destination, as in Klaviyo's UI; both are of one account.

        The source is gone at once: it is found neither by id nor by a search, and its pending deletion comes to
        nothing, so `deleted` does not have it. Its events, lists and segments go to the destination, and whatever
        else the destination lacks. If both have an identifier, that of the source replaces that of the destination,
        so that the addresses of the source stay in the account; with `identifiers_win=False` the destination keeps
        its own, and that of the source is lost.
        """
        with self._lock:
            now = self._now()
            tenant = self._tenant_with(source_id)
            if source_id == destination_id or tenant.profiles.get(destination_id) is None:
                raise ValueError("The destination is another profile of the same account.")
            facts = {"account_id": tenant.account.id, "source_id": source_id, "destination_id": destination_id}
            self._state.happen("merge", **facts, identifiers_win=identifiers_win, now=now)

    def remove_profile(self, profile_id: str) -> None:
        """Remove a profile at once, as if somebody deleted it in Klaviyo's UI; `deleted` does not have it."""
        with self._lock:
            now = self._now()
            account_id = self._tenant_with(profile_id).account.id
            self._state.happen("removal", account_id=account_id, profile_id=profile_id, now=now)

    def has_profile(self, profile_id: str) -> bool:
        """Whether the profile is there now, in whichever account."""
        with self._lock:
            self._now()
            return any(tenant.profiles.get(profile_id) for tenant in self._state.tenants.values())

    def profiles(self, account: Account | str | None = None) -> list[Profile]:
        """Return the profiles of an account as they are now, oldest first."""
        with self._lock:
            self._now()
            return list(self._tenant(account).profiles)

    @property
    def suppressed(self) -> set[str]:
        """The ids of the profiles that are suppressed."""
        with self._lock:
            self._now()
            everybody = (profile for tenant in self._state.tenants.values() for profile in tenant.profiles)
            return {profile.id for profile in everybody if profile.suppressed_at is not None}

    def forget_people(self) -> None:
        """Remove all profiles, deletions, suppressions and events; accounts, keys, lists, faults and counts stay."""
        with self._lock:
            self._state.happen("people forgotten")

    def add_list(self, name: str, account: Account | str | None = None) -> str:
        """Make a list and return its id."""
        return self._add_group("list", name, account)

    def add_segment(self, name: str, account: Account | str | None = None) -> str:
        """Make a segment and return its id."""
        return self._add_group("segment", name, account)

    def add_to_list(self, profile_id: str, list_id: str) -> None:
        """Put somebody into a list of the same account; more than once is once."""
        self._join("list", profile_id, list_id)

    def add_to_segment(self, profile_id: str, segment_id: str) -> None:
        """Put somebody into a segment of the same account; more than once is once."""
        self._join("segment", profile_id, segment_id)

    def add_event(
        self,
        profile_id: str,
        metric_name: str,
        properties: Mapping[str, Any] | None = None,
        at: float | None = None,
    ) -> str:
        """Let somebody do something, now or at a Unix time, and return the id of the event.

        A metric is made when there is none of that name.
        """
        with self._lock:
            now, rng = self._now(), self._state.rng
            tenant = self._tenant_with(profile_id)
            metric, event_id = tenant.events.metric(metric_name), letters(11, rng)
            self._state.happen(
                "event",
                account_id=tenant.account.id,
                profile_id=profile_id,
                metric=metric_name,
                metric_id=metric.id if metric else letters(6, rng),
                event_id=event_id,
                uuid=str(UUID(int=rng.getrandbits(128))),
                properties=dict(properties or {}),
                at=now if at is None else at,
                now=now,
            )
            return event_id

    def _add_group(self, kind: Kind, name: str, account: Account | str | None) -> str:
        with self._lock:
            group_id = letters(6, self._state.rng)
            facts = {"account_id": self._account_id(account), "kind": kind, "group_id": group_id, "name": name}
            self._state.happen("group", **facts, now=self._now())
            return group_id

    def _join(self, kind: Kind, profile_id: str, group_id: str) -> None:
        with self._lock:
            now = self._now()
            tenant = self._tenant_with(profile_id)
            group = tenant.groups.get(group_id)
            if group is None or group.kind != kind:
                raise ValueError(f"There is no such {kind} in the account of the profile.")
            facts = {"account_id": tenant.account.id, "profile_id": profile_id, "group_id": group_id}
            self._state.happen("member", **facts, now=now)
