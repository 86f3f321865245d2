"""`python -m airflow_provider_klaviyo.emulator`: an emulator for other processes, until it is stopped."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from airflow_provider_klaviyo.emulator.people import fake_people, people_from_file
from airflow_provider_klaviyo.emulator.report import table
from airflow_provider_klaviyo.emulator.server import Emulator
from airflow_provider_klaviyo.emulator.settings import Seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an emulator until SIGINT or SIGTERM, then print what it was asked."""
    options = _parser().parse_args(arguments)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    emulator = _emulator(options)
    if not emulator.resumed:
        emulator.add_profiles(fake_people(options.profiles))
        if options.profiles_file is not None:
            emulator.add_profiles(people_from_file(options.profiles_file))
    with emulator:
        _announce(emulator, options.ready_file)
        stopped.wait()
        report = emulator.report()
    print(table(report), flush=True)
    return 0


def _emulator(options: argparse.Namespace) -> Emulator:
    return Emulator(
        host=options.host,
        port=options.port,
        latency_seconds=options.latency_seconds,
        deletion_seconds=options.deletion_seconds,
        suppression_seconds=options.suppression_seconds,
        limit_factor=options.limit_factor,
        header_form=options.header_form,
        max_target_bytes=options.max_target_bytes,
        max_values_per_filter=options.max_values_per_filter,
        pending_deletion_status=options.pending_deletion_status,
        account_id=options.account_id,
        key=options.key,
        organization_name=options.organization_name,
        seed=options.seed,
        journal=options.journal,
    )


def _announce(emulator: Emulator, ready_file: Path | None) -> None:
    ready = json.dumps({"url": emulator.url, "account_id": emulator.account.id, "key": emulator.account.key})
    if ready_file is not None:
        # Whoever waits for the file must not find half of it.
        unfinished = ready_file.with_name(ready_file.name + ".part")
        unfinished.write_text(ready + "\n", encoding="utf-8")
        unfinished.replace(ready_file)
    print(f"Klaviyo emulator at {emulator.url}, stop it with Ctrl-C.", flush=True)
    print(ready, flush=True)


def _seconds(text: str) -> Seconds:
    """Read "0.5", or "0.1-0.9" for a range."""
    shortest, dash, longest = text.partition("-")
    return (float(shortest), float(longest)) if dash else float(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_klaviyo.emulator",
        description="A Klaviyo to develop and test against, on loopback only. Prints a line for people and a "
        "line of JSON (url, account_id, key) when it is ready, and what it was asked when it stops.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="loopback address to listen on (%(default)s)")
    add("--port", type=int, default=0, help="port to listen on; 0, the default, takes a free one")
    add(
        "--ready-file",
        type=Path,
        metavar="PATH",
        help="file to write the line of JSON to, complete or not at all (none)",
    )
    add(
        "--journal",
        type=Path,
        metavar="PATH",
        help="file to write to what is there and what is to happen, accounts and people and all, and to go on from if "
        "it was begun before, also by an emulator that was killed; the options about account and people then count "
        "for nothing (none)",
    )
    _add_behaviour(parser.add_argument_group("behaviour").add_argument)
    _add_contents(parser.add_argument_group("account and people").add_argument)
    return parser


def _add_behaviour(add: Callable[..., object]) -> None:
    add(
        "--latency-seconds",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="how long an answer takes, in seconds; MIN-MAX for a range (%(default)s)",
    )
    add(
        "--deletion-seconds",
        type=_seconds,
        default=0.2,
        metavar="SECONDS",
        help="how long a deletion takes, in seconds; MIN-MAX for a range (%(default)s)",
    )
    add(
        "--suppression-seconds",
        type=_seconds,
        default=0.2,
        metavar="SECONDS",
        help="how long it takes to suppress people, in seconds; MIN-MAX for a range (%(default)s)",
    )
    add(
        "--limit-factor",
        type=float,
        default=1.0,
        metavar="TIMES",
        help="how many times as many calls per window as Klaviyo takes (%(default)s)",
    )
    add(
        "--header-form",
        choices=("windows", "minute"),
        default="windows",
        help='RateLimit headers: windows, "3, 3;w=1, 60;w=60", as on the wire; minute, "60", as documented '
        "(%(default)s)",
    )
    add(
        "--max-target-bytes",
        type=int,
        default=64 * 1024,
        metavar="BYTES",
        help="longest path and query, in bytes; a longer one is answered 414 (%(default)s)",
    )
    add(
        "--max-values-per-filter",
        type=int,
        default=100,
        metavar="N",
        help="most values in a filter; more of them are answered 400 (%(default)s)",
    )
    add(
        "--pending-deletion-status",
        type=int,
        choices=(202, 404),
        default=202,
        help="answer to a second deletion while the first is under way (%(default)s)",
    )
    add("--seed", type=int, metavar="N", help="makes ids, window phases and dice the same each time (none)")


def _add_contents(add: Callable[..., object]) -> None:
    add("--account-id", metavar="ID", help="id of the account (made up)")
    add("--key", help="private key of the account, beginning with pk_ (made up)")
    add("--organization-name", default="Example Shop", metavar="NAME", help="of the account (%(default)s)")
    add("--profiles", type=int, default=0, metavar="N", help="people to make up, under example.com (none)")
    add(
        "--profiles-file",
        type=Path,
        metavar="PATH",
        help="people to load, CSV with a header or JSON lines, with any of email, phone_number, external_id, "
        "profile_id, first_name, last_name (none)",
    )


if __name__ == "__main__":
    sys.exit(main())
