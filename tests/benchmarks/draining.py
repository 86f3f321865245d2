"""How near to Klaviyo's 60 deletions a minute mapped tasks come that share a ledger, and whether they are refused.

    python tests/benchmarks/draining.py --minutes 10 --processes 4
    python tests/benchmarks/draining.py --minutes 10 --processes 4 --others 20

The ledger is in PostgreSQL; the emulator has Klaviyo's real limits and answers after 150 ms. With --others, another
integration sends so many deletions a minute to the same account meanwhile, evenly and without minding anybody.
"""

from __future__ import annotations

import argparse
import multiprocessing
import threading
import time
from contextlib import nullcontext
from typing import Any

import httpx
from klaviyo import Klaviyo, airflow, context, klaviyo
from postgresql import PostgreSQL

STEADY = 60


def main() -> None:
    """Drain for some minutes and print the share of the limit that was reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--others", type=int, default=0, metavar="A_MINUTE")
    arguments = parser.parse_args()
    people = [f"person.{number}@example.com" for number in range(round(arguments.minutes * STEADY))]
    with PostgreSQL(durable=True) as server, klaviyo() as emulator:
        emulator.add(people)
        ledger = server.database("ledger")
        with airflow(klaviyo_default=emulator.connection(), klaviyo_ledger=ledger):
            parts = plan(people, arguments.processes)
            others = Others(emulator, arguments.others) if arguments.others else nullcontext()
            with others:
                seconds = drain(parts, arguments.minutes)
            print_shares(emulator, seconds / 60, others)


def plan(people: list[str], processes: int) -> list[list[dict[str, Any]]]:
    """Make a plan; return the batches that each process is to work off."""
    from airflow_provider_klaviyo.operators.klaviyo import DeletionPlanOperator

    task = DeletionPlanOperator(task_id="plan", profiles=people, max_profiles=None, batch_size=50)
    batches = task.execute(context("plan"))
    return [batches[number::processes] for number in range(processes)]


def drain(parts: list[list[dict[str, Any]]], minutes: float) -> float:
    """Work the batches off in processes of their own, at most for so long; return the seconds that it took."""
    started = time.monotonic()
    forked = multiprocessing.get_context("fork")
    workers = [forked.Process(target=work, args=(part, started + 60 * minutes)) for part in parts]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * len(workers)
    return time.monotonic() - started


def work(batches: list[dict[str, Any]], until: float) -> None:
    """Work some batches off, one mapped task after the other."""
    import pendulum

    from airflow_provider_klaviyo.operators.klaviyo import ProfileDeletionOperator

    for batch in batches:
        left = pendulum.duration(seconds=max(0.0, until - time.monotonic()))
        task = ProfileDeletionOperator(task_id="delete", batch=batch, max_duration=left)
        task.execute(context("delete", batch["batch"]))


class Others:
    """Another integration that has people deleted: people who are not there, so that it leaves ours alone."""

    def __init__(self, emulator: Klaviyo, a_minute: int) -> None:
        self.accepted = self.refused = 0
        self.emulator = emulator
        self.pause_seconds = 60 / a_minute
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self) -> Others:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def run(self) -> None:
        """Ask and ask."""
        headers = {"authorization": f"Klaviyo-API-Key {self.emulator.key}", "revision": "2026-07-15"}
        headers["content-type"] = "application/vnd.api+json"
        profile = {"data": {"type": "profile", "attributes": {"email": "nobody@example.com"}}}
        body = {"data": {"type": "data-privacy-deletion-job", "attributes": {"profile": profile}}}
        with httpx.Client(base_url=self.emulator.url, headers=headers) as client:
            while not self.over.wait(self.pause_seconds):
                answer = client.post("/api/data-privacy-deletion-jobs", json=body)
                self.accepted += answer.status_code == httpx.codes.NOT_FOUND
                self.refused += answer.status_code == httpx.codes.TOO_MANY_REQUESTS


def print_shares(emulator: Klaviyo, minutes: float, others: Any) -> None:
    """Print what the emulator saw."""
    seen = emulator.seen("profile_deletion")
    done, refused, theirs = seen["by_status"]["202"], seen["by_status"].get("429", 0), 0.0
    if isinstance(others, Others):
        refused, theirs = refused - others.refused, others.accepted / minutes
        print(f"the others got {theirs:.1f} deletions a minute, and {others.refused} refusals (429)")
    print(f"{minutes:.2f} minutes, {done} deletions, most in one fixed minute: {seen['most_in_one_window']['60']}")
    print(f"share of what there was to be had: {done / minutes / (STEADY - theirs):.3f}")
    print(f"our 429s: {refused}, which is {refused / (done + refused):.3f} of our calls")


if __name__ == "__main__":
    main()
