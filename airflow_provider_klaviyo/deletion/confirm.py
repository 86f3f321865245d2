"""What of this is still there? Asked by the sensor and by its trigger."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final, Self

from airflow_provider_klaviyo.api.calls import find_profiles, get_profile
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.conversation import PATIENCE_SECONDS, Conversation
from airflow_provider_klaviyo.api.errors import KlaviyoAccountError, KlaviyoConfigurationError, KlaviyoNotFoundError
from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.api.wire import PAGE_SIZE
from airflow_provider_klaviyo.deletion.identifiers import (
    Identifier,
    IdentifierKindError,
    InvalidIdentifierError,
    Kind,
)
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.plan import Plan, make_plan

__all__ = ["Confirmation", "MovedError", "created_at", "look_by_id", "still_there"]

# That must agree before an identifier that is waited for is gone.
ABSENT_LOOKS: Final = 2

log = logging.getLogger(__name__)


def still_there(profile_ids: Sequence[str], *, patience_seconds: float = PATIENCE_SECONDS) -> Conversation[list[str]]:
    """Return those of these profiles that Klaviyo still has, 100 a call, in the order given.

    One that Klaviyo will not look up counts as still there: nothing is taken for gone that was not seen to be.
    """
    there: list[str] = []
    for start in range(0, len(profile_ids), PAGE_SIZE):
        batch = profile_ids[start : start + PAGE_SIZE]
        found = yield from find_profiles(Kind.ID, batch, patience_seconds=patience_seconds)
        present = {profile.id for profile in found.profiles}.union(found.refused, found.crowded)
        there.extend(profile_id for profile_id in batch if profile_id in present)
    return there


def look_by_id(profile_id: str, *, patience_seconds: float = PATIENCE_SECONDS) -> Conversation[tuple[str, bool]]:
    """Look one profile up by its id, the second look after a search that did not find it; return whether it is there.

    A search may answer from an index that is late or incomplete; a look by id is not known to.
    """
    try:
        yield from get_profile(profile_id, patience_seconds=patience_seconds)
    except KlaviyoNotFoundError as error:
        if error.code is None:
            raise  # Not Klaviyo's: a gateway's, or a wrong host's.
        return profile_id, False
    return profile_id, True


class MovedError(KlaviyoConfigurationError):
    """Listed identifiers are in profiles that were there before the deletion, and were not deleted.

    A merge or a change has moved them since they were looked up. Waiting does not help: clear the deletion task.
    """


@dataclass(slots=True)
class Confirmation:
    """Watches deletions until the last profile is gone, and then tells who has come back since.

    A profile is new, and so somebody who came back, if it is none of `profile_ids` and was created after `since`.

    :param since: when the profiles to delete were looked up. Nothing created later was among them.
    :param profile_ids: of profiles whose deletion was requested.
    :param identifiers: to be waited for as well: whatever profile holds one of them now and is not new.
    :param source: yields identifiers that only serve to see who came back.
    :param held: how many identifiers the deletion has held back, or planned only; their profiles were not deleted.
    :param requested_on: the account id and the connection id of each deletion result, where it names them.
    :param outstanding: the profiles still there at the last look; None before the first.
    """

    since: datetime
    profile_ids: dict[str, None] = field(default_factory=dict)
    identifiers: dict[Identifier, None] = field(default_factory=dict)
    source: Callable[[], Iterable[object]] = field(default=tuple)
    held: int = 0
    requested_on: set[tuple[str | None, str | None]] = field(default_factory=set)
    outstanding: list[str] | None = None
    _seen_gone: set[str] = field(default_factory=set, repr=False)

    @classmethod
    def of(cls, listed: Iterable[object], now: datetime, source: Callable[[], Iterable[object]] = tuple) -> Self:
        """Return what to watch for a list of deletion results, profile ids and other identifiers.

        :param now: the time of the first look, which stands in where no deletion result says when it looked.
        :raises IdentifierKindError: for a mapping that is neither a result nor an identifier.
        """
        confirmation = cls(since=datetime.max.replace(tzinfo=UTC), source=source)
        for item in listed:
            if isinstance(item, Mapping) and "profile_ids" in item:
                confirmation._add_result(item)
            else:
                confirmation._add_identifier(item)
        confirmation.since = min(confirmation.since, now)
        return confirmation

    @property
    def watched(self) -> list[str]:
        """The profiles to ask for next: the outstanding ones, or all that are known before the first look."""
        return self.outstanding or list(self.profile_ids)

    def look(self, client: KlaviyoClient) -> dict[str, int] | None:
        """Ask for what is outstanding; return the counts by outcome once nothing is, and None until then."""
        if self.outstanding is None:
            held = self._held(make_plan(self.identifiers, client))
            self.outstanding = list(self.profile_ids | dict.fromkeys(held))
        self.outstanding = client.run(still_there(self.outstanding))
        return None if self.outstanding else self._settle(client)

    def _seen_by_id(self, client: KlaviyoClient) -> list[str]:
        """Return the profiles to be gone that a second look, by id, still finds."""
        ids = [one for one in self.profile_ids if one not in self._seen_gone]
        looks = client.run_each(map(look_by_id, ids))
        there = []
        for profile_id, is_there in looks:
            if is_there:
                there.append(profile_id)
            else:
                self._seen_gone.add(profile_id)
        return there

    def _add_result(self, result: Mapping[str, Any]) -> None:
        try:
            ids = [Identifier.of(Kind.ID, one).value for one in _list(result["profile_ids"])]
            self.since = min(self.since, datetime.fromisoformat(result["looked_up_at"]))
        except (KeyError, TypeError, ValueError):
            raise IdentifierKindError(
                "a mapping with profile_ids must be the result of a ProfileDeletionOperator, as it came from its task"
            ) from None
        self.profile_ids.update(dict.fromkeys(ids))
        kept = (result.get(outcome.value) for outcome in (Outcome.HELD, Outcome.REFUSED, Outcome.PLANNED))
        self.held += sum(number for number in kept if type(number) is int and number > 0)
        self.requested_on.add((result.get("account_id"), result.get("klaviyo_conn_id")))

    def _add_identifier(self, item: object) -> None:
        try:
            identifier = Identifier.parse(item)
        except InvalidIdentifierError as error:
            log.warning("An item of profiles cannot be an identifier and is not waited for: %s", error)
            return
        if identifier.kind is Kind.ID:
            self.profile_ids[identifier.value] = None
        else:
            self.identifiers[identifier] = None

    def _held(self, plan: Plan) -> list[str]:
        """Return the ids of the profiles that are to be gone, and that a look-up has found again."""
        return [
            profile.id
            for identifier, profiles in plan.matches.items()
            for profile in profiles
            if profile.id in self.profile_ids or (identifier in self.identifiers and not self._is_new(profile))
        ]

    def _settle(self, client: KlaviyoClient) -> dict[str, int] | None:
        """Look for people who came back. A profile that was taken for gone and is seen again is outstanding again."""
        plan = make_plan(chain(self.identifiers, _valid(self.source())), client, absent_looks=ABSENT_LOOKS)
        self.outstanding = list(dict.fromkeys([*self._seen_by_id(client), *self._held(plan)]))
        if self.outstanding:
            return None
        held = self._check_moved(plan)
        unclear = sum(1 for identifier in plan.unclear if identifier in self.identifiers)
        if unclear:
            log.warning(
                "Klaviyo will not look %s of the identifiers up, or its answer leaves open whose they are; they are "
                "not confirmed",
                f"{unclear:,}",
            )
        reappeared = len({one.id for profiles in plan.matches.values() for one in profiles if self._is_new(one)})
        if reappeared:
            log.warning("%s new profiles hold an identifier of the list", f"{reappeared:,}")
        counts = {
            Outcome.CONFIRMED.value: max(0, len(self.profile_ids) + len(self.identifiers) - unclear - reappeared),
            Outcome.REAPPEARED.value: reappeared,
        }
        return counts | {Outcome.HELD.value: held} if held else counts

    def _check_moved(self, plan: Plan) -> int:
        """Return how many identifiers profiles hold that were there before, which the deletion has held back.

        :raises MovedError: when there are more than it has.
        """
        older = {
            identifier: [one.id for one in profiles if one.id not in self.profile_ids and not self._is_new(one)]
            for identifier, profiles in plan.matches.items()
        }
        moved = [ids for ids in older.values() if ids]
        if len(moved) > self.held:
            shown = ", ".join(dict.fromkeys(one for ids in moved for one in ids[:1]))
            raise MovedError(
                f"{len(moved):,} listed identifiers are in profiles that were there before and were not deleted "
                f"({shown[:1_000]}), and the deletion has held back {self.held:,}. They were moved there after they "
                "were looked up, by a merge or a change. Clear the deletion task, so that they are looked up again"
            )
        return len(moved)

    def check_account(self, account_id: str | None, conn_id: str) -> None:
        """Refuse to look for profiles of one account in another, where all of them would seem to be gone.

        :param account_id: of the connection that is to be asked, where it names one.
        :param conn_id: the connection's own id, which decides where an account is not named.
        :raises KlaviyoAccountError: naming both.
        """
        for requested_account_id, requested_conn_id in self.requested_on:
            if account_id is not None and requested_account_id is not None:
                is_other = account_id != requested_account_id
            else:
                is_other = requested_conn_id not in (None, conn_id)
            if is_other:
                raise KlaviyoAccountError(
                    f"the deletions were requested on connection {requested_conn_id!r} (account "
                    f"{requested_account_id}), but connection {conn_id!r} (account {account_id}) is asked whether they "
                    "are done. Give the sensor the same klaviyo_conn_id, or fill in the account id of both connections"
                )

    def _is_new(self, profile: Profile) -> bool:
        return profile.id not in self.profile_ids and created_at(profile) > self.since


def _valid(rows: Iterable[object]) -> Iterator[Identifier]:
    """Yield what rows name; those that name nothing were counted, and logged, where they were to be deleted."""
    for row in rows:
        try:
            yield Identifier.parse(row)
        except InvalidIdentifierError:
            continue


def _list(value: object) -> list[object]:
    """Return a list and nothing else: each letter of a text would be taken for an id, and for one that is gone."""
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def created_at(profile: Profile) -> datetime:
    """Return since when a profile is there; one without a readable time counts as there for long."""
    try:
        time = datetime.fromisoformat(profile.created or "")
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
