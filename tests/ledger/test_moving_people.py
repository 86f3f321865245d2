"""Whatever people, plans, workers and withdrawals do: each deleted profile holds a listed identifier at that moment.

Profiles are made, changed, merged and removed at random, while plans are made, corrected, withdrawn, and worked off by
workers that are killed. An identifier belongs to one profile at a time, as addresses and numbers do in Klaviyo.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.deletion.drain import drain
from airflow_provider_klaviyo.deletion.identifiers import Identifier
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.emulator.answers import Answer
from airflow_provider_klaviyo.emulator.asking import Asked
from airflow_provider_klaviyo.emulator.deletion_request import DeletionRequest
from airflow_provider_klaviyo.emulator.endpoint import Endpoint
from airflow_provider_klaviyo.ledger.planning import withdraw_plan
from airflow_provider_klaviyo.ledger.work import LedgerBatch

IDENTIFIERS = ["a@example.com", "b@example.com", "c@example.com", "+15005550001", "+15005550002"]
ORIGINS = ["one", "two", "three"]


class Killed(BaseException):
    """A worker is gone from one moment to the next."""


class Mortal(LedgerBatch):
    """A batch whose worker dies at a step, counted from 1; 0 is never."""

    dies_at = 0
    steps = 0

    def begin(self, profile: Profile) -> bool:
        is_ours = super().begin(profile)
        self._step()
        return is_ours

    def end(self, profile_id: str, outcome: Outcome, *, in_doubt: bool = False) -> None:
        self._step()
        super().end(profile_id, outcome, in_doubt=in_doubt)

    def _step(self) -> None:
        self.steps += 1
        if self.steps == self.dies_at:
            raise Killed


class World:
    """What Klaviyo has, and what plans are made of it.

    :param plans: by origin, the latest plan and the identifiers that it lists.
    """

    def __init__(self, shop: Any) -> None:
        self.shop = shop
        self.emulator = shop.emulator
        self.plans: dict[str, tuple[dict[str, Any], set[str]]] = {}
        self.wrong: list[str] = []

    def holders(self) -> dict[str, str]:
        """Return which profile holds which identifier."""
        return {value: one.id for one in self.emulator.profiles() for value in one.identifiers.values()}

    def give(self, value: str, profile_id: str | None) -> None:
        """Give an identifier to a profile, or to a new one, and take it from the profile that holds it."""
        field = "phone_number" if value.startswith("+") else "email"
        before = self.holders().get(value)
        if before == profile_id and before is not None:
            return
        if before is not None:
            self.emulator.update_profile(before, **{field: None})
        if profile_id is None:
            self.emulator.add_profile(**{field: value})
        else:
            self.emulator.update_profile(profile_id, **{field: value})

    def plan(self, origin: str, listed: list[str], leftovers: str) -> None:
        made = self.shop.plan(listed, run=origin, recipe=f"{listed}", batch_size=2, leftovers=leftovers)
        self.plans[origin] = (made, set(listed))

    def withdraw(self, origin: str) -> None:
        if origin in self.plans:
            with self.shop.open("the privacy team") as (ledger, _):
                withdraw_plan(ledger, self.plans.pop(origin)[0]["plan_id"])

    def work(self, origin: str, dies_at: int) -> None:
        """Let the task of a plan work all its batches off, until it dies."""
        if origin not in self.plans:
            return
        for reference in self.shop.batches(self.plans[origin][0]):
            with self.shop.open(origin) as (ledger, hook):
                batch = Mortal(ledger, reference)
                batch.dies_at = dies_at
                try:
                    drain(batch.profile_ids, hook.get_conn(), record=batch)
                except Killed:
                    return

    def watch(self, endpoint: Endpoint, asked: Asked) -> None:
        """Note a deletion of a profile that holds nothing of what a plan that was not withdrawn lists."""
        if endpoint.name == "profile_deletion":
            profile_id = DeletionRequest.parse(asked).value
            held = {value for value, holder in self.holders().items() if holder == profile_id}
            if held.isdisjoint(value for _, listed in self.plans.values() for value in listed):
                self.wrong.append(profile_id)


someone = st.integers(0, 4)
steps = st.one_of(
    st.tuples(st.just("give"), st.sampled_from(IDENTIFIERS), st.one_of(st.none(), someone)),
    st.tuples(st.just("merge"), someone, someone),
    st.tuples(st.just("remove"), someone),
    st.tuples(
        st.just("plan"),
        st.sampled_from(ORIGINS),
        st.lists(st.sampled_from(IDENTIFIERS), min_size=1, max_size=4, unique=True),
        st.sampled_from(["listed", "none"]),
    ),
    st.tuples(st.just("withdraw"), st.sampled_from(ORIGINS)),
    st.tuples(st.just("work"), st.sampled_from(ORIGINS), st.integers(0, 4)),
)


def take(world: World, step: tuple[Any, ...]) -> None:
    """Let one thing happen; one that is about a profile that is not there does not."""
    ids = [profile.id for profile in world.emulator.profiles()]
    match step:
        case ("give", value, number):
            world.give(value, ids[number % len(ids)] if number is not None and ids else None)
        case ("merge", source, destination) if ids and source % len(ids) != destination % len(ids):
            world.emulator.merge_profiles(ids[source % len(ids)], ids[destination % len(ids)])
        case ("remove", number) if ids:
            world.emulator.remove_profile(ids[number % len(ids)])
        case ("plan", origin, listed, leftovers):
            world.plan(origin, listed, leftovers)
        case ("withdraw", origin):
            world.withdraw(origin)
        case ("work", origin, dies_at):
            world.work(origin, dies_at)


def empty(shop: Any) -> None:
    shop.emulator.forget_people()
    for table in ("plans", "requests", "events"):
        shop.run(f"DELETE FROM klaviyo_{table}")


@pytest.mark.parametrize("ledger_connection", ["sqlite"], indirect=True)
def test_only_profiles_that_hold_a_listed_identifier_are_deleted_and_nobody_is_lost(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shop.open():
        pass
    world = World(shop)
    answer = shop.emulator.answer

    def watched(endpoint: Endpoint, asked: Asked) -> tuple[Answer, float]:
        world.watch(endpoint, asked)
        answered: tuple[Answer, float] = answer(endpoint, asked)
        return answered

    monkeypatch.setattr(shop.emulator, "answer", watched)

    @settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
    @given(people=st.integers(1, 5), story=st.lists(steps, min_size=3, max_size=14))
    def law(people: int, story: list[tuple[Any, ...]]) -> None:
        nonlocal world
        empty(shop)
        world = World(shop)
        for value in IDENTIFIERS[:people]:
            world.give(value, None)
        for step in story:
            take(world, step)
        assert world.wrong == []
        # Everybody whom a plan still lists is deleted by its task in the end, wherever the identifier has got to.
        shop.run("UPDATE klaviyo_requests SET claimed_at = '2026-01-01 00:00:00' WHERE claimed_at IS NOT NULL")
        ready = {made["plan_id"] for made, _ in world.plans.values()}
        open_before = [row for row in shop.rows("requests") if row["outcome"] == "planned" and row["plan_id"] in ready]
        for origin in ORIGINS:
            world.work(origin, 0)
        assert world.wrong == []
        with shop.open() as (ledger, _):
            of = {ledger.keys.of(Identifier.parse(value)): value for value in IDENTIFIERS}
        assert world.holders().keys().isdisjoint(of[row["fingerprint"]] for row in open_before)
        states = {row["outcome"] for row in shop.rows("requests") if row["plan_id"] in ready}
        assert "planned" not in states

    law()
