"""The calls that are made to Klaviyo, each a conversation: hand it to a client's ``run``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from airflow_provider_klaviyo.api import resources
from airflow_provider_klaviyo.api.conversation import PATIENCE_SECONDS, Check, Conversation
from airflow_provider_klaviyo.api.diagnosis import ask
from airflow_provider_klaviyo.api.errors import KlaviyoError, KlaviyoInvalidRequestError
from airflow_provider_klaviyo.api.paging import LONGEST_PAGINATION, TooManyPagesError, all_pages
from airflow_provider_klaviyo.api.resources import Account, Profile
from airflow_provider_klaviyo.api.wire import PAGE_SIZE

__all__ = ["Found", "find_all_profiles", "find_profiles", "get_account", "get_profile", "request_profile_deletion"]


# So many are read of a single value, for a log to say how many profiles share it.
FEWEST_PAGES: Final = 10


@dataclass(frozen=True, slots=True)
class Found:
    """What a look-up brought.

    :param profiles: of all values.
    :param refused: values that Klaviyo would not look up at all.
    :param crowded: values that more profiles hold than are read.
    """

    profiles: tuple[Profile, ...]
    refused: tuple[str, ...] = field(default=(), repr=False)
    crowded: tuple[str, ...] = field(default=(), repr=False)


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
    kind: str,
    values: Sequence[str],
    *,
    most_profiles: int | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Conversation[Found]:
    """Look up the profiles whose identifier of this kind is any of these values; all pages.

    How many values fit into one call is not documented. When Klaviyo refuses a call because of its filter, or answers
    with more pages than these values should have, the values are halved and asked for again, down to the single one
    that it cannot take, or that very many profiles share.

    :param kind: ``id``, ``email``, ``phone_number`` or ``external_id``.
    :param values: at most 100 is what goes well.
    :param most_profiles: that each value is of interest with; None for up to 100,000.
    :raises KlaviyoInvalidRequestError: when Klaviyo will take none of several values, which says more about the
        request than about the values.
    :raises TooManyPagesError: when the pages of none of several values end, or are full of the same profiles.

    Scope ``profiles:read``; 75 a second and 750 a minute for the whole account.
    Source: https://developers.klaviyo.com/en/reference/get_profiles
    """
    if not values:
        return Found(())
    found, error = yield from _halving(kind, values, most_profiles, patience_seconds)
    if error is not None and len(values) > 1 and len(found.refused) + len(found.crowded) == len(values):
        raise error
    return found


def find_all_profiles(kind: str, values: Sequence[str]) -> Conversation[tuple[Profile, ...]]:
    """Look up any number of values, 100 a call.

    :raises KlaviyoInvalidRequestError: when Klaviyo will not look one of them up.
    """
    profiles: list[Profile] = []
    for start in range(0, len(values), PAGE_SIZE):
        found = yield from find_profiles(kind, values[start : start + PAGE_SIZE])
        if found.refused or found.crowded:
            number = len(found.refused) + len(found.crowded)
            raise KlaviyoInvalidRequestError(
                f"Klaviyo will not look {number} of the values up by {kind}, or finds more than 100,000 profiles"
            )
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
    kind: str, values: Sequence[str], most_profiles: int | None, patience_seconds: float
) -> Conversation[tuple[Found, KlaviyoError | None]]:
    """Look values up, by halves where the whole does not work; return what was found and the first error, if any."""
    most_pages = LONGEST_PAGINATION
    if most_profiles is not None:
        # With one page to spare, for profiles that none of the values explains.
        most_pages = min(most_pages, max(FEWEST_PAGES, len(values) * most_profiles // PAGE_SIZE + 2))
    try:
        return Found((yield from _pages(kind, values, most_pages, patience_seconds))), None
    except TooManyPagesError as error:
        if len(values) == 1 and len({profile.id for profile in error.items}) <= (most_profiles or PAGE_SIZE):
            raise  # Not many profiles, but pages that make no sense.
        failure: KlaviyoError = error
        alone = Found((), crowded=tuple(values))
    except KlaviyoInvalidRequestError as error:
        if error.status != 414 and error.source != "filter":
            raise
        failure, alone = error, Found((), refused=tuple(values))
    if len(values) == 1:
        return alone, failure
    middle = len(values) // 2
    first, _ = yield from _halving(kind, values[:middle], most_profiles, patience_seconds)
    second, _ = yield from _halving(kind, values[middle:], most_profiles, patience_seconds)
    found = Found(first.profiles + second.profiles, first.refused + second.refused, first.crowded + second.crowded)
    return found, failure


def _pages(
    kind: str, values: Sequence[str], most_pages: int, patience_seconds: float
) -> Conversation[tuple[Profile, ...]]:
    return all_pages(
        partial(resources.profiles_request, kind, values),
        resources.read_profiles,
        patience_seconds=patience_seconds,
        most_pages=most_pages,
    )
