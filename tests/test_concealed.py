"""A task's list of people is usable, and not to be seen."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from airflow_provider_klaviyo.concealed import Concealed, ConcealedField


class Task:
    profiles: Any = ConcealedField()


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


def test_what_the_author_writes_is_kept_for_the_templates() -> None:
    task = Task()
    task.profiles = "{{ params.profiles }}"
    assert task.profiles == "{{ params.profiles }}"


def test_what_airflow_renders_is_concealed() -> None:
    task = Task()
    task.profiles = "{{ params.profiles }}"
    task.profiles = ["canary@example.com"]
    assert isinstance(task.profiles, Concealed)
    assert task.profiles.value == ["canary@example.com"]
    assert "canary" not in str(task.profiles)
    assert "canary" not in str(vars(task))


def test_what_is_concealed_already_is_not_concealed_again() -> None:
    task = Task()
    task.profiles = "{{ params.profiles }}"
    task.profiles = ["canary@example.com"]
    concealed = task.profiles
    task.profiles = concealed
    assert task.profiles is concealed


def test_a_field_that_was_never_set_is_none() -> None:
    assert Task().profiles is None


def test_tasks_do_not_share_their_lists() -> None:
    one, other = Task(), Task()
    one.profiles = ["a@example.com"]
    other.profiles = ["b@example.com"]
    assert (one.profiles, other.profiles) == (["a@example.com"], ["b@example.com"])


def test_the_class_gives_the_field_itself() -> None:
    assert isinstance(Task.profiles, ConcealedField)
