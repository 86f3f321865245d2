"""What becomes of every task under every fault of the emulator: a table, and the proof of each of its cells.

A task ends in success, or in an error whose name says what to do; then nobody is lost, and the same task run again
once the fault is gone ends in success. Whatever happens, exactly those who were listed are deleted.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout
from reporter import assert_none_shown

from airflow_provider_klaviyo.api.errors import (
    KlaviyoAnswerError,
    KlaviyoAuthenticationError,
    KlaviyoConnectionError,
    KlaviyoError,
    KlaviyoRateLimitError,
    KlaviyoServerError,
)
from airflow_provider_klaviyo.emulator.faults import ABOUT, FAULTS

Ending = type[Exception] | str


class Endings(NamedTuple):
    """How a task ends while a fault lasts."""

    plan: Ending
    """DeletionPlanOperator, or a ProfileDeletionOperator that looks its list up."""
    drain: Ending
    """ProfileDeletionOperator that deletes, whether from a batch or a list."""
    look: Ending
    """DeletionConfirmedSensor in a worker, if there is time for one look only."""
    wait: Ending
    """DeletionConfirmedSensor in the triggerer, if there is a day."""
    check: Ending
    """Each of them that begins with asking which account its key belongs to."""

    @property
    def see(self) -> Ending:
        """ProfileDeletionOperator that sees whether somebody is gone whom the deletion does not find."""
        return self.check


success: Final = "success"
not_met: Final = "that task never meets the fault"
for_good: Final = AirflowFailException
retried: Final = KlaviyoError
looks_on: Final = AirflowSensorTimeout
refused: Final = KlaviyoAuthenticationError
too_many: Final = KlaviyoRateLimitError
server: Final = KlaviyoServerError
network: Final = KlaviyoConnectionError
nonsense: Final = KlaviyoAnswerError

# fmt: off
ENDINGS: Mapping[str, Endings] = {
    #                                          plan      drain     look      wait      check
    "deletion_refused":                Endings(not_met,  refused,  not_met,  not_met,  not_met),
    "key_revoked":                     Endings(for_good, for_good, for_good, for_good, for_good),
    "key_refused_at_one_endpoint":     Endings(refused,  refused,  looks_on, retried,  refused),
    "scope_missing":                   Endings(for_good, for_good, for_good, for_good, for_good),
    "throttled":                       Endings(too_many, too_many, looks_on, retried,  too_many),
    "throttled_for_hours":             Endings(too_many, too_many, looks_on, retried,  too_many),
    "throttled_without_retry_after":   Endings(too_many, too_many, looks_on, retried,  too_many),
    "throttled_with_retry_after_zero": Endings(too_many, too_many, looks_on, retried,  too_many),
    "quota_eaten":                     Endings(success,  success,  success,  success,  success),
    "server_error_html":               Endings(server,   server,   looks_on, retried,  server),
    "connection_dropped_before":       Endings(network,  network,  looks_on, retried,  network),
    "connection_dropped_after":        Endings(network,  network,  looks_on, retried,  network),
    "redirect":                        Endings(nonsense, nonsense, looks_on, retried,  nonsense),
    "truncated_json":                  Endings(nonsense, not_met,  looks_on, retried,  nonsense),
    "wrong_types":                     Endings(nonsense, not_met,  looks_on, retried,  nonsense),
    "wrong_resources":                 Endings(nonsense, not_met,  success,  success,  nonsense),
    "errors_in_ok":                    Endings(nonsense, not_met,  looks_on, retried,  nonsense),
    "gzip_bomb":                       Endings(nonsense, nonsense, looks_on, retried,  nonsense),
    "slow_body":                       Endings(success,  not_met,  success,  success,  success),
    "refused_in_html":                 Endings(nonsense, nonsense, looks_on, retried,  nonsense),
    "unauthorized_in_html":            Endings(nonsense, nonsense, looks_on, retried,  nonsense),
    "not_found_in_html":               Endings(nonsense, nonsense, looks_on, retried,  nonsense),
    "success_in_html":                 Endings(nonsense, nonsense, looks_on, retried,  nonsense),
    "foreign_next_link":               Endings(nonsense, not_met,  looks_on, retried,  not_met),
    "endless_pages":                   Endings(nonsense, not_met,  looks_on, retried,  not_met),
    "unasked_profile":                 Endings(success,  not_met,  looks_on, looks_on, not_met),
    "deletions_never_finish":          Endings(not_met,  success,  looks_on, looks_on, not_met),
    "profiles_return":                 Endings(not_met,  success,  success,  success,  not_met),
}
# fmt: on
# Of these a task takes no second try where they pass. Of the others it may, and all is well after it.
WAITED_OUT: Final = {
    "throttled",
    "throttled_without_retry_after",
    "throttled_with_retry_after_zero",
    "server_error_html",
    "connection_dropped_before",
    "connection_dropped_after",
    "refused_in_html",
    "unauthorized_in_html",
    "not_found_in_html",
    "success_in_html",
    "truncated_json",
    "wrong_types",
    "wrong_resources",
    "errors_in_ok",
    "gzip_bomb",
    "slow_body",
}

# Rows of the table that are not a fault under its own name and with its own options.
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "key_refused_at_one_endpoint": ("key_revoked", {}),
    "refused_in_html": ("server_error_html", {"status": 403}),
    "unauthorized_in_html": ("server_error_html", {"status": 401}),
    "not_found_in_html": ("server_error_html", {"status": 404}),
    "success_in_html": ("server_error_html", {"status": 202}),
    "throttled": ("throttled", {"retry_after": 9}),
    "throttled_for_hours": ("throttled", {"retry_after": 7_200}),
    "quota_eaten": ("quota_eaten", {"per_minute": 40, "burst": 3}),
}
ENDPOINTS: Final = {
    "plan": "get_profiles",
    "drain": "profile_deletion",
    "look": "get_profiles",
    "wait": "get_profiles",
    "check": "get_account",
    "see": "get_profile",
}
SCOPES: Final = {
    "profile_deletion": "data-privacy:write",
    "get_profiles": "profiles:read",
    "get_profile": "profiles:read",
    "get_account": "accounts:read",
}

HOUR: Final = 3_600.0


PERSONAL = ("canary", "+1500555", "customer-7")
# What is asked for meets these, after the task is done.
SHOWN_LATER = {("deletions_never_finish", "drain"), ("profiles_return", "drain")}


def each_row_that_is_met_by(task: str) -> pytest.MarkDecorator:
    rows = [row for row, endings in ENDINGS.items() if getattr(endings, task) != not_met]
    return pytest.mark.parametrize("row", rows)


def fault_of(row: str) -> tuple[str, Mapping[str, Any]]:
    return VARIANTS.get(row, (row, {}))


def test_every_fault_of_the_emulator_is_in_the_table() -> None:
    # Those that no deletion meets are in test_rights.py. A late index does nothing to profiles as old as these.
    met = {fault for fault in FAULTS if not ABOUT.get(fault) or ABOUT[fault] & set(ENDPOINTS.values())}
    met -= {"late_index"}
    missing = met - {fault_of(row)[0] for row in ENDINGS}
    assert not missing, f"say in ENDINGS what becomes of {', '.join(sorted(missing))}"


@dataclass
class Erasure:
    """Five people to erase, six who are much like them and are not to be, and what has become of all of them."""

    shop: Any
    asked: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    batches: list[dict[str, Any]] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        add = self.shop.emulator.add_profile
        eve = add(email="eve@canary.example")
        self.asked = {
            eve,
            add(email="ada@canary.example", phone_number="+15005550099"),
            add(phone_number="+15005550001"),
            add(external_id="customer-7", email="one@canary.example"),
            add(external_id="customer-7", email="two@canary.example"),
        }
        elsewhere = self.shop.emulator.add_account()
        self.others = {
            add(email="ada@canary.example", account=elsewhere),
            add(email="ada+1@canary.example"),
            add(email="xada@canary.example"),
            add(phone_number="+15005550010"),
            add(external_id="customer-70", phone_number="+15005550002"),
            add(external_id="eve@canary.example", email="customer-7@canary.example"),
        }
        self.shop.listed = [
            "Ada@Canary.example ",
            "ada@canary.example",
            {"phone_number": "+1 500 555 0001"},
            {"external_id": "customer-7"},
            {"id": eve},
            "eve@canary.example",
            "nobody@canary.example",
            "canary, and no address",
        ]

    def plan(self) -> None:
        self.batches = self.shop.plan()

    def drain(self) -> None:
        self.shop.drain_all(self.batches)

    def delete_list(self) -> None:
        self.result = self.shop.delete_list()

    def look(self) -> None:
        self.shop.look(**self.waits_for)

    def wait(self) -> None:
        self.shop.wait(**self.waits_for)

    @property
    def waits_for(self) -> dict[str, Any]:
        return {"plan": self.batches} if self.batches else {"profiles": self.result}

    @contextmanager
    def under(self, row: str, column: str, times: int | None = None) -> Iterator[None]:
        """Have a fault strike where a column of the table is about, and see that it does."""
        emulator, endpoint, (fault, options) = self.shop.emulator, ENDPOINTS[column], fault_of(row)
        if fault == "scope_missing":
            options = {"scope": SCOPES[endpoint]}
        is_everywhere = row == "key_revoked" or fault in ABOUT
        emulator.fault(fault, endpoint=None if is_everywhere else endpoint, times=times, **options)
        yield
        is_met = getattr(ENDINGS[row], column) != not_met and (fault, column) not in SHOWN_LATER
        assert emulator.faults[0]["struck"] or not is_met
        emulator.clear_faults()
        self.shop.wait_for_a_retry()

    def ends(self, task: Callable[[], None], expected: Ending) -> None:
        """Run a task, and see that it ends as the table says."""
        ending = self.ending_of(task)
        if isinstance(expected, str):
            assert ending is None
        else:
            assert isinstance(ending, expected)

    def tries(self, task: Callable[[], None], most: int) -> int:
        """Return how many tries a task takes to succeed."""
        for number in range(1, most + 1):
            ending = self.ending_of(task)
            if ending is None:
                return number
            self.shop.wait_for_a_retry()
        raise AssertionError("not even the last try succeeded") from ending

    def ending_of(self, task: Callable[[], None]) -> Exception | None:
        """Run a task; whatever it ends in, nobody is lost, and nobody told of."""
        ending: Exception | None = self.shop.ending_of(task)
        self.check_nobody_is_lost()
        if ending is not None:
            self.check_nobody_is_told_of("".join(traceback.format_exception(ending)))
            assert_none_shown(ending, PERSONAL)
        return ending

    def check_nobody_is_lost(self) -> None:
        """See that all who are not gone are in the ledger as such, with their identifiers, if it has a plan at all."""
        emulator, rows = self.shop.emulator, self.shop.ledger.rows()
        requested = set(emulator.deletion_requests)
        assert requested <= self.asked
        assert not self.others & emulator.deleted
        if not rows:
            return
        open_rows = [row for row in rows if row["outcome"] in {"planned", "requested"}]
        assert {row["number"] for row in rows} == {1, 3, 4, 5, 6, 7, 8}
        assert all((row["identifier"] is not None) == (row in open_rows) for row in rows)
        assert {row["profile_id"] for row in rows} - {None} == self.asked
        assert self.asked - requested <= {row["profile_id"] for row in open_rows if row["outcome"] == "planned"}
        assert self.asked - emulator.deleted <= {row["profile_id"] for row in open_rows}

    def check_nothing_is_registered(self) -> None:
        assert (self.shop.ledger.rows("plans"), self.shop.ledger.rows("requests")) == ([], [])

    def check_everybody_is_gone(
        self, absent: Set[str] = frozenset({"absent"}), may_have_returned: bool = False
    ) -> None:
        """See that who was listed, and nobody else, is gone; and that each row has its one outcome."""
        emulator, rows = self.shop.emulator, self.shop.ledger.rows()
        assert emulator.deleted == self.asked
        assert self.others <= {profile.id for account in emulator.accounts for profile in emulator.profiles(account)}
        if self.batches:
            outcomes = {row["number"]: row["outcome"] for row in rows}
            gone = [outcomes.pop(number) for number in (1, 3, 4, 5, 6)]
            assert set(gone) <= ({"confirmed", "reappeared"} if may_have_returned else {"confirmed"})
            assert (set(outcomes), outcomes[7] in absent, outcomes[8]) == ({7, 8}, True, "invalid")
            assert len(rows) == 8, "the customer is two profiles"
            assert not [row for row in rows if row["identifier"] is not None]
            self.check_nobody_is_told_of(self.shop.ledger.bytes().decode("latin-1"))
        else:
            counts = {name: self.result[name] for name in ("requested", "absent", "held", "invalid", "refused")}
            assert (self.result["listed"], self.result["duplicates"], sum(counts.values())) == (8, 1, 7)
            assert (counts["invalid"], counts["refused"]) == (1, 0)
            assert set(self.result["profile_ids"]) == self.asked

    def check_nobody_is_told_of(self, text: str) -> None:
        assert not [personal for personal in PERSONAL if personal in text.lower()]


@pytest.fixture
def emulator_options() -> dict[str, Any]:
    return {"deletion_seconds": HOUR}


@pytest.fixture
def erasure(
    shops: Callable[..., AbstractContextManager[Any]],
    emulator_options: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Erasure]:
    with shops(**emulator_options) as shop, caplog.at_level("INFO"):
        erasure = Erasure(shop)
        yield erasure
        logged = map(caplog.handler.format, caplog.get_records("call"))
        erasure.check_nobody_is_told_of("".join([*capfd.readouterr(), *logged]))
        erasure.check_nobody_is_told_of(json.dumps([erasure.batches, erasure.result]))


def finish(erasure: Erasure, **how: Any) -> None:
    """Wait for the deletions that were requested, with all faults gone, and see that they are the right ones."""
    erasure.shop.clock.pass_by(HOUR + 1)
    erasure.look()
    erasure.check_everybody_is_gone(**how)


@each_row_that_is_met_by("plan")
def test_planning(erasure: Erasure, row: str) -> None:
    with erasure.under(row, "plan"):
        erasure.ends(erasure.plan, ENDINGS[row].plan)
    if ENDINGS[row].plan != success:
        erasure.check_nothing_is_registered()
        erasure.plan()
    erasure.drain()
    finish(erasure, absent={"held" if row == "unasked_profile" else "absent"})


@each_row_that_is_met_by("drain")
def test_draining(erasure: Erasure, row: str) -> None:
    erasure.plan()
    with erasure.under(row, "drain"):
        erasure.ends(erasure.drain, ENDINGS[row].drain)
    erasure.drain()
    finish(erasure)


@each_row_that_is_met_by("plan")
def test_deleting_a_list_that_is_being_looked_up(erasure: Erasure, row: str) -> None:
    with erasure.under(row, "plan"):
        erasure.ends(erasure.delete_list, ENDINGS[row].plan)
    if ENDINGS[row].plan != success:
        assert erasure.shop.emulator.deletion_requests == []
        erasure.delete_list()
    finish(erasure)


@each_row_that_is_met_by("drain")
def test_deleting_a_list(erasure: Erasure, row: str) -> None:
    with erasure.under(row, "drain"):
        erasure.ends(erasure.delete_list, ENDINGS[row].drain)
    if ENDINGS[row].drain != success:
        erasure.delete_list()
    finish(erasure)


@each_row_that_is_met_by("look")
def test_looking(erasure: Erasure, row: str) -> None:
    erasure.plan()
    erasure.drain()
    confirming(erasure, row, "look")


@each_row_that_is_met_by("look")
def test_looking_without_a_ledger(erasure: Erasure, row: str) -> None:
    erasure.delete_list()
    confirming(erasure, row, "look")


@each_row_that_is_met_by("wait")
def test_waiting(erasure: Erasure, row: str) -> None:
    erasure.plan()
    erasure.drain()
    confirming(erasure, row, "wait")


@each_row_that_is_met_by("wait")
def test_waiting_without_a_ledger(erasure: Erasure, row: str) -> None:
    erasure.delete_list()
    confirming(erasure, row, "wait")


def confirming(erasure: Erasure, row: str, task: str) -> None:
    """Have the fault strike when all deletions are requested, and done in an hour."""
    # To a sensor that has nothing but profile ids to ask for, an unasked profile is nobody.
    is_nobody = row == "unasked_profile" and not erasure.batches
    with erasure.under(row, task):
        if task == "look":
            erasure.shop.clock.pass_by(HOUR + 1)
        erasure.ends(getattr(erasure, task), success if is_nobody else getattr(ENDINGS[row], task))
    finish(erasure, may_have_returned=row == "profiles_return")


@each_row_that_is_met_by("check")
@pytest.mark.parametrize("task", ["drain", "delete_list"])
def test_asking_first_which_account_it_is(erasure: Erasure, task: str, row: str) -> None:
    if task == "drain":
        erasure.plan()
    with erasure.under(row, "check"):
        erasure.ends(getattr(erasure, task), ENDINGS[row].check)
    getattr(erasure, task)()
    erasure.drain()
    finish(erasure)


@each_row_that_is_met_by("see")
@pytest.mark.parametrize("emulator_options", [{"deletion_seconds": HOUR, "pending_deletion_status": 404}], ids=["404"])
def test_draining_who_is_on_the_way_out_by_another_call(erasure: Erasure, row: str) -> None:
    erasure.plan()
    assert erasure.shop.delete_list()["requested"] == 5
    with erasure.under(row, "see"):
        erasure.ends(erasure.drain, ENDINGS[row].see)
    erasure.drain()
    finish(erasure)


ROWS_THAT_PASS = [row for row in ENDINGS if row != "deletions_never_finish"]


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("row", ROWS_THAT_PASS)
def test_a_fault_that_passes_is_survived(erasure: Erasure, row: str, times: int) -> None:
    survive(erasure, row, times, [("plan", "plan"), ("drain", "drain"), ("look", "look")])


@pytest.mark.parametrize("times", [2])
@pytest.mark.parametrize("row", ROWS_THAT_PASS)
def test_a_fault_that_passes_is_survived_without_a_ledger(erasure: Erasure, row: str, times: int) -> None:
    survive(erasure, row, times, [("delete_list", "plan"), ("delete_list", "drain"), ("wait", "wait")])


def survive(erasure: Erasure, row: str, times: int, tasks: list[tuple[str, str]]) -> None:
    """Have the fault strike so many times at each task, which is tried as often and once more."""
    for task, column in tasks:
        with erasure.under(row, column, times):
            if column in {"look", "wait"}:
                erasure.shop.clock.pass_by(HOUR + 1)
            tries = erasure.tries(getattr(erasure, task), most=times + 1)
        assert tries == 1 or row not in WAITED_OUT
    erasure.check_everybody_is_gone(
        absent={"absent", "held"} if row == "unasked_profile" else {"absent"},
        may_have_returned=row == "profiles_return",
    )
