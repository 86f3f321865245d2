"""The calls that are made to Klaviyo, each a conversation: hand it to a client's ``run``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from airflow_provider_klaviyo.api import resources
from airflow_provider_klaviyo.api.conversation import PATIENCE_SECONDS, Check, Conversation
from airflow_provider_klaviyo.api.diagnosis import ask
from airflow_provider_klaviyo.api.errors import KlaviyoInvalidRequestError
from airflow_provider_klaviyo.api.paging import all_pages
from airflow_provider_klaviyo.api.resources import Account, Profile
from airflow_provider_klaviyo.api.wire import PAGE_SIZE

__all__ = ["Found", "find_all_profiles", "find_profiles", "get_account", "get_profile", "request_profile_deletion"]


@dataclass(frozen=True, slots=True)
class Found:
    """What a look-up brought: the profiles, and the values that Klaviyo would not look up at all."""

    profiles: tuple[Profile, ...]
    refused: tuple[str, ...] = field(default=(), repr=False)


def request_profile_deletion(
    kind: str,
    value: str,
    before_send: Check | None = None,
    on_send: Callable[[], None] | None = None,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Conversation[None]:
    """Ask for the deletion of every profile that an identifier matches. It cannot be undone.

    Klaviyo deletes in its own time, and says nothing when it is done: look the profile up by its id.

    :param kind: ``id``, ``email`` or ``phone_number``.
    :param before_send: run before each send, the repeated ones too; a second before the turn at the earliest. It
        raises `NotPermittedError` when the deletion must not be requested, and then it is not.
    :param on_send: called directly before each send; may raise the same.
    :raises KlaviyoNotFoundError: there is no such profile, or no longer.

    Scope ``data-privacy:write``; 3 a second and 60 a minute for the whole account.
    Source: https://developers.klaviyo.com/en/reference/request_profile_deletion
    """
    yield from ask(
        resources.deletion_request(kind, value),
        resources.read_acceptance,
        patience_seconds=patience_seconds,
        before_send=before_send,
        on_send=on_send,
    )


def find_profiles(
    kind: str, values: Sequence[str], *, patience_seconds: float = PATIENCE_SECONDS
) -> Conversation[Found]:
    """Look up the profiles whose identifier of this kind is any of these values; all pages.

    How many values fit into one call is not documented. When Klaviyo refuses a call because of its filter, the
    values are halved and asked for again, down to the single one that it cannot take.

    :param kind: ``id``, ``email``, ``phone_number`` or ``external_id``.
    :param values: at most 100 is what goes well.
    :raises KlaviyoInvalidRequestError: when Klaviyo will take none of several values, which says more about the
        request than about the values.

    Scope ``profiles:read``; 75 a second and 750 a minute for the whole account.
    Source: https://developers.klaviyo.com/en/reference/get_profiles
    """
    if not values:
        return Found(())
    found, error = yield from _halving(kind, values, patience_seconds)
    if error is not None and len(values) > 1 and len(found.refused) == len(values):
        raise error
    return found


def find_all_profiles(kind: str, values: Sequence[str]) -> Conversation[tuple[Profile, ...]]:
    """Look up any number of values, 100 a call.

    :raises KlaviyoInvalidRequestError: when Klaviyo will not look one of them up.
    """
    profiles: list[Profile] = []
    for start in range(0, len(values), PAGE_SIZE):
        found = yield from find_profiles(kind, values[start : start + PAGE_SIZE])
        if found.refused:
            raise KlaviyoInvalidRequestError(f"Klaviyo will not look {len(found.refused)} of the values up by {kind}")
        profiles.extend(found.profiles)
    return tuple(profiles)


def get_profile(profile_id: str, *, patience_seconds: float = PATIENCE_SECONDS) -> Conversation[Profile]:
    """Look one profile up by its id.

    :raises KlaviyoNotFoundError: there is no such profile, or no longer.

    Scope ``profiles:read``; 75 a second and 750 a minute for the whole account.
    Source: https://developers.klaviyo.com/en/reference/get_profile
    """
    read = partial(resources.read_profile, profile_id=profile_id)
    return (yield from ask(resources.profile_request(profile_id), read, patience_seconds=patience_seconds))


def get_account(*, patience_seconds: float = PATIENCE_SECONDS) -> Conversation[Account]:
    """Ask which account the key belongs to.

    Scope ``accounts:read``; 1 a second and 15 a minute for the whole account.
    Source: https://developers.klaviyo.com/en/reference/get_accounts
    """
    request = resources.account_request()
    return (yield from ask(request, resources.read_account, patience_seconds=patience_seconds))


def _halving(
    kind: str, values: Sequence[str], patience_seconds: float
) -> Conversation[tuple[Found, KlaviyoInvalidRequestError | None]]:
    """Look values up, by halves where Klaviyo refuses the whole; return what was found and the refusal, if any."""
    try:
        return Found((yield from _pages(kind, values, patience_seconds))), None
    except KlaviyoInvalidRequestError as error:
        if error.status != 414 and error.source != "filter":
            raise
        refusal = error
    if len(values) == 1:
        return Found((), refused=tuple(values)), refusal
    middle = len(values) // 2
    first, _ = yield from _halving(kind, values[:middle], patience_seconds)
    second, _ = yield from _halving(kind, values[middle:], patience_seconds)
    return Found(first.profiles + second.profiles, first.refused + second.refused), refusal


def _pages(kind: str, values: Sequence[str], patience_seconds: float) -> Conversation[tuple[Profile, ...]]:
    return all_pages(
        partial(resources.profiles_request, kind, values), resources.read_profiles, patience_seconds=patience_seconds
    )
