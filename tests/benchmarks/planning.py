"""What a plan of a million people costs, and how near to Klaviyo's 750 look-ups a minute it comes.

    python tests/benchmarks/planning.py --identifiers 1000000
    python tests/benchmarks/planning.py --minutes 2

The first has the people in PostgreSQL, 5 % of them in Klaviyo, the ledger in PostgreSQL too, and an emulator with its
limits raised a thousand times, so that our own cost shows. The second has Klaviyo's real limits, and answers that take
300 ms.
"""

from __future__ import annotations

import argparse
import os
import resource
import threading
import time
from pathlib import Path

from klaviyo import Klaviyo, airflow, context, klaviyo
from postgresql import PostgreSQL

STEADY = 750
MEGABYTES = 150
MICROSECONDS = 60


def main() -> None:
    """Measure one or the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--identifiers", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float)
    arguments = parser.parse_args()
    with PostgreSQL(durable=True) as server:
        connections = {"warehouse": server.database("warehouse"), "klaviyo_ledger": server.database("ledger")}
        if arguments.minutes is None:
            with klaviyo(limit_factor=1_000, latency_seconds=0) as emulator:
                emulator.add([f"person.{number}@example.com" for number in range(0, arguments.identifiers, 20)])
                with airflow(klaviyo_default=emulator.connection(), **connections):
                    measure_cost(arguments.identifiers, server)
        else:
            with (
                klaviyo(latency_seconds=0.3) as emulator,
                airflow(klaviyo_default=emulator.connection(), **connections),
            ):
                measure_pace(round(arguments.minutes * STEADY), emulator, server)


def measure_cost(number: int, server: PostgreSQL) -> None:
    """Make a plan and print what it costs, per identifier and in memory."""
    fill(number)
    seconds, ours, theirs, megabytes = plan(server)
    ours, theirs = 1e6 * ours / number, 1e6 * theirs / number
    print(f"{number:,} identifiers in {seconds:.0f} s: {1e6 * seconds / number:.1f} us each, with the emulator's part")
    print(f"processor time each: ours {ours:.1f} us, PostgreSQL's {theirs:.1f} us")
    print(f"share of the {MICROSECONDS} us allowed: {(ours + theirs) / MICROSECONDS:.2f}")
    print(f"memory above an idle task: {megabytes:.0f} MB; share of {MEGABYTES} MB: {megabytes / MEGABYTES:.2f}")


def measure_pace(calls: int, emulator: Klaviyo, server: PostgreSQL) -> None:
    """Make a plan of so many look-ups and print the share of the limit."""
    fill(100 * calls)
    seconds, *_ = plan(server)
    seen = emulator.seen("get_profiles")["by_status"]
    rate = seen["200"] / (seconds / 60)
    print(f"{seconds / 60:.2f} minutes, {100 * calls:,} identifiers, {seen['200']:,} look-ups")
    print(f"share of Klaviyo's {STEADY} a minute: {rate / STEADY:.3f}   429s: {seen.get('429', 0)}")


def plan(server: PostgreSQL) -> tuple[float, float, float, float]:
    """Run the task; return the seconds it took, those of our processor and PostgreSQL's, and the megabytes it grew."""
    import airflow_provider_klaviyo.hooks.ledger
    import airflow_provider_klaviyo.ledger.planning  # noqa: F401 - what a task of ours has loaded when it begins
    from airflow_provider_klaviyo.operators.klaviyo import DeletionPlanOperator

    sql = "SELECT email FROM suppression_list"
    task = DeletionPlanOperator(task_id="plan", sql=sql, sql_conn_id="warehouse", max_profiles=None)
    idle, peak = memory(), Peak()
    with peak:
        before = (time.perf_counter(), own_seconds(), server_seconds(server))
        task.execute(context("plan"))
        after = (time.perf_counter(), own_seconds(), server_seconds(server))
    seconds, ours, theirs = (late - early for early, late in zip(before, after, strict=True))
    return seconds, ours, theirs, peak.megabytes - idle


class Peak:
    """Watches how much memory this process has, at most."""

    def __enter__(self) -> Peak:
        self.megabytes = memory()
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self.megabytes = max(self.megabytes, memory())


def fill(number: int) -> None:
    """Put people into the warehouse."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    people = f"SELECT 'person.' || n || '@example.com' FROM generate_series(0, {number - 1}) n"
    create, insert = "CREATE TABLE suppression_list (email text)", f"INSERT INTO suppression_list {people}"
    PostgresHook("warehouse").run([create, insert])


def memory() -> float:
    """Return the resident megabytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def own_seconds() -> float:
    """Return the processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def server_seconds(server: PostgreSQL) -> float:
    """Return the processor time of a server, also of its sessions that have ended."""
    assert server.process is not None
    pid, total = str(server.process.pid), 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if path.parent.name == pid:
            total += sum(map(int, fields[11:15]))
        elif fields[1] == pid:
            total += sum(map(int, fields[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
