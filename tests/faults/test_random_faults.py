"""For every list, every mixture of faults and every accident: who is listed is deleted in the end, and nobody else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.deletion.identifiers import Identifier, InvalidIdentifierError, Kind
from airflow_provider_klaviyo.emulator.faults import ABOUT, FAULTS
from airflow_provider_klaviyo.ledger.database import Database
from airflow_provider_klaviyo.ledger.errors import LedgerUnavailableError

TEN_MINUTES = 600.0
IN_THE_MIDDLE_OF_A_PLAN = 26
DONE_AT_ONCE = {"deletion_seconds": 0, "pending_deletion_status": 202}
where_deletions_are_done_at_once = pytest.mark.parametrize("shop", [DONE_AT_ONCE], ids=["at once"], indirect=True)
EMAILS = [f"{name}@canary.example" for name in ("ada", "bob", "eve", "joe")]
PHONES = ["+15005550001", "+15005550002"]
CUSTOMERS = ["customer-1", "customer-2"]
OTHERS: list[dict[str, str]] = [
    {"email": "ada+1@canary.example", "external_id": "customer-10"},
    {"email": "xada@canary.example", "phone_number": "+15005550010"},
    {"email": "customer-1@canary.example", "external_id": "ada@canary.example"},
]

persons = st.lists(
    st.fixed_dictionaries(
        {"email": st.sampled_from(EMAILS)},
        optional={"phone_number": st.sampled_from(PHONES), "external_id": st.sampled_from(CUSTOMERS)},
    ),
    min_size=2,
    max_size=6,
)


class Nth(NamedTuple):
    """The nth of those in Klaviyo, by an identifier of this kind, or by the e-mail address for want of one."""

    number: int
    kind: str


rows: st.SearchStrategy[Any] = st.one_of(
    st.builds(Nth, st.integers(0, 5), st.sampled_from(list(Kind))),
    st.builds(Nth, st.integers(0, 5), st.sampled_from(list(Kind))),
    st.sampled_from(["Ada@Canary.Example", " bob@canary.example ", "eve@canary.example", "nobody@canary.example"]),
    st.sampled_from([*PHONES, "+1 (500) 555-0001"]).map(lambda value: {"phone_number": value}),
    st.sampled_from(CUSTOMERS).map(lambda value: {"external_id": value}),
    st.sampled_from([None, 7, "canary", {"email": "canary@"}, {"phone_number": "500 555 0001"}, {"id": "0" * 26}]),
)
lists = st.lists(rows, min_size=3, max_size=8)


def _fault(name: str) -> st.SearchStrategy[dict[str, Any]]:
    options: dict[str, st.SearchStrategy[Any]] = {
        "times": st.integers(1, 3),
        "probability": st.sampled_from([0.3, 1.0]),
    }
    if name == "scope_missing":
        options["scope"] = st.sampled_from(["data-privacy:write", "profiles:read", "accounts:read"])
    if name not in ABOUT:
        options["endpoint"] = st.sampled_from([None, "profile_deletion", "get_profiles", "get_profile", "get_account"])
    return st.fixed_dictionaries({"name": st.just(name), **options})


class Accident(NamedTuple):
    """What happens at one of the moments just before and just after a call or a transaction.

    Who is killed does nothing any more, not even tidy up. Otherwise it is the ledger that fails, once: before it has
    done what it was asked, or after.
    """

    moment: int
    is_killed: bool


class Weather(NamedTuple):
    """What the tries of a task meet: faults, and one accident each. After these, all is well."""

    faults: list[dict[str, Any]]
    accidents: list[Accident | None]


def weathers(moments: int) -> st.SearchStrategy[Weather]:
    """Return what a task may meet that has about so many moments."""
    accident = st.builds(Accident, st.integers(1, moments), st.booleans())
    return st.builds(
        Weather,
        st.lists(st.sampled_from(sorted(FAULTS)).flatmap(_fault), max_size=3),
        st.lists(st.one_of(accident, accident, st.none()), min_size=1, max_size=3),
    )


class KilledError(BaseException):
    """The worker is gone."""


@dataclass
class Accidents:
    """Counts the moments of a try, and has an accident happen at one of them."""

    next: Accident | None = None
    passed: int = 0
    is_dead: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def moment(self, *, is_the_ledgers: bool) -> None:
        with self.lock:
            if self.is_dead:
                raise KilledError
            accident = self.next
            if accident is None or not (accident.is_killed or is_the_ledgers):
                return
            self.passed += 1
            if self.passed < accident.moment:
                return
            self.next, self.is_dead = None, accident.is_killed
        raise KilledError if accident.is_killed else LedgerUnavailableError("the ledger's database failed")

    @contextmanager
    def try_with(self, accident: Accident | None) -> Iterator[None]:
        self.next, self.passed, self.is_dead = accident, 0, False
        try:
            yield
        finally:
            self.next = None
            for thread in threading.enumerate():
                if thread.name.startswith("klaviyo_"):
                    thread.join()
            self.is_dead = False


@pytest.fixture(scope="module")
def accidents() -> Iterator[Accidents]:
    accidents = Accidents()
    send, begin = KlaviyoClient._send, Database.begin

    def send_at_a_moment(client: KlaviyoClient, *sent: Any) -> Any:
        accidents.moment(is_the_ledgers=False)
        answer = send(client, *sent)
        accidents.moment(is_the_ledgers=False)
        return answer

    @contextmanager
    def begin_at_a_moment(database: Database) -> Iterator[Any]:
        accidents.moment(is_the_ledgers=True)
        with begin(database) as connection:
            yield connection
        accidents.moment(is_the_ledgers=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KlaviyoClient, "_send", send_at_a_moment)
        patch.setattr(Database, "begin", begin_at_a_moment)
        yield accidents


@pytest.fixture(
    scope="module",
    params=[DONE_AT_ONCE, {"deletion_seconds": (0, TEN_MINUTES), "pending_deletion_status": 404}],
    ids=["at once", "after a while"],
)
def shop(request: pytest.FixtureRequest, shops: Callable[..., AbstractContextManager[Any]]) -> Iterator[Any]:
    with shops(**request.param) as shop:
        shop.plan()
        yield shop


@dataclass
class Erasure:
    """A list, who of those in Klaviyo is on it, and who is not."""

    shop: Any
    accidents: Accidents
    asked: set[str]
    others: set[str]
    named: list[Identifier | None]
    gone_meanwhile: set[str] = field(default_factory=set)

    @classmethod
    def begin(cls, shop: Any, accidents: Accidents, persons: list[dict[str, str]], listed: list[Any]) -> Erasure:
        emulator = shop.emulator
        emulator.clear_faults()
        emulator.forget_people()
        shop.ledger.empty()
        ids = emulator.add_profiles(persons)
        emulator.add_profiles(OTHERS)
        everybody = [{"id": one, **person} for one, person in zip(ids, persons, strict=True)]
        shop.listed = [listed_as(row, everybody) if isinstance(row, Nth) else row for row in listed]
        named = [identifier_in(row) for row in shop.listed]
        wanted = {(one.kind.value, one.value) for one in named if one is not None}
        asked = {
            profile.id
            for profile in emulator.profiles()
            if any((kind.value, getattr(profile, kind)) in wanted for kind in Kind)
        }
        others = {profile.id for profile in emulator.profiles()} - asked
        return cls(shop, accidents, asked, others, named)

    def survive(self, weather: Weather, task: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Run a task again and again in this weather, and then in fine weather; return its result."""
        emulator = self.shop.emulator
        for fault in weather.faults:
            emulator.fault(**fault)
        results: list[Any] = []

        def run() -> None:
            results.append(task(*arguments, **named))

        for accident in weather.accidents:
            ending = self.ending_of(run, accident)
            note(f"{task.__name__}: {type(ending).__name__ if ending else 'success'}")
            self.check_others()
            self.shop.clock.pass_by(TEN_MINUTES / 2)
            if ending is None:
                break
        emulator.clear_faults()
        if not results:
            self.shop.clock.pass_by(TEN_MINUTES)
            run()
        return results[-1]

    def ending_of(self, task: Callable[[], Any], accident: Accident | None) -> BaseException | None:
        """Run a task that has an accident; return what it ends in."""
        with self.accidents.try_with(accident):
            try:
                ending: Exception | None = self.shop.ending_of(task)
            except KilledError as killed:
                return killed
        return ending

    def have_somebody_else_delete(self, number: int) -> None:
        """Have so many of those who are planned be asked for by another task, and gone or not before their own."""
        self.gone_meanwhile = set(sorted(self.asked)[:number])
        listed, self.shop.listed = self.shop.listed, [{"id": one} for one in self.gone_meanwhile]
        self.shop.delete_list()
        self.shop.listed = listed

    def check_others(self) -> None:
        assert not self.others.intersection(self.shop.emulator.deletion_requests)

    def check_deleted(self) -> None:
        """See that exactly the listed are gone; of those who came back, who was found again may be gone again."""
        self.shop.clock.pass_by(TEN_MINUTES)
        emulator = self.shop.emulator
        assert self.asked <= emulator.deleted
        assert self.others <= {profile.id for profile in emulator.profiles()}
        self.check_others()

    def check_ledger(self) -> None:
        """See that there is one plan, each row of it with its one final outcome, and that nobody is named any more."""
        plans, rows = self.shop.ledger.rows("plans"), self.shop.ledger.rows()
        assert [plan["state"] for plan in plans] == ["ready"]
        (plan,) = plans
        assert {row["plan_id"] for row in rows} <= {plan["plan_id"]}
        requested, profiles = set(self.shop.emulator.deletion_requests), {row["profile_id"] for row in rows} - {None}
        returned = requested - self.asked
        assert requested >= self.asked
        assert profiles <= self.asked | returned
        # A person who came back takes the place of a profile that was gone already when its turn came.
        assert self.asked - self.gone_meanwhile <= profiles or returned
        outcomes: dict[int, set[str]] = {}
        for row in rows:
            outcomes.setdefault(row["number"], set()).add(row["outcome"])
        assert plan["listed"] == len(self.shop.listed) == len(outcomes) + plan["duplicates"]
        first = {one: number for number, one in reversed(list(enumerate(self.named, start=1))) if one is not None}
        for number in first.values():
            profiles = {row["profile_id"] for row in rows if row["number"] == number} - {None}
            possible = {"confirmed", "reappeared"} if profiles else {"absent", "held"}
            if profiles & self.gone_meanwhile:
                possible.add("absent")
            assert outcomes.pop(number) <= possible
        assert all(outcome == {"invalid"} for outcome in outcomes.values())
        assert not [row for row in rows if row["identifier"] is not None]
        kept = self.shop.ledger.bytes()
        assert not [text for text in (b"canary", b"+1500555", b"customer-") if text in kept]


def listed_as(row: Nth, everybody: list[dict[str, str]]) -> dict[str, str]:
    person = everybody[row.number % len(everybody)]
    kind = row.kind if row.kind in person else "email"
    return {kind: person[kind]}


def identifier_in(row: object) -> Identifier | None:
    try:
        return Identifier.parse(row)
    except InvalidIdentifierError:
        return None


# Not made smaller: a thread more or less decides what is at a moment, and the first example that fails tells all.
law = settings(
    max_examples=25,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


def test_with_a_ledger(shop: Any, accidents: Accidents) -> None:
    @law
    @given(
        persons,
        lists,
        st.tuples(weathers(60), weathers(30), weathers(40)),
        st.integers(1, 3),
        st.integers(0, 3),
        st.sampled_from(["look", "wait"]),
    )
    def law_of_plans(
        persons: list[dict[str, str]],
        listed: list[Any],
        weathers: tuple[Weather, Weather, Weather],
        batch_size: int,
        goes_meanwhile: int,
        confirm: str,
    ) -> None:
        erasure = Erasure.begin(shop, accidents, persons, listed)
        shop.batch_size = batch_size
        batches = erasure.survive(weathers[0], shop.plan)
        erasure.have_somebody_else_delete(goes_meanwhile)
        for index, batch in enumerate(batches):
            erasure.survive(weathers[1], shop.drain, batch, index)
        erasure.survive(weathers[2], getattr(shop, confirm), plan=batches)
        erasure.check_deleted()
        erasure.check_ledger()

    law_of_plans()


def test_without_a_ledger(shop: Any, accidents: Accidents) -> None:
    @law
    @given(
        persons,
        lists,
        st.tuples(weathers(16), weathers(10)),
        st.booleans(),
        st.sampled_from(["look", "wait"]),
    )
    def law_of_lists(
        persons: list[dict[str, str]],
        listed: list[Any],
        weathers: tuple[Weather, Weather],
        has_store: bool,
        confirm: str,
    ) -> None:
        erasure = Erasure.begin(shop, accidents, persons, listed)
        shop.keep_state(has_store)
        result = erasure.survive(weathers[0], shop.delete_list)
        confirmed = erasure.survive(weathers[1], getattr(shop, confirm), profiles=result)
        erasure.check_deleted()
        counts = {name: result[name] for name in ("requested", "absent", "invalid", "held", "refused")}
        assert result["listed"] == len(shop.listed) == result["duplicates"] + sum(counts.values())
        assert (counts["invalid"], counts["refused"]) == (erasure.named.count(None), 0)
        assert sum(confirmed.values()) == len(result["profile_ids"])

    law_of_lists()


@where_deletions_are_done_at_once
@pytest.mark.parametrize("is_killed", [True, False], ids=["is killed", "finds the ledger failing"])
@pytest.mark.parametrize("task", ["plan", "drain", "look"])
def test_a_task_that_comes_one_moment_further_with_each_try(
    shop: Any, accidents: Accidents, task: str, is_killed: bool
) -> None:
    ada, customer = {"email": EMAILS[0], "phone_number": PHONES[0]}, {"external_id": CUSTOMERS[0]}
    listed = ["Ada@canary.example", {"phone_number": PHONES[0]}, customer, EMAILS[1], "canary"]
    erasure = Erasure.begin(shop, accidents, [ada, customer, customer], listed)
    shop.batch_size = len(erasure.asked)
    batches: list[dict[str, Any]] = []
    steps: dict[str, Callable[[], Any]] = {
        "plan": lambda: batches.extend(shop.plan()),
        "drain": lambda: shop.drain(*batches),
        "look": lambda: shop.look(plan=batches),
    }
    tries = 0
    for name, step in steps.items():
        shop.clock.pass_by(TEN_MINUTES)
        if name != task:
            step()
            continue
        ending: BaseException | None = KilledError()
        while ending is not None:
            tries += 1
            ending = erasure.ending_of(step, Accident(tries, is_killed))
            erasure.check_others()
    erasure.check_deleted()
    erasure.check_ledger()
    assert tries > 10


@where_deletions_are_done_at_once
def test_what_a_killed_plan_has_left_is_not_left_beside_the_next_one_by_a_ledger_that_fails(
    shop: Any, accidents: Accidents
) -> None:
    for moment in count(1):
        erasure = Erasure.begin(shop, accidents, [{"email": EMAILS[0]}], [EMAILS[0]])
        assert erasure.ending_of(shop.plan, Accident(IN_THE_MIDDLE_OF_A_PLAN, is_killed=True)) is not None
        assert [plan["state"] for plan in shop.ledger.rows("plans")] == ["registering"]
        ending = erasure.ending_of(shop.plan, Accident(moment, is_killed=False))
        if ending is not None:
            shop.plan()
        assert [plan["state"] for plan in shop.ledger.rows("plans")] == ["ready"]
        if ending is None and moment > IN_THE_MIDDLE_OF_A_PLAN:
            break
