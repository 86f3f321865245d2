"""What importing the operators and sensors adds to an Airflow that parses DAGs, in fresh processes.

python tests/benchmarks/importing.py --runs 7
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

MODULES = "airflow_provider_klaviyo.operators.klaviyo", "airflow_provider_klaviyo.sensors.klaviyo"
BUDGET_MILLISECONDS = 10
PROGRAM = f"""
import json, sys, time
from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator, dag
before, started = set(sys.modules), time.perf_counter()
import {", ".join(MODULES)}
milliseconds = 1000 * (time.perf_counter() - started)
print(json.dumps([milliseconds, sorted(set(sys.modules) - before)]))
"""


def main() -> None:
    """Print the median and its share of the budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    runs = [measure() for _ in range(parser.parse_args().runs)]
    median = statistics.median(milliseconds for milliseconds, _ in runs)
    print(f"median {median:.1f} ms of {BUDGET_MILLISECONDS} ms allowed: {median / BUDGET_MILLISECONDS:.2f}")
    print("modules it adds:", ", ".join(runs[0][1]))


def measure() -> tuple[float, list[str]]:
    """Import in a fresh process."""
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    milliseconds, modules = json.loads(done.stdout.splitlines()[-1])
    return milliseconds, modules


if __name__ == "__main__":
    main()
