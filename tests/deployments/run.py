"""A run of a DAG that deletes who is on the warehouse's suppression list, and what is to be seen of it from outside."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from airflow.providers.postgres.hooks.postgres import PostgresHook
from deployment import Deployment

OTHERS = 40
FINAL = ("success", "failed")
RUN_SECONDS = 600


class Run:
    """One run, in an Airflow whose connections `warehouse` and `klaviyo_ledger` are known here too."""

    def __init__(self, airflow: Deployment, dag_id: str) -> None:
        self.airflow = airflow
        self.dag_id = dag_id
        self.run_id = ""
        # What was killed, and after how many deletions.
        self.kills: list[tuple[str, int]] = []
        self.began_at = time.monotonic()

    def begin(self, *, present: int, absent: int) -> None:
        """Trigger a run for people of whom Klaviyo has some; one is listed twice, and two rows are nobody's address."""
        listed = [f"person.{number}@example.com" for number in range(present + absent)]
        self.absent = absent
        self.present = self.airflow.klaviyo.add(listed[:present])
        self.others = set(self.airflow.klaviyo.add([f"customer.{number}@example.com" for number in range(OTHERS)]))
        self._fill_warehouse([*listed, listed[0].upper(), "not an address", None])
        self.airflow.wait_for("the DAG to be known", lambda: self.airflow.web.unpause(self.dag_id))
        self.run_id = self.airflow.web.trigger(self.dag_id)
        self.began_at = time.monotonic()
        self.tell("triggered")

    def end(self) -> None:
        """Wait until the run is over, and see that it succeeded."""
        state = self.airflow.wait_for("the run to end", self._final_state, RUN_SECONDS)
        self.tell(f"the run ends in {state}")
        assert state == "success"

    def kill(self, what: str, kill: Callable[[], None]) -> None:
        """Kill something that is started again, and wait until all is there again."""
        self.tell(f"{what} is killed")
        assert self._final_state() is None, "the run was over before everything was killed"
        self.kills.append((what, len(self.airflow.deletions()["requests"])))
        kill()
        self.airflow.wait_for("everything to be healthy", self.airflow.is_healthy)
        self.tell("all is healthy")

    def repeated(self) -> dict[str, int]:
        """Return how many calls had been made before, by what was killed last when they were made again."""
        repeated = Counter({what: 0 for what, _ in self.kills})
        seen = set()
        for number, profile_id in enumerate(self.airflow.deletions()["requests"]):
            if profile_id in seen:
                repeated[next((what for what, after in reversed(self.kills) if after <= number), "nothing")] += 1
            seen.add(profile_id)
        return dict(repeated)

    def tries(self, task_id: str) -> list[int]:
        """Return how many tries each instance of a task took."""
        tasks = self.airflow.web.tasks(self.dag_id, self.run_id)
        return [one["try_number"] for one in tasks if one["task_id"] == task_id]

    def await_deletions(self, more: int) -> None:
        """Wait until so many more deletions were accepted than by now."""
        wanted = len(self.airflow.deletions()["requests"]) + more
        self.airflow.wait_for(f"{wanted} deletions", lambda: len(self.airflow.deletions()["requests"]) >= wanted)
        self.tell("it goes on")

    def await_task(self, task_id: str, state: str, map_index: int | None = None, try_number: int = 1) -> dict[str, Any]:
        """Wait until a task instance is in a state, on this try or a later one, and return it."""

        def look() -> dict[str, Any] | None:
            for one in self.airflow.web.tasks(self.dag_id, self.run_id):
                fits = one["task_id"] == task_id and map_index in {None, one["map_index"]}
                if fits and one["state"] == state and one["try_number"] >= try_number:
                    return one
            return None

        found: dict[str, Any] = self.airflow.wait_for(f"{task_id} to be {state} on try {try_number}", look)
        return found

    def ask_ledger(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query to the ledger."""
        rows: list[tuple[Any, ...]] = PostgresHook(postgres_conn_id="klaviyo_ledger").get_records(query)
        return rows

    def tell(self, what: str) -> None:
        """Print what happens, and how far everything is."""
        tasks = ", ".join(
            f"{one['task_id']}[{one['map_index']}] {one['state']} on try {one['try_number']}"
            for one in self.airflow.web.tasks(self.dag_id, self.run_id)
            if one["state"] is not None
        )
        deletions = len(self.airflow.deletions()["requests"])
        seconds = time.monotonic() - self.began_at
        print(f"{seconds:5.0f} s, {deletions} deletions: {what} ({tasks})", flush=True)

    def _final_state(self) -> str | None:
        state = self.airflow.web.state(self.dag_id, self.run_id)
        return state if state in FINAL else None

    def _fill_warehouse(self, emails: list[str | None]) -> None:
        hook = PostgresHook(postgres_conn_id="warehouse")
        hook.run("CREATE TABLE suppression_list (request_id SERIAL, email TEXT, received_at TIMESTAMP)")
        hook.insert_rows("suppression_list", [(email,) for email in emails], ["email"])
