"""A thousand sensors deferred in one triggerer: does its event loop stand still, and what does a sensor cost?

    python tests/benchmarks/deferring.py --sensors 1000

The triggerer of Airflow 3.3 runs triggers in a process of its own, first such that only sleep and then those of sensors
with 100 profiles each. It is told of them here, and not by a metadata database with a thousand tasks in it, but reads
the connection from one. All wake up within seconds of one another. The profiles are gone when each was looked for once.
The emulator has Klaviyo's real limits and answers after 150 ms.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import httpx
from klaviyo import Klaviyo, airflow, klaviyo

STANDS_STILL_MILLISECONDS: Final = 100
PROFILES: Final = 100
CREATED_AFTER_SECONDS: Final = 10
SENSOR: Final = "airflow_provider_klaviyo.triggers.klaviyo.DeletionConfirmedTrigger"

Trigger = tuple[str, dict[str, Any]]


def main() -> None:
    """Print what the loop of the triggerer went through with triggers that sleep, and with ours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sensors", type=int, default=1_000)
    parser.add_argument("--pause", type=float, default=60, metavar="SECONDS", help="before the first look")
    arguments = parser.parse_args()
    number, pause = arguments.sensors, arguments.pause
    with klaviyo() as emulator, airflow():
        os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "INFO"
        ids = emulator.add([f"person.{each}@example.com" for each in range(PROFILES * number)])
        set_up(emulator)
        print_loop("asleep", run([("heartbeat.Sleeper", {"seconds": pause})] * number), number)
        sensors = [(SENSOR, waiting(ids[each::number], pause)) for each in range(number)]
        seen: list[dict[str, Any]] = []
        told = run([*sensors, ("heartbeat.Opener", {})], lambda: forget(emulator, number, seen))
        print_loop("waiting", told, number)
        print_calls([*seen, emulator.seen("get_profiles")])


def waiting(profile_ids: list[str], pause: float) -> dict[str, Any]:
    """Return the arguments of a sensor's trigger."""
    return {
        "klaviyo_conn_id": "klaviyo_default",
        "profile_ids": profile_ids,
        "since": "2026-01-01T00:00:00+00:00",
        "deadline": time.time() + 3_600,
        "pause_seconds": pause,
        "longest_pause_seconds": 2 * pause,
        "report_seconds": None,
    }


def set_up(emulator: Klaviyo) -> None:
    """Make a metadata database with the connection in it."""
    for command in (["db", "migrate"], ["connections", "add", "klaviyo_default", "--conn-json", emulator.connection()]):
        subprocess.run([sys.executable, "-W", "ignore", "-m", "airflow", *command], capture_output=True, check=True)


def forget(emulator: Klaviyo, number: int, seen: list[dict[str, Any]]) -> None:
    """Once there were so many looks, keep what was seen of them, and have everybody gone."""
    if seen:
        return
    endpoints = httpx.get(f"{emulator.url}/_emulator/report").json()["accounts"][emulator.account_id]["endpoints"]
    if endpoints.get("get_profiles", {}).get("calls", 0) >= number:
        seen += [endpoints["get_profiles"], endpoints["get_account"]]
        httpx.post(f"{emulator.url}/_emulator/reset", json={"people": True}).raise_for_status()


def run(triggers: list[Trigger], meanwhile: Callable[[], object] = lambda: None) -> list[dict[str, Any]]:
    """Run triggers in a triggerer until all have fired; return what the heartbeat told.

    :param meanwhile: to be done every few seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        beats, over = Path(folder) / "beats", Path(folder) / "over"
        heartbeat: Trigger = ("heartbeat.Heartbeat", {"path": str(beats), "until": str(over)})
        spawned = multiprocessing.get_context("spawn")
        triggerer = spawned.Process(target=supervise, args=([heartbeat, *triggers], str(over)))
        triggerer.start()
        while triggerer.is_alive():
            triggerer.join(3)
            meanwhile()
        assert triggerer.exitcode == 0
        return [json.loads(line) for line in beats.read_text().splitlines()]


def supervise(triggers: list[Trigger], over: str) -> None:
    """Run a triggerer until all its triggers have fired, the first of them last, when there is a file `over`."""
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    os.environ["PYTHONWARNINGS"] = "ignore"
    import structlog
    from airflow.executors.workloads.trigger import RunTrigger
    from airflow.jobs.triggerer_job_runner import TriggerRunnerSupervisor
    from airflow.models.trigger import Trigger as Row

    log = os.open(f"{over}.log", os.O_CREAT | os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    left = dict(enumerate(triggers))
    began = time.monotonic()
    statuses: Counter[str] = Counter()

    class Supervisor(TriggerRunnerSupervisor):
        def load_triggers(self) -> None:
            if len(left) == 1 and len(triggers) > 1:
                Path(over).touch()
            created = time.monotonic() - began > CREATED_AFTER_SECONDS
            self.update_triggers({each for each in left if created or each == 0})

        def build_trigger_workloads(self, new_trigger_ids: set[int]) -> list[Any]:
            new = ((each, *left[each]) for each in sorted(new_trigger_ids))
            return [
                RunTrigger(id=one, classpath=path, encrypted_kwargs=Row.encrypt_kwargs(it)) for one, path, it in new
            ]

        def on_trigger_event(self, trigger_id: int, event: Any) -> None:
            statuses[event.payload["status"]] += 1
            del left[trigger_id]

        def on_trigger_failure(self, trigger_id: int, exc: list[str] | None) -> None:
            raise AssertionError(exc)

        def clean_unused(self) -> None: ...
        def heartbeat(self) -> None: ...
        def emit_metrics(self) -> None: ...
        def should_stop(self) -> bool:
            return not left

    supervisor = Supervisor.start(job=None, capacity=len(triggers), logger=structlog.get_logger())
    try:
        supervisor.run()
    finally:
        supervisor.kill(escalation_delay=10, force=True)
    assert statuses == {"gone": len(triggers) - 1, "beaten": 1}, statuses


def print_loop(name: str, told: list[dict[str, Any]], number: int) -> None:
    """Print how long the loop stood still, and what it came to hold."""
    late = [one for each in told for one in each["late"]]
    before = max(each["bytes"] for each in told if each["at"] < CREATED_AFTER_SECONDS - 5)
    most = max(each["bytes"] for each in told)
    print(f"{name}: {number:,} triggers, {told[-1]['at']:.0f} s, all fired")
    print_longest("in all", late, lambda one: float(one["late"]))
    print_longest("but for the garbage collector", late, without_collector)
    print_longest("of that in our code", late, lambda one: share_of_ours(one) * without_collector(one))
    print_longest("in our code, its thread at work", late, lambda one: share_of_ours(one) * at_work(one))
    print(f"  memory: {(most - before) / number / 1024:.1f} KiB for each, {most / 2**20:.0f} MiB in all")
    sockets = [each["sockets"] for each in told]
    print(f"  HTTP clients made: {told[-1]['clients']}, TCP connections opened: {told[-1]['connections']}")
    print(f"  sockets before: {sockets[0]}, at most: {max(sockets)}, at the end: {sockets[-1]}")


def print_longest(what: str, late: list[dict[str, Any]], seconds: Callable[[dict[str, Any]], float]) -> None:
    """Print the longest time that the loop stood still, how often it did so for too long, and at what."""
    longest = max(late, key=seconds, default={"at": 0, "late": 0, "busy": 0, "collector": 0, "stacks": []})
    milliseconds = 1000 * seconds(longest)
    share = milliseconds / STANDS_STILL_MILLISECONDS
    times = sum(1000 * seconds(one) > STANDS_STILL_MILLISECONDS for one in late)
    print(f"  stood still {what}: {milliseconds:.0f} ms, {share:.2f} of what is allowed; {times} times for more")
    if longest["stacks"]:
        print(f"    after {longest['at']:.0f} s, at {place(longest)}")


def without_collector(one: dict[str, Any]) -> float:
    """Return how late a beat was, but for the pauses of the garbage collector."""
    return max(0.0, float(one["late"] - one["collector"]))


def at_work(one: dict[str, Any]) -> float:
    """Return how long the loop's thread was at work, which is not when the machine lets it wait."""
    return max(0.0, float(min(one["late"], one["busy"]) - one["collector"]))


def share_of_ours(one: dict[str, Any]) -> float:
    """Return how many of the times that the loop was looked at it was at our code, or at what that calls."""
    return sum(is_ours(stack) for stack in one["stacks"]) / max(1, len(one["stacks"]))


def is_ours(places: list[str]) -> bool:
    """Tell whether any of these places is in our code."""
    return any(SENSOR.split(".")[0] in each for each in places)


def place(one: dict[str, Any]) -> str:
    """Return what the loop was at: where in our code, and where in the code that it calls."""
    stack = next((each for each in one["stacks"] if is_ours(each)), (*one["stacks"], [])[0])
    return " > ".join([*[each for each in stack if is_ours([each])][-1:], *stack[-2:]])


def print_calls(seen: list[dict[str, Any]]) -> None:
    """Print what the emulator was asked."""
    looks, accounts, later = seen
    refused = sum(each["by_status"].get("429", 0) for each in seen)
    print(
        f"  looks: {looks['by_status']} and {later['by_status']}, most in one fixed minute: "
        f"{looks['most_in_one_window']['60']} of 750; account calls: {accounts['by_status']}; 429s: {refused}"
    )


if __name__ == "__main__":
    main()
