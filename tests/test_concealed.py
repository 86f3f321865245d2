"""A task's list of people is usable, and not to be seen."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from airflow_provider_klaviyo.concealed import Concealed, Given


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (["canary@example.com"] * 1_234, "<1,234 not shown>"),
        ([], "<0 not shown>"),
        ({"email": "canary@example.com"}, "<not shown>"),
        ("canary@example.com", "<not shown>"),
        (iter(["canary@example.com"]), "<not shown>"),
        (None, "<not shown>"),
    ],
)
def test_only_the_number_is_shown(value: object, shown: str) -> None:
    concealed = Concealed(value)
    assert f"{concealed}" == f"{concealed!r}" == shown
    assert json.dumps(concealed, default=str) == json.dumps(shown)


def test_the_value_is_kept() -> None:
    value = ["canary@example.com"]
    assert Concealed(value).value is value


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_is_concealed_too(way: Any) -> None:
    other = way(Concealed(["canary@example.com"]))
    assert other.value == ["canary@example.com"]
    assert "canary" not in repr(other)


def test_what_a_mapped_task_is_given_is_concealed_too() -> None:
    assert str(Given(["canary@example.com"])) == "<1 not shown>"
