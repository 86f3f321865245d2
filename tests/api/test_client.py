"""Both clients, over real HTTP against the emulator, do and say the same."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo import __version__
from airflow_provider_klaviyo.api import errors
from airflow_provider_klaviyo.api.calls import (
    find_all_profiles,
    find_profiles,
    get_account,
    get_profile,
    request_profile_deletion,
)
from airflow_provider_klaviyo.api.client import LARGEST_ANSWER, AsyncKlaviyoClient, KlaviyoClient
from airflow_provider_klaviyo.api.conversation import exchange
from airflow_provider_klaviyo.api.pace import Limit, Paces
from airflow_provider_klaviyo.api.resources import account_request, deletion_request
from airflow_provider_klaviyo.api.settings import Settings
from airflow_provider_klaviyo.emulator import Emulator

Run = Callable[..., Any]

ELSEWHERE = "https://elsewhere.example.com"


def test_the_account_of_the_key(emulator: Emulator, run: Run) -> None:
    assert run(get_account()).id == emulator.account.id


def test_exactly_who_was_asked_for_is_deleted(emulator: Emulator, run: Run) -> None:
    ada = emulator.add_profile("ada@example.com")
    emulator.add_profile("bob@example.com")
    run(request_profile_deletion("id", ada))
    assert emulator.deletion_requests == [ada]


@pytest.mark.parametrize("kind", ["email", "phone_number", "external_id", "id"])
def test_a_profile_is_found_by_each_of_its_identifiers(emulator: Emulator, run: Run, kind: str) -> None:
    ada = emulator.add_profile("ada@example.com", "+15005550001", "customer-1")
    emulator.add_profile("bob@example.com", "+15005550002", "customer-2")
    value = {"email": "ada@example.com", "phone_number": "+15005550001", "external_id": "customer-1", "id": ada}[kind]
    (found,) = run(find_profiles(kind, [value])).profiles
    assert (found.id, found.email) == (ada, "ada@example.com")
    assert run(get_profile(ada)) == found


def test_a_look_up_reads_all_pages(emulator: Emulator, run: Run) -> None:
    ids = emulator.add_profiles({"external_id": "0"} for _ in range(250))
    assert [profile.id for profile in run(find_profiles("external_id", ["0"])).profiles] == ids
    assert emulator.calls("get_profiles") == 3


def test_more_values_than_klaviyo_takes_in_one_call_are_halved(settings: Settings, run: Run) -> None:
    with Emulator(max_values_per_filter=30, max_target_bytes=1_000, limit_factor=100_000) as narrow:
        ids = narrow.add_profiles({"email": f"somebody.with.a.long.name+{n}@example.com"} for n in range(100))
        values = [profile.email or "" for profile in narrow.profiles()]
        found = run(find_profiles("email", values), base_url=narrow.url, api_key=narrow.account.key)
        assert [profile.id for profile in found.profiles] == ids
        assert narrow.calls("get_profiles", 414) > 0


def test_a_plus_and_every_other_sign_arrives_as_it_is(emulator: Emulator, run: Run) -> None:
    signs = "a+b&c=d#e%20f?g;h\"i\\j/ä漢😀'(k)[l],{m}"
    wanted = emulator.add_profile(external_id=signs)
    assert [profile.id for profile in run(find_profiles("external_id", [signs])).profiles] == [wanted]


SCENARIOS: dict[str, tuple[dict[str, Any], type[errors.KlaviyoError]]] = {
    "a key that is revoked": ({"name": "key_revoked"}, errors.KlaviyoKeyError),
    "a key without the scope": (
        {"name": "scope_missing", "scope": "data-privacy:write"},
        errors.KlaviyoPermissionError,
    ),
    "an endpoint that refuses every good key": ({"name": "deletion_refused"}, errors.KlaviyoAuthenticationError),
    "a redirect": ({"name": "redirect", "to": ELSEWHERE}, errors.KlaviyoAnswerError),
    "a 429 that lasts": ({"name": "throttled", "retry_after": 60}, errors.KlaviyoRateLimitError),
    "a 429 without a time": ({"name": "throttled_without_retry_after"}, errors.KlaviyoRateLimitError),
    "an edge server in trouble": ({"name": "server_error_html", "status": 524}, errors.KlaviyoServerError),
    "a connection that breaks": ({"name": "connection_dropped_before"}, errors.KlaviyoConnectionError),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_trouble_is_the_same_error_for_both(emulator: Emulator, run: Run, scenario: str) -> None:
    fault, kind = SCENARIOS[scenario]
    emulator.fault(**fault)
    ada = emulator.add_profile("ada@example.com")
    with pytest.raises(kind) as caught:
        run(request_profile_deletion("id", ada, patience_seconds=0))
    assert type(caught.value) is kind
    assert emulator.deletion_requests == []
    assert emulator.calls("profile_deletion") == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"name": "truncated_json"},
        {"name": "endless_pages"},
        {"name": "redirect", "to": ELSEWHERE},
        *({"name": "server_error_html", "status": status} for status in (200, 202, 400, 401, 403, 404, 410, 414)),
    ],
)
def test_a_look_up_that_cannot_be_trusted_finds_nobody(emulator: Emulator, run: Run, fault: dict[str, Any]) -> None:
    emulator.add_profile("ada@example.com")
    emulator.fault(**fault)
    with pytest.raises(errors.KlaviyoAnswerError):
        run(find_profiles("email", ["ada@example.com", "bob@example.com"], patience_seconds=0))


def test_a_foreign_link_leads_nowhere(emulator: Emulator, run: Run) -> None:
    """The next page is asked for where the first one was; a link to another host only lends its cursor."""
    emulator.add_profile("ada@example.com")
    with Emulator(limit_factor=1_000) as attacker:
        emulator.fault("foreign_next_link", to=attacker.url, times=1)
        run(find_profiles("email", ["ada@example.com"]))
        assert attacker.report()["calls"] == 0
    assert emulator.calls("get_profiles", 200) == 2


def test_a_redirect_does_not_take_the_key_along(emulator: Emulator, run: Run) -> None:
    with Emulator(limit_factor=1_000) as attacker:
        emulator.fault("redirect", to=attacker.url)
        with pytest.raises(errors.KlaviyoAnswerError, match="307"):
            run(request_profile_deletion("email", "ada@example.com"))
        assert attacker.report()["calls"] == 0


@pytest.mark.parametrize("location", [f"{ELSEWHERE}/api/accounts", "/api/other", "//elsewhere.example.com/"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nothing_is_sent_to_where_a_redirect_points(run: Run, status: int, location: str) -> None:
    seen: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url)
        return httpx.Response(status, headers={"location": location})

    with pytest.raises(errors.KlaviyoAnswerError):
        run(get_account(), answer)
    assert [url.path for url in seen] == ["/api/accounts"]


def test_a_missing_profile_is_an_error_that_does_not_name_it(run: Run) -> None:
    with pytest.raises(errors.KlaviyoNotFoundError) as caught:
        run(request_profile_deletion("email", "ada@example.com"))
    assert "ada@" not in f"{caught.value!r} {vars(caught.value)}"


@pytest.mark.usefixtures("impatient")
def test_a_connection_that_breaks_before_the_call_is_tried_again(emulator: Emulator, run: Run) -> None:
    ada = emulator.add_profile("ada@example.com")
    emulator.fault("connection_dropped_before", times=2)
    run(request_profile_deletion("id", ada))
    assert emulator.deletion_requests == [ada]


@pytest.mark.usefixtures("impatient")
def test_a_deletion_whose_answer_was_lost_is_asked_for_again(emulator: Emulator, run: Run) -> None:
    emulator.fault("deletions_never_finish")
    ada = emulator.add_profile("ada@example.com")
    emulator.fault("connection_dropped_after", times=1)
    run(request_profile_deletion("id", ada))
    assert emulator.deletion_requests == [ada, ada]
    assert emulator.pending == {ada}


@pytest.mark.usefixtures("impatient")
def test_html_from_an_edge_server_is_waited_out(emulator: Emulator, run: Run) -> None:
    emulator.fault("server_error_html", times=2)
    assert run(get_account()).id == emulator.account.id


def test_a_server_that_never_answers_is_given_up(fast: dict[str, Limit], run: Run) -> None:
    with Emulator(latency_seconds=5) as slow, pytest.raises(errors.KlaviyoConnectionError, match="ReadTimeout"):
        run(
            get_account(patience_seconds=0),
            base_url=slow.url,
            api_key=slow.account.key,
            timeout_seconds=0.1,
            limits=fast,
        )


def test_a_host_that_is_not_there_is_named_as_what_to_check(run: Run) -> None:
    with Emulator() as gone:
        url = gone.url
    with pytest.raises(errors.KlaviyoConnectionError, match=r"ConnectError.*check the network.*host"):
        run(get_account(patience_seconds=0), base_url=url)


@pytest.mark.parametrize("header_form", ["windows", "minute"])
def test_both_forms_of_the_rate_limit_header_are_taken(run: Run, header_form: Any) -> None:
    with Emulator(header_form=header_form, limit_factor=1_000) as other:
        changes = {"base_url": other.url, "api_key": other.account.key}
        assert run(get_account(), **changes).id == other.account.id


def test_every_call_carries_key_revision_and_media_type(settings: Settings, run: Run) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(202)

    run(exchange(deletion_request("id", "01H")), answer, revision="2026-04-15")
    run(exchange(account_request()), answer)
    post, get = (request.headers for request in seen)
    assert post["authorization"] == f"Klaviyo-API-Key {settings.api_key}"
    assert (post["revision"], get["revision"]) == ("2026-04-15", settings.revision)
    assert post["accept"] == get["accept"] == post["content-type"] == "application/vnd.api+json"
    assert "content-type" not in get
    assert post["user-agent"] == f"airflow-provider-klaviyo/{__version__}"
    assert not seen[1].url.query


@pytest.mark.parametrize(
    "failure",
    [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.ProxyError, httpx.DecodingError],
)
def test_the_text_of_a_broken_connection_is_not_repeated(run: Run, failure: type[httpx.RequestError]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise failure("cannot reach https://a.klaviyo.com/?filter=ada@example.com")

    with pytest.raises(errors.KlaviyoConnectionError, match=failure.__name__) as caught:
        run(find_profiles("email", ["ada@example.com"], patience_seconds=0), answer)
    assert "ada@" not in f"{caught.value!r}"
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate", "nonsense"])
def test_an_answer_that_is_packed_is_not_unpacked(run: Run, encoding: str) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, headers={"content-encoding": encoding}, stream=httpx.ByteStream(b"ada@example.com"))

    with pytest.raises(errors.KlaviyoAnswerError, match="compressed, which was not asked for"):
        run(get_account(patience_seconds=0), answer)
    assert asked[0].headers["accept-encoding"] == "identity"


def test_a_bomb_does_not_go_off(emulator: Emulator, run: Run) -> None:
    emulator.fault("gzip_bomb", megabytes=500)
    with pytest.raises(errors.KlaviyoAnswerError, match="compressed, which was not asked for"):
        run(get_account(patience_seconds=0))


def test_an_answer_without_an_end_is_cut_off(run: Run) -> None:
    sent: list[int] = []

    def endless() -> Iterator[bytes]:
        while True:
            sent.append(1_000_000)
            yield b" " * sent[-1]

    class Endless(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return endless()

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for chunk in endless():
                yield chunk

    with pytest.raises(errors.KlaviyoAnswerError, match=r"bytes\) is not JSON"):
        run(get_account(patience_seconds=0), lambda _: httpx.Response(200, stream=Endless()))
    assert LARGEST_ANSWER < sum(sent) <= LARGEST_ANSWER + 2_000_000


def test_calls_are_an_even_interval_apart(emulator: Emulator, run: Run, fast: dict[str, Limit]) -> None:
    times: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        times.append(time.monotonic())
        return httpx.Response(200, json={"data": []})

    limits = fast | {"get_profiles": Limit(burst=50, steady=3_000)}
    run(find_all_profiles("email", [f"{n}@example.com" for n in range(600)]), answer, limits=limits, utilisation=1.0)
    assert len(times) == 6
    assert times[-1] - times[0] >= 0.09
    assert all(later - earlier > 0.01 for earlier, later in pairwise(times))


def test_a_429_of_one_holds_all_who_share_the_pace(emulator: Emulator, run: Run) -> None:
    paces = Paces()
    emulator.fault("throttled", endpoint="get_profiles", times=1, retry_after=1)
    started = time.monotonic()
    calls: list[float] = []

    def look_up(number: int) -> None:
        run(find_profiles("email", [f"{number}@example.com"]), paces=paces)
        calls.append(time.monotonic() - started)

    threads = [threading.Thread(target=look_up, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
        time.sleep(0.1)
    for thread in threads:
        thread.join()
    assert min(calls) >= 1
    assert emulator.calls("get_profiles", 429) == 1


def test_clients_with_paces_of_their_own_do_not_wait_for_each_other(run: Run) -> None:
    paces = Paces()
    started = time.monotonic()
    run(get_account(), paces=paces)
    run(get_account(), paces=Paces())
    assert time.monotonic() - started < 1


def test_a_closed_client_has_no_open_connection(settings: Settings) -> None:
    with KlaviyoClient(settings, paces=Paces()) as client:
        client.run(get_account())
    with pytest.raises(RuntimeError, match="closed"):
        client.run(get_account())


def test_an_asyncio_client_has_many_conversations_at_once(emulator: Emulator, settings: Settings) -> None:
    ids = emulator.add_profiles({"email": f"{n}@example.com"} for n in range(50))

    async def talk() -> list[str]:
        async with AsyncKlaviyoClient(settings, paces=Paces()) as client:
            found = await asyncio.gather(*(client.run(get_profile(one)) for one in ids))
        return [profile.id for profile in found]

    assert asyncio.run(talk()) == ids


def test_an_asyncio_conversation_can_be_cancelled_while_it_waits(emulator: Emulator, settings: Settings) -> None:
    emulator.fault("throttled", retry_after=60)

    async def talk() -> None:
        async with AsyncKlaviyoClient(settings, paces=Paces()) as client:
            await asyncio.wait_for(client.run(get_account()), 0.1)

    with pytest.raises(TimeoutError):
        asyncio.run(talk())


def test_a_proxy_of_the_environment_is_used_and_not_for_loopback(
    emulator: Emulator, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Emulator() as nobody:
        dead_end = nobody.url.removeprefix("http://")
    monkeypatch.setenv("https_proxy", dead_end)
    monkeypatch.setenv("http_proxy", f"http://{dead_end}")
    with KlaviyoClient(settings, paces=Paces()) as client:
        assert client.run(get_account()).id == emulator.account.id
    outside = Settings(api_key="pk_x", base_url="https://klaviyo.example.com", limits=settings.limits)
    with KlaviyoClient(outside, paces=Paces()) as client, pytest.raises(errors.KlaviyoConnectionError):
        client.run(get_account(patience_seconds=0))


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (socket.gaierror("ada@example.com"), "the host name is not known"),
        (ssl.SSLCertVerificationError("ada@example.com"), "no TLS, or a certificate that is not trusted"),
        (ConnectionRefusedError("ada@example.com"), "nothing listens there"),
    ],
)
def test_why_no_connection_came_about_is_told_in_words_of_our_own(
    cause: Exception, words: str, settings: Settings
) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("ada@example.com") from cause

    with (
        KlaviyoClient(settings, paces=Paces(), transport=httpx.MockTransport(fail)) as client,
        pytest.raises(errors.KlaviyoConnectionError, match=f"ConnectError: {words}") as caught,
    ):
        client.run(get_account(patience_seconds=0))
    assert "ada@" not in str(caught.value)
