"""How near to Klaviyo's 750 look-ups a minute a plan comes when every answer takes 300 ms; calls for 2,000 people.

python tests/benchmarks/looking_up.py --minutes 2
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

from airflow_provider_klaviyo.api.calls import request_profile_deletion
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.settings import DEFAULT_UTILISATION, Settings
from airflow_provider_klaviyo.deletion.confirm import still_there
from airflow_provider_klaviyo.deletion.plan import make_plan
from airflow_provider_klaviyo.emulator import Emulator

STEADY = 750


def main() -> None:
    """Look people up for some minutes and print the share of the limit; then count calls for a small list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2)
    arguments = parser.parse_args()
    calls = round(arguments.minutes * STEADY * DEFAULT_UTILISATION)
    with Emulator(latency_seconds=0.3) as emulator:
        settings = Settings(api_key=emulator.account.key, base_url=emulator.url)
        with KlaviyoClient(settings) as client:
            started = time.monotonic()
            make_plan(people(100 * calls), client)
            minutes = (time.monotonic() - started) / 60
        rate = emulator.calls("get_profiles", status=200) / minutes
        print(f"{minutes:.2f} minutes, {100 * calls:,} identifiers, {emulator.calls('get_profiles')} look-ups")
        print(f"share of Klaviyo's {STEADY} a minute: {rate / STEADY:.3f}   429s: {emulator.calls(status=429)}")
    with Emulator(limit_factor=1_000, deletion_seconds=0) as emulator:
        for number in range(0, 2_000, 20):
            emulator.add_profile(email=f"person.{number}@example.com")
        with KlaviyoClient(Settings(api_key=emulator.account.key, base_url=emulator.url)) as client:
            plan = make_plan(people(2_000), client)
            look_ups = emulator.calls("get_profiles")
            for profile_id in list(plan.profile_ids)[:5]:
                client.run(request_profile_deletion("id", profile_id))
            client.run(still_there(list(plan.profile_ids)))
        print(f"2,000 listed, {len(plan.profile_ids)} present: {look_ups} look-ups, {len(plan.profile_ids)} deletions,")
        print(f"{emulator.calls('get_profiles') - look_ups} call(s) for one look of the sensor")


def people(number: int) -> Iterator[str]:
    """Yield so many addresses."""
    return (f"person.{each}@example.com" for each in range(number))


if __name__ == "__main__":
    main()
