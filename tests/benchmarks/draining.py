"""How near to Klaviyo's 60 deletions a minute a drain comes, and whether it is ever refused.

    python tests/benchmarks/draining.py --minutes 10 --processes 2

The emulator is a process of its own at Klaviyo's real limits, and answers after 150 ms.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import httpx

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.settings import DEFAULT_UTILISATION, Settings
from airflow_provider_klaviyo.deletion.drain import drain

STEADY = 60


def main() -> None:
    """Drain for some minutes and print the share of the limit that was reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--processes", type=int, default=1, help="each is given its part of the pace")
    arguments = parser.parse_args()
    each = round(arguments.minutes * STEADY * DEFAULT_UTILISATION / arguments.processes)
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        command = [sys.executable, "-m", "airflow_provider_klaviyo.emulator", "--ready-file", str(ready)]
        emulator = subprocess.Popen([*command, "--latency-seconds", "0.15"], stdout=subprocess.DEVNULL)
        try:
            while not ready.exists():
                time.sleep(0.05)
            measure(json.loads(ready.read_text()), each, arguments.processes)
        finally:
            emulator.terminate()
            emulator.wait()


def measure(emulator: dict[str, str], each: int, processes: int) -> None:
    """Fill the emulator, drain it, and compare."""
    people = [{"email": f"person.{number}@example.com"} for number in range(each * processes)]
    added = httpx.post(f"{emulator['url']}/_emulator/profiles", json={"profiles": people}, timeout=60).json()
    parts = [added["profile_ids"][number::processes] for number in range(processes)]
    started = time.monotonic()
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(work, [emulator] * processes, parts, [DEFAULT_UTILISATION / processes] * processes))
    minutes = (time.monotonic() - started) / 60
    report = httpx.get(f"{emulator['url']}/_emulator/report").json()
    seen = report["accounts"][emulator["account_id"]]["endpoints"]["profile_deletion"]
    rate = seen["by_status"]["202"] / minutes
    print(f"{processes} process(es), {minutes:.2f} minutes, {seen['by_status']['202']} deletions")
    print(f"share of Klaviyo's {STEADY} a minute: {rate / STEADY:.3f}   429s: {seen['by_status'].get('429', 0)}")
    print(f"most in one fixed minute: {seen['most_in_one_window']['60']} of {STEADY}")


def work(emulator: dict[str, str], profile_ids: list[str], utilisation: float) -> None:
    """Drain one part, in a process of its own."""
    settings = Settings(api_key=emulator["key"], base_url=emulator["url"], utilisation=utilisation)
    with KlaviyoClient(settings) as client:
        drain(profile_ids, client)


if __name__ == "__main__":
    main()
