"""Identifiers in, the profiles they match out: looked up 100 a call, each profile checked by its own fields."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from airflow_provider_klaviyo.api.calls import Found, find_profiles
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.conversation import Conversation, Sleep
from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.deletion.identifiers import Identifier, Kind, normalised, spelling_of
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.progress import Progress

__all__ = ["Batch", "Resolved", "batches", "resolve"]

BATCH_SIZE: Final = 100
# Half of them are looked up again when there are so many: the last of these was absent 20 calls, or 1.6 s, ago.
MOST_ABSENT: Final = 4_000
SECOND_LOOK_SECONDS: Final = 2.0
LONGEST_BATCH: Final = 8_000
LOGGED_IDS: Final = 20
UNRESERVED: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-~"
QUOTES_AND_COMMA: Final = len("%22%22%2C")

# The profiles that hold each value, by their ids.
Holders: TypeAlias = dict[str, dict[str, Profile]]

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
    is_absence_known: Callable[[Identifier], bool] | None = None,
    pause_seconds: float | None = None,
) -> Iterator[Resolved]:
    """Look identifiers up, 100 a call and several calls at a time, and yield what each one matches.

    A profile counts only if it holds, by its own fields, what was asked for. Whatever else an answer may bring is left
    alone. An identifier of which two spellings find two profiles is held, because they may be two people.

    :param identifiers: read as they are needed, in the caller's thread.
    :param max_profiles_per_identifier: how many profiles one may match before it is held back; None for any number.
    :param absent_looks: looks that must agree before an identifier is ``absent``: 1, or 2. The second one costs a call
        for each 100 absent identifiers.
    :param is_absence_known: tells of an identifier whether an earlier look agrees already, so that one is enough.
    :param pause_seconds: at least so long after the first look comes the second one; None for `SECOND_LOOK_SECONDS`.
    """
    progress = Progress("identifiers looked up")
    remaining = iter(identifiers)
    if absent_looks == 1:
        yield from _each(remaining, client, max_profiles_per_identifier, progress)
        return
    pause = SECOND_LOOK_SECONDS if pause_seconds is None else pause_seconds
    absent: list[Identifier] = []
    for is_first, found in client.run_each(_with_second_looks(remaining, absent, max_profiles_per_identifier)):
        for resolved in found:
            is_known = is_absence_known is not None and is_absence_known(resolved.identifier)
            if is_first and resolved.outcome is Outcome.ABSENT and not is_known:
                absent.append(resolved.identifier)
            else:
                yield resolved
        if is_first:
            progress.advance(len(found))
    if absent:
        client.run(_pause(pause))
        yield from _looked_up_again(absent, client, max_profiles_per_identifier)


def _with_second_looks(
    identifiers: Iterable[Identifier], absent: list[Identifier], most: int | None
) -> Iterator[Conversation[tuple[bool, list[Resolved]]]]:
    """Yield the first looks, and in between second looks at those that have been absent for longest."""
    for batch in batches(identifiers):
        yield _marked(batch, most, is_first=True)
        if len(absent) >= MOST_ABSENT:
            earliest, absent[:] = absent[: MOST_ABSENT // 2], absent[MOST_ABSENT // 2 :]
            for again in batches(earliest):
                yield _marked(again, most, is_first=False)


def _marked(batch: Batch, most: int | None, *, is_first: bool) -> Conversation[tuple[bool, list[Resolved]]]:
    return is_first, (yield from _look_up(batch, most))


def _each(
    identifiers: Iterable[Identifier], client: KlaviyoClient, most: int | None, progress: Progress
) -> Iterator[Resolved]:
    for found in client.run_each(_look_up(batch, most) for batch in batches(identifiers)):
        yield from found
        progress.advance(len(found))


def _looked_up_again(identifiers: list[Identifier], client: KlaviyoClient, most: int | None) -> Iterator[Resolved]:
    """Look absent identifiers up for the second time."""
    if not identifiers:
        return
    number = 0
    for resolved in _each(identifiers, client, most, Progress("absent identifiers looked up again")):
        number += resolved.outcome is Outcome.PLANNED
        yield resolved
    if number:
        log.warning("%s of %s identifiers were found by the second look only", f"{number:,}", f"{len(identifiers):,}")


def _pause(seconds: float) -> Conversation[None]:
    yield Sleep(seconds, "so that the second look at absent identifiers comes at another time")


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


def _look_up(batch: Batch, most: int | None) -> Conversation[list[Resolved]]:
    """Look a batch up. If profiles come that none of its identifiers explains, isolate the one that brings them.

    Such a profile may be of an identifier that seems to be absent: those are asked for again by halves, until one
    stands alone, and only that one is held.
    """
    found = yield from find_profiles(batch.kind, batch.values, most_profiles=most)
    holders, unasked = _holders(batch, found)
    if not unasked:
        return [_settle(identifier, holders, found, most) for identifier in batch.identifiers]
    unsettled = frozenset(found.refused + found.crowded)
    missing = [
        identifier
        for identifier in batch.identifiers
        if identifier.value not in holders and unsettled.isdisjoint(identifier.spellings)
    ]
    if len(batch.identifiers) == 1 or not missing:
        log.warning("Klaviyo answered with %s profiles that do not match the filter; they are ignored", unasked)
        return [_settle(identifier, holders, found, most, is_doubtful=True) for identifier in batch.identifiers]
    asked_again = frozenset(missing)
    settled = [
        _settle(identifier, holders, found, most) for identifier in batch.identifiers if identifier not in asked_again
    ]
    middle = (len(missing) + 1) // 2
    for half in (missing[:middle], missing[middle:]):
        if half:
            settled += yield from _look_up(Batch(batch.kind, tuple(half)), most)
    return settled


def _settle(
    identifier: Identifier, holders: Holders, found: Found, most: int | None, *, is_doubtful: bool = False
) -> Resolved:
    """Return what was found of an identifier.

    :param is_doubtful: one of the profiles found, that no identifier explains, may be its own.
    """
    profiles = tuple(holders.get(identifier.value, {}).values())
    if found.crowded and not set(found.crowded).isdisjoint(identifier.spellings):
        log.warning("An identifier matches more profiles than are read: held back")
        return Resolved(identifier, Outcome.HELD)
    if not profiles:
        if found.refused and not set(found.refused).isdisjoint(identifier.spellings):
            return Resolved(identifier, Outcome.REFUSED)
        return Resolved(identifier, Outcome.HELD if is_doubtful else Outcome.ABSENT)
    if most is not None and len(profiles) > most:
        log.warning(
            "An identifier matches %s profiles, more than max_profiles_per_identifier=%s: held back. The profile ids "
            "are %s",
            len(profiles),
            most,
            ", ".join(profile.id for profile in profiles[:LOGGED_IDS]),
        )
        return Resolved(identifier, Outcome.HELD)
    if _are_spelled_differently(identifier.kind, profiles):
        log.warning(
            "Different spellings of one identifier find %s profiles, which may be different people: held back. The "
            "profile ids are %s. List the profile ids that are meant, or correct the profiles",
            len(profiles),
            ", ".join(profile.id for profile in profiles[:LOGGED_IDS]),
        )
        return Resolved(identifier, Outcome.HELD)
    return Resolved(identifier, Outcome.PLANNED, profiles)


def _are_spelled_differently(kind: Kind, profiles: Sequence[Profile]) -> bool:
    return len(profiles) > 1 and len({spelling_of(kind, getattr(profile, kind)) for profile in profiles}) > 1


def _holders(batch: Batch, found: Found) -> tuple[Holders, int]:
    """Return, for each identifier's value, the profiles that hold it, by their ids; and how many hold none of them."""
    asked_for = {identifier.value for identifier in batch.identifiers} if found.profiles else set()
    holders: Holders = {}
    unasked = 0
    for profile in found.profiles:
        value = normalised(batch.kind, getattr(profile, batch.kind))
        if value is not None and value in asked_for:
            holders.setdefault(value, {})[profile.id] = profile
        else:
            unasked += 1
    return holders, unasked
