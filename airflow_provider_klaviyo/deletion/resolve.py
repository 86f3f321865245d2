"""Identifiers in, the profiles they match out: looked up 100 a call, each profile checked by its own fields."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from airflow_provider_klaviyo.api.calls import Found, find_profiles
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.conversation import Conversation
from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.deletion.identifiers import Identifier, Kind, normalised, spelling_of
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.progress import Progress

__all__ = ["Batch", "Resolved", "batches", "resolve"]

BATCH_SIZE: Final = 100
LONGEST_BATCH: Final = 8_000
LOGGED_IDS: Final = 20
UNRESERVED: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-~"
QUOTES_AND_COMMA: Final = len("%22%22%2C")

log = logging.getLogger(__name__)


class Resolved(NamedTuple):
    """What a look-up made of an identifier.

    :param outcome: ``planned`` when it matches profiles; else ``absent``, ``held`` or ``refused``.
    :param profiles: that it matches, when it is planned.
    """

    identifier: Identifier
    outcome: Outcome
    profiles: tuple[Profile, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Identifiers of one kind that are looked up in one call."""

    kind: Kind
    identifiers: tuple[Identifier, ...]

    @property
    def values(self) -> list[str]:
        """What to ask for."""
        return [spelling for identifier in self.identifiers for spelling in identifier.spellings]


def resolve(
    identifiers: Iterable[Identifier],
    client: KlaviyoClient,
    *,
    max_profiles_per_identifier: int | None = None,
    absent_looks: int = 1,
    is_absence_known: object = None,
) -> Iterator[Resolved]:
    """Look identifiers up, 100 a call and several calls at a time, and yield what each one matches.

    A profile counts only if it holds, by its own fields, what was asked for. Whatever else an answer may bring is left
    alone. An identifier of which two spellings find two profiles is held, because they may be two people.

    :param identifiers: read as they are needed, in the caller's thread.
    :param max_profiles_per_identifier: how many profiles one may match before it is held back; None for any number.
    """
    progress = Progress("identifiers looked up")
    for batch, found in client.run_each(_look_up(batch) for batch in batches(identifiers)):
        yield from _settle(batch, found, max_profiles_per_identifier)
        progress.advance(len(batch.identifiers))


def batches(identifiers: Iterable[Identifier]) -> Iterator[Batch]:
    """Put identifiers together that fit into one call: one kind, at most 100 spellings, at most 8,000 characters."""
    waiting: dict[Kind, list[Identifier]] = {kind: [] for kind in Kind}
    numbers: Counter[Kind] = Counter()
    lengths: Counter[Kind] = Counter()
    for identifier in identifiers:
        kind, spellings = identifier.kind, identifier.spellings
        length = sum(map(_length, spellings))
        if numbers[kind] + len(spellings) > BATCH_SIZE or lengths[kind] + length > LONGEST_BATCH:
            yield Batch(kind, tuple(waiting[kind]))
            waiting[kind], numbers[kind], lengths[kind] = [], 0, 0
        waiting[kind].append(identifier)
        numbers[kind] += len(spellings)
        lengths[kind] += length
    for kind, rest in waiting.items():
        if rest:
            yield Batch(kind, tuple(rest))


def _length(value: str) -> int:
    """Return how long a value is in the filter of a URL, where most characters become three."""
    data = value.encode("utf-8", "surrogatepass")
    return len(data) + 2 * len(data.translate(None, UNRESERVED)) + QUOTES_AND_COMMA


def _look_up(batch: Batch) -> Conversation[tuple[Batch, Found]]:
    return batch, (yield from find_profiles(batch.kind, batch.values))


def _settle(batch: Batch, found: Found, most: int | None) -> Iterator[Resolved]:
    holders, unasked = _holders(batch, found)
    if unasked:
        log.warning(
            "Klaviyo answered with %s profiles that do not match the filter; they are ignored, and who was not "
            "found by the same call is held, because one of them may be theirs",
            unasked,
        )
    refused = set(found.refused)
    for identifier in batch.identifiers:
        profiles = tuple(holders[identifier.value].values()) if identifier.value in holders else ()
        if not profiles:
            is_refused = not refused.isdisjoint(identifier.spellings)
            nobody = Outcome.HELD if unasked else Outcome.ABSENT
            yield Resolved(identifier, Outcome.REFUSED if is_refused else nobody)
        elif most is not None and len(profiles) > most:
            log.warning(
                "An identifier matches %s profiles, more than max_profiles_per_identifier=%s: held back. The profile "
                "ids are %s",
                len(profiles),
                most,
                ", ".join(profile.id for profile in profiles[:LOGGED_IDS]),
            )
            yield Resolved(identifier, Outcome.HELD)
        elif _are_spelled_differently(batch.kind, profiles):
            log.warning(
                "Different spellings of one identifier find %s profiles, which may be different people: held back. The "
                "profile ids are %s. List the profile ids that are meant, or correct the profiles",
                len(profiles),
                ", ".join(profile.id for profile in profiles[:LOGGED_IDS]),
            )
            yield Resolved(identifier, Outcome.HELD)
        else:
            yield Resolved(identifier, Outcome.PLANNED, profiles)


def _are_spelled_differently(kind: Kind, profiles: Sequence[Profile]) -> bool:
    return len(profiles) > 1 and len({spelling_of(kind, getattr(profile, kind)) for profile in profiles}) > 1


def _holders(batch: Batch, found: Found) -> tuple[dict[str, dict[str, Profile]], int]:
    """Return, for each identifier's value, the profiles that hold it, by their ids; and how many hold none of them."""
    asked_for = {identifier.value for identifier in batch.identifiers} if found.profiles else set()
    holders: dict[str, dict[str, Profile]] = {}
    unasked = 0
    for profile in found.profiles:
        value = normalised(batch.kind, getattr(profile, batch.kind))
        if value is not None and value in asked_for:
            holders.setdefault(value, {})[profile.id] = profile
        else:
            unasked += 1
    return holders, unasked
