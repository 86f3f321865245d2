"""All ways into the package that can fail, each by a name, with people and secrets that nothing may show."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook
from airflow_provider_klaviyo.operators.klaviyo import (
    DeletionPlanOperator,
    DeletionPlanReleaseOperator,
    DeletionRecheckOperator,
    ProfileAccessOperator,
    ProfileDeletionOperator,
    ProfileSuppressionOperator,
    ProfileUpdateOperator,
)
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor
from airflow_provider_klaviyo.triggers.klaviyo import DeletionConfirmedTrigger

__all__ = ["CANARY", "EMAIL", "EVERY_WAY", "EXTERNAL_ID", "PHONE", "Ways"]

CANARY = "canary.tweet"
PHONE = "+15005550177"
EMAIL = f"{CANARY}@example.com"
EXTERNAL_ID = f"{CANARY}-42"


def context() -> Any:
    of = {"dag_id": "erase", "run_id": "run 1", "task_id": "task", "map_index": -1, "max_tries": 0}
    started = {"start_date": datetime.now(UTC), "get_first_reschedule_date": lambda _: None}
    return {"ti": SimpleNamespace(**of, **started, xcom_push=lambda **_: None)}


class Ways:
    """All ways into the package, each by a name."""

    def __init__(self, emulator: Emulator, exports: Path) -> None:
        self.exports = str(exports)
        self.deleted = {
            "profile_ids": [one.id for one in emulator.profiles()],
            "looked_up_at": datetime.now(UTC).isoformat(),
            "account_id": emulator.account.id,
            "klaviyo_conn_id": "klaviyo_default",
        }
        self.batches = self.run(DeletionPlanOperator)
        self.held = self.run(DeletionPlanOperator, run_id="run 2", max_profiles=0, fail_when_held=False)

    @staticmethod
    def run(operator: Any, *listed: Any, run_id: str = "run 1", **arguments: Any) -> Any:
        """Run a task, whose list is rendered as Airflow does it."""
        task = operator(task_id="task", **{"profiles": [EMAIL, PHONE]} | arguments)
        if listed:
            task.profiles = list(listed)
        of = context()
        of["ti"].run_id = run_id
        return task.execute(of)

    def access(self) -> Any:
        return self.run(ProfileAccessOperator, EMAIL, {"external_id": EXTERNAL_ID}, output_path=self.exports)

    def delete_list(self) -> Any:
        return self.run(ProfileDeletionOperator, EMAIL, PHONE)

    def delete_batch(self) -> Any:
        task = ProfileDeletionOperator(task_id="task", batch=self.batches[0])
        return task.execute(context())

    def plan(self) -> Any:
        return self.run(DeletionPlanOperator, EMAIL, PHONE, run_id="run 3")

    def release(self) -> Any:
        task = DeletionPlanReleaseOperator(task_id="task", plan=self.batches, suppress_first=True)
        return task.execute(context())

    def recheck(self) -> Any:
        return self.run(DeletionRecheckOperator, EMAIL, recheck_after=timedelta(days=1))

    def update(self) -> Any:
        return self.run(ProfileUpdateOperator, {"external_id": EXTERNAL_ID, "new_email": f"{CANARY}.new@example.com"})

    def suppress(self) -> Any:
        return self.run(ProfileSuppressionOperator, EMAIL)

    def poke_profiles(self) -> Any:
        return self._sensor(self.deleted, [EMAIL]).poke(context())

    def poke_plan(self) -> Any:
        return DeletionConfirmedSensor(task_id="task", plan=self.batches).poke(context())

    def wait_for_profiles(self) -> Any:
        return self._sensor(self.deleted, [EMAIL], deferrable=True).execute(context())

    def wait_for_plan(self) -> Any:
        return DeletionConfirmedSensor(task_id="task", plan=self.batches, mode="poke", timeout=0).execute(context())

    def complete(self) -> Any:
        event = {"status": "gone", "since": "2026-01-01T00:00:00+00:00", "deadline": 1.0}
        return self._sensor([EMAIL], deferrable=True).execute_complete(context(), event)

    def look_for_profile(self) -> Any:
        with KlaviyoHook() as hook:
            return hook.find_profiles("email", [EMAIL])

    def request_deletion(self) -> Any:
        with KlaviyoHook() as hook:
            return hook.request_profile_deletion(email=EMAIL)

    def update_through_hook(self) -> Any:
        with KlaviyoHook() as hook:
            return hook.update_profile(self.deleted["profile_ids"][0], email=EMAIL, external_id=EXTERNAL_ID)

    def suppress_through_hook(self) -> Any:
        with KlaviyoHook() as hook:
            return hook.suppress_profiles([EMAIL])

    def request(self) -> Any:
        with KlaviyoHook() as hook:
            return hook.request("GET", "/api/profiles", params={"filter": f'equals(email,"{EMAIL}")'})

    def read_fingerprint_keys(self) -> Any:
        return KlaviyoHook().get_fingerprint_keys()

    def connect(self) -> None:
        with KlaviyoHook() as hook:
            hook.get_conn()

    def connect_async(self) -> None:
        async def connect() -> None:
            async with await KlaviyoHook().get_async_conn():
                pass

        asyncio.run(connect())

    def trigger(self) -> Any:
        async def run() -> Any:
            how: dict[str, Any] = {"since": "2026-01-01T00:00:00+00:00", "deadline": 2.0**32}
            how |= {"pause_seconds": 0.0, "longest_pause_seconds": 0.0, "klaviyo_conn_id": "klaviyo_default"}
            return [event async for event in DeletionConfirmedTrigger(profile_ids=["X"], **how).run()]

        return asyncio.run(run())

    @staticmethod
    def _sensor(*listed: Any, **arguments: Any) -> DeletionConfirmedSensor:
        sensor = DeletionConfirmedSensor(task_id="task", profiles=[], **arguments)
        sensor.profiles = list(listed)
        return sensor


EVERY_WAY = {name for name in vars(Ways) if not name.startswith("_")} - {"run"}
