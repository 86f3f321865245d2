"""A worker that is killed at any moment loses nobody, and costs at most one call that is made twice."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_klaviyo.emulator import Emulator

KILLS = 20
PEOPLE = 360
KEY = "a key that is long enough for a fingerprint"

# Imports once, and forks for each try: a worker that has to begin with Airflow's imports would be killed in them.
PROGRAM = """
import os, random, signal, sys, time
from types import SimpleNamespace
import airflow_provider_klaviyo.hooks.ledger, airflow_provider_klaviyo.ledger.planning
from airflow_provider_klaviyo.operators.klaviyo import DeletionPlanOperator, ProfileDeletionOperator

def context(task_id):
    ti = SimpleNamespace(dag_id="dag", run_id="run", task_id=task_id, map_index=-1, max_tries=99)
    ti.xcom_push = lambda key, value: None
    return {"ti": ti}

people, kills, chance = int(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
listed = [f"person.{number}@example.com" for number in range(people)]
(batch,) = DeletionPlanOperator(task_id="plan", profiles=listed).execute(context("plan"))
for number in range(kills + 1):
    worker = os.fork()
    if worker == 0:
        ProfileDeletionOperator(task_id="delete", batch=batch).execute(context("delete"))
        os._exit(0)
    if number < kills:
        time.sleep(chance.uniform(0.05, 0.5))
        os.kill(worker, signal.SIGKILL)
    _, status = os.waitpid(worker, 0)
    print("status", status, flush=True)
"""


def test_a_drain_killed_at_twenty_moments_deletes_everyone_listed_once(
    ledger_connection: str, connect: Callable[..., None]
) -> None:
    limits = {"profile_deletion": {"burst": 150, "steady": 3_000}, "get_account": {"burst": 100, "steady": 6_000}}
    with Emulator(limit_factor=1_000, deletion_seconds=3_600, latency_seconds=0.005) as emulator:
        extra = {"account_id": emulator.account.id, "fingerprint_key": KEY, "limits": limits}
        connect(emulator, **extra)
        listed = {emulator.add_profile(email=f"person.{number}@example.com") for number in range(PEOPLE)}
        emulator.add_profiles({"email": f"customer.{number}@example.com"} for number in range(PEOPLE))
        seed = random.randrange(10**6)
        command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(PEOPLE), str(KILLS), str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ, timeout=120)
        asked_for = Counter(emulator.deletion_requests)
    statuses = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("status ")]
    killed = statuses.count(9)

    assert statuses[-1] == 0, (seed, done.stdout, done.stderr)
    assert killed == KILLS, f"seed {seed}: only {killed} tries were killed before they were done"
    assert set(asked_for) == listed, seed
    assert asked_for.total() - len(listed) <= killed, seed
    hook = BaseHook.get_hook("klaviyo_ledger")
    with closing(hook.get_conn()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("SELECT outcome, count(*) FROM klaviyo_requests GROUP BY outcome")
        assert dict(cursor.fetchall()) == {"requested": PEOPLE}, seed
