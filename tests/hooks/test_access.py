"""The hook reads all that Klaviyo keeps of a person, a part at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_klaviyo.api.errors import KlaviyoNotFoundError
from airflow_provider_klaviyo.api.resources import NOBODY
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook


def test_each_part_can_be_had(emulator: Emulator, connect: Callable[..., str]) -> None:
    jane = emulator.add_profile(email="jane@example.com", properties={"size": 39})
    emulator.add_to_list(jane, emulator.add_list("Customers"))
    emulator.add_to_segment(jane, emulator.add_segment("Engaged"))
    emulator.add_event(jane, "Placed Order", {"number": 7})
    with KlaviyoHook(connect()) as hook:
        assert hook.get_whole_profile(jane).attributes["properties"] == {"size": 39}
        assert [one.attributes["name"] for one in hook.get_profile_lists(jane)] == ["Customers"]
        assert [one.attributes["name"] for one in hook.get_profile_segments(jane)] == ["Engaged"]
        (event,) = hook.get_events(jane)
        assert (event.metric, event.attributes["event_properties"]) == ("Placed Order", {"number": 7})
        for get in (hook.get_whole_profile, hook.get_profile_lists, hook.get_profile_segments):
            with pytest.raises(KlaviyoNotFoundError):
                get(NOBODY)
        assert hook.get_events(NOBODY) == ()
