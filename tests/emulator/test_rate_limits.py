"""Rate limits over HTTP: what is counted, what is shared, and what the headers say."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.emulator import Emulator, ManualClock

Ask = Callable[..., httpx.Response]
Take = Callable[[httpx.Response], dict[str, Any]]


@pytest.fixture
def limited(start: Callable[..., Emulator]) -> Emulator:
    """An emulator with Klaviyo's own limits."""
    return start()


def statuses(calls: int, ask: Callable[[], httpx.Response]) -> list[int]:
    return [ask().status_code for _ in range(calls)]


def test_the_fourth_deletion_of_a_second_is_refused_with_nothing_but_a_retry_after(
    limited: Emulator, connect: Any, erase: Ask, error: Take, clock: ManualClock
) -> None:
    client = connect(limited)
    assert statuses(3, lambda: erase(client, email="no@example.com")) == [404] * 3, "a 404 uses a slot"
    refused = erase(client, email="no@example.com")
    assert error(refused)["code"] == "throttled"
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    assert not [name for name in refused.headers if name.startswith("ratelimit")]
    clock.advance(1)
    assert erase(client, email="no@example.com").status_code == 404


def test_sixty_deletions_a_minute_and_a_retry_after_that_is_exact(
    limited: Emulator, connect: Any, erase: Ask, clock: ManualClock
) -> None:
    client = connect(limited)
    accepted = 0
    while (response := erase(client, email="no@example.com")).status_code == 404:
        accepted += 1
        clock.advance(0.5)
    wait = int(response.headers["retry-after"])
    assert 60 <= accepted <= 120, "the minute may have ended on the way"
    assert 1 < wait <= 60
    clock.advance(wait - 1)
    assert erase(client, email="no@example.com").status_code == 429
    clock.advance(1)
    assert erase(client, email="no@example.com").status_code == 404
    part = limited.report()["accounts"][limited.account.id]["endpoints"]["profile_deletion"]
    assert part["most_in_one_window"]["60"] == 60
    assert part["accepted"] == accepted + 1


@pytest.mark.parametrize(
    ("path", "burst", "steady"),
    [
        ("/api/accounts", 1, 15),
        ("/api/profiles", 75, 750),
        ("/api/profiles/X", 75, 750),
        ("/api/profiles/X/lists", 3, 60),
        ("/api/profiles/X/segments", 3, 60),
        ("/api/events", 350, 3500),
        ("/api/profile-suppression-bulk-create-jobs/X", 75, 750),
    ],
)
def test_each_endpoint_has_its_own_limit(limited: Emulator, connect: Any, path: str, burst: int, steady: int) -> None:
    client = connect(limited)
    first = client.get(path)
    assert first.headers["ratelimit-limit"] == f"{burst}, {burst};w=1, {steady};w=60"
    assert first.headers["ratelimit-remaining"] == str(burst - 1)
    assert first.headers["ratelimit-reset"] == "1"
    assert 429 not in statuses(burst - 1, lambda: client.get(path))
    assert client.get(path).status_code == 429


def test_the_documented_form_is_about_the_minute(start: Callable[..., Emulator], connect: Any) -> None:
    response = connect(start(header_form="minute")).get("/api/accounts")
    assert response.headers["ratelimit-limit"] == "15"
    assert response.headers["ratelimit-remaining"] == "14"
    assert 1 <= int(response.headers["ratelimit-reset"]) <= 60


def test_two_keys_share_one_quota_and_two_accounts_do_not(limited: Emulator, connect: Any, erase: Ask) -> None:
    clients = [connect(limited), connect(limited, limited.add_key())]
    found = [erase(clients[number % 2], email="no@example.com").status_code for number in range(4)]
    assert found == [404, 404, 404, 429]
    other = limited.add_account("Other Shop")
    assert erase(connect(limited, other.key), email="no@example.com").status_code == 404


def test_malformed_requests_use_the_quota_and_strangers_do_not(limited: Emulator, connect: Any, post_job: Ask) -> None:
    client = connect(limited)
    assert statuses(5, lambda: post_job({}, connect(limited, "pk_wrong"))) == [401] * 5
    no_scope = connect(limited, limited.add_key(scopes=[]))
    assert statuses(5, lambda: post_job({}, no_scope)) == [403] * 5
    assert post_job({}, client, revision="nonsense").status_code == 400
    assert post_job({}, client, **{"Content-Type": "text/plain"}).status_code == 415
    bad_body = post_job({}, client)
    assert bad_body.status_code == 400
    assert bad_body.headers["ratelimit-remaining"] == "0"
    assert post_job({}, client).status_code == 429


def test_limits_can_be_scaled_and_set(start: Callable[..., Emulator], connect: Any) -> None:
    emulator = start(limit_factor=100, limits={"get_account": (2, 5)})
    client = connect(emulator)
    assert client.get("/api/profiles").headers["ratelimit-limit"] == "7500, 7500;w=1, 75000;w=60"
    assert client.get("/api/accounts").headers["ratelimit-limit"] == "2, 2;w=1, 5;w=60"


def test_the_phase_of_the_windows_depends_on_the_seed(start: Callable[..., Emulator], connect: Any) -> None:
    resets = {
        connect(start(seed=seed, header_form="minute")).get("/api/accounts").headers["ratelimit-reset"]
        for seed in range(5)
    }
    assert len(resets) > 1


def test_an_answer_takes_as_long_as_it_is_told_to(start: Callable[..., Emulator], connect: Any) -> None:
    client = connect(start(latency_seconds=(0.1, 0.15)))
    began = time.perf_counter()
    assert client.get("/api/accounts").status_code == 200
    assert 0.1 <= time.perf_counter() - began < 1


def test_a_client_that_gives_up_does_not_undo_what_it_asked_for(
    start: Callable[..., Emulator], connect: Any, erase: Ask
) -> None:
    emulator = start(latency_seconds=60)
    profile_id = emulator.add_profile("ada@example.com")
    client = connect(emulator)
    client.timeout = httpx.Timeout(5, read=0.1)
    with pytest.raises(httpx.ReadTimeout):
        erase(client, email="ada@example.com")
    assert emulator.deletion_requests == [profile_id]
