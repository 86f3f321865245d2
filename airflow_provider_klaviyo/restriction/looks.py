"""Look at profiles directly before their addresses are sent, and tell which of them may be suppressed.

A job suppresses addresses. So an address may be sent only if a look-up by id has just seen it in a profile that itself
holds what was listed, and no profile that was not listed shares it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from airflow_provider_klaviyo.api.calls import find_profiles
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.conversation import Conversation
from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.deletion.identifiers import Kind, normalised
from airflow_provider_klaviyo.deletion.meant import profile_now

__all__ = ["Look", "Reason", "draft", "look"]

IsMeant = Callable[[Profile], bool]


class Reason(StrEnum):
    """A cause for which a profile is not suppressed."""

    WITHOUT_EMAIL = "without_email"
    GONE = "gone"
    CHANGED = "changed"
    SHARED = "shared"


@dataclass(frozen=True, slots=True)
class Look:
    """What a look saw. Its repr shows no address.

    :param emails: the addresses of the profiles that may be suppressed, by profile id.
    :param others: why the other profiles may not be.
    """

    emails: dict[str, str] = field(default_factory=dict, repr=False)
    others: dict[str, Reason] = field(default_factory=dict)

    @property
    def addresses(self) -> list[str]:
        """What to send."""
        return list(dict.fromkeys(self.emails.values()))

    def halves(self) -> tuple[Look, Look]:
        """Return each half of the addresses."""
        items = list(self.emails.items())
        middle = len(items) // 2
        return Look(dict(items[:middle])), Look(dict(items[middle:]))


def draft(profile_ids: Iterable[str], is_meant: IsMeant) -> Conversation[Look]:
    """Return the addresses that `look` will probably see, from one search. A search may be late: it permits nothing."""
    ids = list(profile_ids)
    found = yield from find_profiles(Kind.ID, ids)
    emails = {one.id: one.email for one in found.profiles if one.email is not None and is_meant(one)}
    return Look({profile_id: emails[profile_id] for profile_id in ids if profile_id in emails})


def look(profile_ids: Iterable[str], client: KlaviyoClient, is_meant: IsMeant) -> Look:
    """Look each profile up by its id, eight at a time, and then for other profiles with the same addresses.

    :param is_meant: tells of a profile, just looked up, whether it itself holds what was listed.
    """
    seen = Look()
    for profile_id, profile in client.run_each(map(_now, profile_ids)):
        if profile is None:
            seen.others[profile_id] = Reason.GONE
        elif not is_meant(profile):
            seen.others[profile_id] = Reason.CHANGED
        elif profile.email is None:
            seen.others[profile_id] = Reason.WITHOUT_EMAIL
        else:
            seen.emails[profile_id] = profile.email
    if seen.emails:
        for profile_id in _sharing(seen, client, is_meant):
            del seen.emails[profile_id]
            seen.others[profile_id] = Reason.SHARED
    return seen


def _sharing(seen: Look, client: KlaviyoClient, is_meant: IsMeant) -> list[str]:
    """Return the profiles whose address is also that of a profile that is not listed.

    Klaviyo is said to keep addresses unique; a job suppresses every profile that has one.
    """
    found = client.run(find_profiles(Kind.EMAIL, seen.addresses))
    strangers = {normalised(Kind.EMAIL, one.email) for one in found.profiles if _is_stranger(one, seen, is_meant)}
    return [one for one in seen.emails if normalised(Kind.EMAIL, seen.emails[one]) in strangers]


def _is_stranger(profile: Profile, seen: Look, is_meant: IsMeant) -> bool:
    if profile.id in seen.emails:
        return False
    # A search may still show a profile as it was before; what the look-up by id saw of it counts.
    reason = seen.others.get(profile.id)
    return reason is Reason.CHANGED or (reason is None and not is_meant(profile))


def _now(profile_id: str) -> Conversation[tuple[str, Profile | None]]:
    return profile_id, (yield from profile_now(profile_id))
