"""A batch is worked off from whatever state a crash has left it in: nobody is forgotten, or asked for needlessly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from airflow_provider_klaviyo.api import conversation
from airflow_provider_klaviyo.api.calls import request_profile_deletion
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAuthenticationError,
    KlaviyoError,
    KlaviyoInvalidRequestError,
    KlaviyoPermissionError,
    KlaviyoRateLimitError,
    KlaviyoUnavailableError,
)
from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.deletion.drain import drain
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.ledger.errors import LedgerUnavailableError, SupersededError
from airflow_provider_klaviyo.ledger.work import LONGEST_CLAIM, LedgerBatch

# What SQL has no part in is tried on the quicker database only.
on_sqlite = pytest.mark.parametrize("ledger_connection", ["sqlite"], indirect=True)


def planned(shop: Any, number: int = 3, **rules: Any) -> tuple[Any, list[str]]:
    """Plan so many deletions; return the first batch and the profile ids."""
    people = [f"person.{one}@example.com" for one in range(number)]
    ids = [shop.emulator.add_profile(email=email) for email in people]
    plan = shop.plan(people, **rules)
    return shop.batches(plan)[0], ids


def outcomes(shop: Any) -> dict[str, str]:
    return {row["profile_id"]: row["outcome"] for row in shop.rows("requests")}


def claims(shop: Any) -> list[str | None]:
    """Return who is at each profile; None where anybody may be."""
    rows = shop.rows("requests")
    return [row["claimed_by"].partition(" #")[0] if row["claimed_at"] is not None else None for row in rows]


def age(shop: Any, by: timedelta) -> None:
    """Let the claims be older than they are."""
    at = datetime.now(UTC) - by
    shop.run(f"UPDATE klaviyo_requests SET claimed_at = '{at:%Y-%m-%d %H:%M:%S.%f}' WHERE claimed_at IS NOT NULL")


def test_each_step_is_written_down_before_and_after_it(shop: Any) -> None:
    batch, ids = planned(shop, 2)
    assert shop.drain([batch]) == {"requested": 2}
    assert shop.events() == [
        ("registered", None),
        ("asked", ids[0]),
        ("requested", ids[0]),
        ("asked", ids[1]),
        ("requested", ids[1]),
    ]
    assert {str(row["claimed_by"]).partition(" #")[0] for row in shop.rows("requests")} == {"drainer"}
    assert all(row["identifier"] for row in shop.rows("requests")), "needed to see who comes back"


@on_sqlite
def test_a_batch_that_is_done_costs_no_call(shop: Any) -> None:
    batch, ids = planned(shop)
    shop.drain([batch, batch])
    assert shop.emulator.deletion_requests == ids


class Killed(BaseException):
    pass


def refuse_deletions(patch: pytest.MonkeyPatch, *refused: str) -> list[str]:
    """Let Klaviyo answer 400 to the deletion of some profiles; return a list that each one asked for is added to."""
    asked: list[str] = []

    def refuse(kind: str, profile_id: str, **how: Any) -> Any:
        if profile_id not in refused:
            return (yield from request_profile_deletion(kind, profile_id, **how))
        yield from how["before_send"]()
        how["on_send"]()
        asked.append(profile_id)
        raise KlaviyoInvalidRequestError("Klaviyo answered 400", status=400)

    patch.setattr("airflow_provider_klaviyo.deletion.drain.request_profile_deletion", refuse)
    return asked


class Dying(LedgerBatch):
    """A batch whose worker dies at the second profile, before or after the call."""

    number = 0
    after_the_call = False

    def begin(self, profile: Profile) -> bool:
        is_ours = super().begin(profile)
        self.number += 1
        if self.number == 2 and not self.after_the_call:
            raise Killed
        return is_ours

    def end(self, profile_id: str, outcome: Outcome, *, in_doubt: bool = False) -> None:
        if self.number == 2:
            raise Killed
        super().end(profile_id, outcome, in_doubt=in_doubt)


def die(shop: Any, reference: Any, *, after_the_call: bool, actor: str = "drainer") -> None:
    with shop.open(actor) as (ledger, hook):
        batch = Dying(ledger, reference)
        batch.after_the_call = after_the_call
        with pytest.raises(Killed):
            drain(batch.profile_ids, hook.get_conn(), record=batch)


@pytest.mark.parametrize("after_the_call", [False, True])
def test_a_worker_that_died_goes_on_without_a_repeated_call_for_who_is_gone(shop: Any, after_the_call: bool) -> None:
    batch, ids = planned(shop)
    die(shop, batch, after_the_call=after_the_call)
    assert list(outcomes(shop).values()) == ["requested", "planned", "planned"]
    assert shop.drain([batch]) == {"requested": 3}
    assert shop.emulator.calls("profile_deletion") == 3
    assert shop.emulator.deleted == set(ids)


@on_sqlite
@pytest.mark.parametrize(("after_the_call", "calls"), [(False, 3), (True, 4)])
def test_a_worker_that_died_goes_on_with_one_repeated_call_at_most(
    slow_shop: Any, after_the_call: bool, calls: int
) -> None:
    """Klaviyo has not deleted the profile yet, so that a look does not tell whether it was asked to."""
    batch, ids = planned(slow_shop)
    die(slow_shop, batch, after_the_call=after_the_call)
    assert slow_shop.drain([batch]) == {"requested": 3}
    assert slow_shop.emulator.calls("profile_deletion") == calls
    assert set(slow_shop.emulator.deletion_requests) == set(ids)


def test_what_another_worker_is_at_is_left_to_it(shop: Any) -> None:
    batch, ids = planned(shop)
    die(shop, batch, after_the_call=True, actor="another")
    assert shop.drain([batch]) == {"requested": 2, "planned": 1}
    assert shop.emulator.deletion_requests == ids, "all of them once"
    age(shop, LONGEST_CLAIM + timedelta(seconds=1))
    assert shop.drain([batch]) == {"requested": 3}
    assert shop.emulator.deletion_requests == ids, "a look tells that it was done"


@on_sqlite
def test_what_another_worker_was_at_for_too_long_is_taken_up(slow_shop: Any) -> None:
    batch, _ = planned(slow_shop)
    die(slow_shop, batch, after_the_call=True, actor="another")
    assert slow_shop.drain([batch]) == {"requested": 2, "planned": 1}
    age(slow_shop, LONGEST_CLAIM + timedelta(seconds=1))
    assert slow_shop.drain([batch]) == {"requested": 3}
    assert slow_shop.emulator.calls("profile_deletion") == 4


def test_a_claim_is_fresh_for_a_quarter_of_an_hour(shop: Any) -> None:
    batch, _ = planned(shop)
    die(shop, batch, after_the_call=False, actor="another")
    age(shop, LONGEST_CLAIM - timedelta(seconds=30))
    assert shop.drain([batch]) == {"requested": 2, "planned": 1}


@pytest.fixture
def forgetful_shop(shop: Any) -> Iterator[Any]:
    """A shop at a Klaviyo that answers 404 as soon as a deletion is under way."""
    with Emulator(limit_factor=1_000, deletion_seconds=60, pending_deletion_status=404) as emulator:
        shop.emulator = emulator
        shop.account()
        yield shop
        shop.close()


@pytest.mark.parametrize("actor", ["drainer", "another"])
def test_who_is_not_found_after_an_earlier_try_was_deleted_by_it(forgetful_shop: Any, actor: str) -> None:
    shop = forgetful_shop
    batch, ids = planned(shop)
    die(shop, batch, after_the_call=True, actor=actor)
    age(shop, timedelta(hours=1))
    assert shop.drain([batch]) == {"requested": 3}
    assert shop.emulator.deletion_requests == ids


@on_sqlite
def test_an_earlier_try_is_seen_that_came_while_the_batch_was_open(forgetful_shop: Any) -> None:
    """A batch may be open for days, and another worker die at its last profile meanwhile."""
    shop = forgetful_shop
    reference, ids = planned(shop)
    with shop.open("patient") as (ledger, hook):
        batch = LedgerBatch(ledger, reference)
        die(shop, reference, after_the_call=True, actor="another")
        age(shop, timedelta(hours=1))
        drain(batch.profile_ids, hook.get_conn(), record=batch)
    assert set(outcomes(shop).values()) == {"requested"}
    assert shop.emulator.deletion_requests == ids


@on_sqlite
def test_who_went_since_the_plan_is_absent_and_forgotten(shop: Any) -> None:
    batch, ids = planned(shop)
    shop.emulator.forget_people()
    assert shop.drain([batch]) == {"absent": 3}
    assert [row["identifier"] for row in shop.rows("requests")] == [None] * 3
    assert ("absent", ids[0]) in shop.events()


@on_sqlite
def test_what_klaviyo_refuses_is_final_and_forgotten(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, ids = planned(shop)

    refuse_deletions(monkeypatch, ids[1])
    assert shop.drain([batch]) == {"requested": 2, "refused": 1}
    refused = next(row for row in shop.rows("requests") if row["profile_id"] == ids[1])
    assert refused["identifier"] is None
    assert shop.plan(["person.1@example.com"], run="tomorrow")["profiles"] == 1


@on_sqlite
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"name": "deletion_refused"}, KlaviyoAuthenticationError),
        ({"name": "scope_missing", "scope": "data-privacy:write"}, KlaviyoPermissionError),
        ({"name": "throttled", "retry_after": 3_600, "endpoint": "profile_deletion"}, KlaviyoRateLimitError),
        ({"name": "redirect", "endpoint": "profile_deletion"}, KlaviyoError),
    ],
)
def test_trouble_leaves_everybody_planned(shop: Any, fault: dict[str, Any], kind: type[Exception]) -> None:
    batch, ids = planned(shop)
    shop.emulator.fault(**fault)
    with pytest.raises(kind):
        shop.drain([batch])
    assert set(outcomes(shop).values()) == {"planned"}
    shop.emulator.clear_faults()
    shop.run("DELETE FROM klaviyo_paces")
    shop.account()
    assert shop.drain([batch]) == {"requested": 3}
    assert shop.emulator.deletion_requests == ids


@on_sqlite
@pytest.mark.parametrize(("fault", "is_given_back"), [("deletion_refused", True), ("redirect", False)])
def test_what_klaviyo_would_not_have_may_be_tried_by_anybody_at_once(
    shop: Any, fault: str, is_given_back: bool
) -> None:
    batch, _ = planned(shop, 2)
    shop.emulator.fault(fault, endpoint="profile_deletion")
    with pytest.raises(KlaviyoError):
        shop.drain([batch], actor="one")
    assert claims(shop) == [None if is_given_back else "one", None]
    shop.emulator.clear_faults()
    expected = {"requested": 2} if is_given_back else {"requested": 1, "planned": 1}
    assert shop.drain([batch], actor="another") == expected


def test_what_an_earlier_try_may_have_done_is_not_given_back(forgetful_shop: Any) -> None:
    shop = forgetful_shop
    batch, ids = planned(shop)
    die(shop, batch, after_the_call=True)
    shop.emulator.fault("deletion_refused")
    with pytest.raises(KlaviyoAuthenticationError):
        shop.drain([batch])
    assert claims(shop) == ["drainer", "drainer", None]
    shop.emulator.clear_faults()
    assert shop.drain([batch]) == {"requested": 3}
    assert shop.emulator.deletion_requests == ids


def test_a_doubt_outlasts_a_refusal(shop: Any) -> None:
    """The first try may have had it deleted, the second was refused, and the third finds it gone."""
    reference, (profile_id,) = planned(shop, 1)
    with shop.fresh("drainer") as (ledger, hook):
        profile = Profile(profile_id, email="person.0@example.com")
        LedgerBatch(ledger, reference).begin(profile)
        second = LedgerBatch(ledger, reference)
        second.begin(profile)
        second.give_back(profile_id)
        third = LedgerBatch(ledger, reference)
        shop.emulator.forget_people()
        third.miss(profile_id, is_there=False)
        assert third.find_again(hook.get_conn()) == []
    assert outcomes(shop) == {profile_id: "requested"}


@on_sqlite
@pytest.mark.parametrize("fault", ["server_error_html", "throttled_without_retry_after", "connection_dropped_after"])
def test_trouble_that_lasts_leaves_everybody_planned(shop: Any, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    batch, ids = planned(shop)
    impatient = partial(request_profile_deletion, patience_seconds=0.0)
    with monkeypatch.context() as patch:
        patch.setattr("airflow_provider_klaviyo.deletion.drain.request_profile_deletion", impatient)
        shop.emulator.fault(fault, endpoint="profile_deletion")
        with pytest.raises(KlaviyoUnavailableError):
            shop.drain([batch])
    assert set(outcomes(shop).values()) == {"planned"}
    shop.emulator.clear_faults()
    shop.run("DELETE FROM klaviyo_paces")
    assert shop.drain([batch]) == {"requested": 3}
    assert shop.emulator.deleted == set(ids)


@on_sqlite
def test_short_trouble_is_waited_out(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "FIRST_PAUSE_SECONDS", 0.01)
    batch, ids = planned(shop)
    shop.emulator.fault("server_error_html", endpoint="profile_deletion", times=1)
    shop.emulator.fault("throttled_with_retry_after_zero", endpoint="profile_deletion", times=1)
    assert shop.drain([batch]) == {"requested": 3}
    assert shop.emulator.deletion_requests == ids


@on_sqlite
def test_time_that_is_up_leaves_the_rest_to_the_next_run(shop: Any) -> None:
    batch, ids = planned(shop, 5)
    ticks = iter([0.0, 0.0, 1.0, 2.0, 3.0, 4.0])
    assert shop.drain([batch], seconds=2, clock=lambda: next(ticks)) == {"requested": 2, "planned": 3}
    assert shop.drain([batch], actor="the next run") == {"requested": 5}
    assert shop.emulator.deletion_requests == ids
    assert shop.drain([batch], seconds=0) == {"requested": 5}


@on_sqlite
def test_a_ledger_that_fails_between_two_steps_stops_the_drain(shop: Any) -> None:
    batch, ids = planned(shop)

    class Failing(LedgerBatch):
        def end(self, profile_id: str, outcome: Outcome, *, in_doubt: bool = False) -> None:
            if profile_id == ids[1]:
                raise LedgerUnavailableError("the ledger's database failed")
            super().end(profile_id, outcome, in_doubt=in_doubt)

    with shop.open("drainer") as (ledger, hook):
        failing = Failing(ledger, batch)
        with pytest.raises(LedgerUnavailableError):
            drain(failing.profile_ids, hook.get_conn(), record=failing)
    assert shop.emulator.deletion_requests == ids[:2], "nobody is asked for without a record"
    assert shop.drain([batch]) == {"requested": 3}


def test_several_at_one_batch_never_ask_twice(shop: Any) -> None:
    """Two runs at once, each of which has the batches that the other has not finished."""
    people = [f"person.{one}@example.com" for one in range(15)]
    phones = [f"+150055500{one:02}" for one in range(15)]
    ids = [shop.emulator.add_profile(email=e, phone_number=p) for e, p in zip(people, phones, strict=True)]
    (batch,) = shop.batches(shop.plan([*people, *reversed(phones)]))
    failures: list[BaseException] = []
    workers = 4
    barrier = threading.Barrier(workers)

    def work(actor: str) -> None:
        try:
            with shop.fresh(actor) as (ledger, hook):
                mine = LedgerBatch(ledger, batch)
                client = hook.get_conn()
                barrier.wait(30)
                drain(mine.profile_ids, client, record=mine)
        except BaseException as error:  # noqa: BLE001 - to be seen by the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"worker {number}",)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(shop.emulator.deletion_requests) == sorted(ids)
    assert set(outcomes(shop).values()) == {"requested"}
    assert sorted(event for event, _ in shop.events() if event == "asked") == ["asked"] * 15


def test_a_try_that_was_taken_for_dead_stops_when_it_is_superseded(shop: Any) -> None:
    """A scheduler dies, its workers go on, and the next one begins the same task anew."""
    reference, ids = planned(shop, 5)
    with shop.fresh("drainer") as (ledger, hook), shop.fresh("drainer") as (later_ledger, later_hook):
        orphan = LedgerBatch(ledger, reference)
        drain(orphan.profile_ids[:2], hook.get_conn(), record=orphan)
        later = LedgerBatch(later_ledger, reference)
        with pytest.raises(SupersededError, match="nothing is lost"):
            drain(orphan.profile_ids[2:], hook.get_conn(), record=orphan)
        drain(later.profile_ids, later_hook.get_conn(), record=later)
    assert shop.emulator.deletion_requests == ids, "all of them once"
    assert set(outcomes(shop).values()) == {"requested"}


def test_what_a_later_try_has_given_back_is_not_for_the_earlier_one(shop: Any) -> None:
    reference, ids = planned(shop, 1)
    with shop.fresh("drainer") as (ledger, _), shop.fresh("drainer") as (later_ledger, _hook):
        orphan = LedgerBatch(ledger, reference)
        later = LedgerBatch(later_ledger, reference)
        profile = Profile(ids[0], email="person.0@example.com")
        assert later.begin(profile)
        later.give_back(ids[0])
        age(shop, LONGEST_CLAIM + timedelta(seconds=1))
        with pytest.raises(SupersededError):
            orphan.begin(profile)
        assert later.begin(profile)


@on_sqlite
def test_a_batch_shows_nobody(shop: Any) -> None:
    reference, _ = planned(shop, 1)
    with shop.open() as (ledger, _hook):
        assert "person" not in repr(LedgerBatch(ledger, reference))
        assert "person" not in repr(vars(LedgerBatch(ledger, reference)))


@on_sqlite
def test_five_refusals_before_anything_else_stop_it(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, ids = planned(shop, 6)
    asked = refuse_deletions(monkeypatch, *ids)
    with pytest.raises(KlaviyoInvalidRequestError):
        shop.drain([batch])
    assert asked == ids[:5]
    assert set(outcomes(shop).values()) == {"planned"}


@on_sqlite
@pytest.mark.parametrize("number", [2, 9])
def test_retries_do_not_have_everybody_refused(shop: Any, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """What Klaviyo refuses for every profile stays trouble, however often it is tried."""
    batch, ids = planned(shop, number)

    with monkeypatch.context() as patch:
        refuse_deletions(patch, *ids)
        for one in range(4):
            with pytest.raises(KlaviyoInvalidRequestError):
                shop.drain([batch], actor=f"try {one}")
            assert set(outcomes(shop).values()) == {"planned"}
            assert set(claims(shop)) == {None}
    assert "refused" not in {event for event, _ in shop.events()}
    assert shop.drain([batch]) == {"requested": number}
    assert shop.emulator.deletion_requests == ids


def fail_after_the_first(shop: Any, monkeypatch: pytest.MonkeyPatch, **fault: Any) -> None:
    """Lose the answer to one deletion, and let another fault be there from then on."""

    def now(_seconds: float, reason: str, *_: str) -> None:
        if reason:
            shop.emulator.fault(endpoint="profile_deletion", **fault)

    monkeypatch.setattr(conversation, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("airflow_provider_klaviyo.api.client._log_wait", now)
    shop.emulator.fault("connection_dropped_after", endpoint="profile_deletion", times=1)


@on_sqlite
@pytest.mark.parametrize("fault", [{"name": "key_revoked"}, {"name": "throttled", "retry_after": 3_600}])
def test_a_deletion_whose_answer_was_lost_is_requested_whatever_came_after_it(
    forgetful_shop: Any, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any]
) -> None:
    shop = forgetful_shop
    batch, ids = planned(shop, 2)
    with monkeypatch.context() as patch:
        fail_after_the_first(shop, patch, **fault)
        with pytest.raises(KlaviyoError):
            shop.drain([batch])
    assert shop.emulator.deletion_requests == ids[:1]
    assert claims(shop) == ["drainer", None], "nobody may take it for one that was never asked for"
    shop.emulator.clear_faults()
    shop.emulator.forget_people()
    shop.run("DELETE FROM klaviyo_paces")
    shop.account()
    assert shop.drain([batch]) == {"requested": 1, "absent": 1}
    assert outcomes(shop)[ids[0]] == "requested"


@on_sqlite
def test_who_is_not_found_after_a_send_that_was_lost_is_requested(
    forgetful_shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = forgetful_shop
    monkeypatch.setattr(conversation, "FIRST_PAUSE_SECONDS", 0.01)
    batch, ids = planned(shop, 2)
    shop.emulator.fault("connection_dropped_after", endpoint="profile_deletion", times=1)
    assert shop.drain([batch]) == {"requested": 2}
    assert shop.emulator.deletion_requests == ids
    assert shop.emulator.calls("get_profile") == 3, "one before each send, and none after"


@on_sqlite
def test_who_is_on_the_way_out_by_a_call_that_nobody_recorded_is_requested(forgetful_shop: Any) -> None:
    shop = forgetful_shop
    batch, ids = planned(shop, 2)
    with shop.open("by hand") as (_ledger, hook):
        hook.get_conn().run(request_profile_deletion("id", ids[0]))
    assert shop.drain([batch]) == {"requested": 2}
    assert shop.emulator.deletion_requests == ids


def test_what_klaviyo_would_not_delete_is_anybodys_again_at_once(shop: Any) -> None:
    jane = shop.emulator.add_profile(email="jane@example.com")
    plan = shop.plan(["jane@example.com"])
    shop.emulator.fault("scope_missing", scope="data-privacy:write")
    with pytest.raises(KlaviyoPermissionError):
        shop.drain(shop.batches(plan), actor="the one")
    shop.emulator.clear_faults()
    assert shop.drain(shop.batches(plan), actor="the other") == {"requested": 1}
    assert shop.emulator.deletion_requests == [jane]


def test_a_try_that_died_between_two_requests_of_a_profile_supersedes_nobody(shop: Any) -> None:
    """The first of them is requested under the claim of the dead try; the second is still planned."""
    shop.emulator.add_profile(email="jane@example.com", phone_number="+15005550001")
    (batch,) = shop.batches(shop.plan(["jane@example.com", "+15005550001"]))
    with shop.fresh("drainer") as (ledger, _):
        LedgerBatch(ledger, batch)
    shop.run("UPDATE klaviyo_requests SET outcome = 'requested', in_doubt = 1 WHERE number = 1")
    assert shop.drain([batch]) == {"requested": 2}
