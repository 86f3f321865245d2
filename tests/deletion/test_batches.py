"""Identifiers are put together for look-ups: every one, once, of one kind, and not too many."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.api.resources import profiles_request
from airflow_provider_klaviyo.deletion.identifiers import Identifier, Kind
from airflow_provider_klaviyo.deletion.resolve import Batch, batches

printable = st.text('a"\\漢😀,', min_size=1, max_size=255)
identifiers = st.builds(Identifier, st.sampled_from(Kind), printable)


@given(st.lists(identifiers, max_size=60), st.integers(0, 400))
def test_each_identifier_is_in_exactly_one_batch(some: list[Identifier], more: int) -> None:
    wanted = [*some, *(Identifier(Kind.EMAIL, f"{number}@example.com") for number in range(more))]
    put = list(batches(wanted))
    together = [Identifier(batch.kind, value) for batch in put for value in batch.values]
    assert sorted(together, key=kind_and_value) == sorted(wanted, key=kind_and_value)
    assert all(1 <= len(batch.values) <= 100 for batch in put)


def kind_and_value(identifier: Identifier) -> tuple[str, str]:
    return identifier.kind, identifier.value


def test_a_full_batch_is_handed_out_before_more_is_read() -> None:
    read: list[int] = []

    def source() -> Iterator[Identifier]:
        for number in count():
            read.append(number)
            yield Identifier(Kind.EMAIL, f"{number}@example.com")

    assert len(next(batches(source())).values) == 100
    assert len(read) == 101


def test_a_hundred_long_values_do_not_make_an_endless_address() -> None:
    long = [Identifier(Kind.EXTERNAL_ID, "漢" * 250 + f"{number:05}") for number in range(100)]
    put = list(batches(long))
    assert len(put) > 1
    assert max(len(profiles_request(batch.kind, batch.values).query) for batch in put) < 10_000


def test_a_hundred_addresses_of_full_length_fit_into_two_calls() -> None:
    long = [Identifier(Kind.EMAIL, f"{number:088}@example.com") for number in range(100)]
    assert len(list(batches(long))) == 2


def test_a_batch_does_not_show_its_values() -> None:
    assert "ada" not in repr(Batch(Kind.EMAIL, (Identifier.of(Kind.EMAIL, "ada@example.com"),)))


def test_an_address_not_in_lower_case_is_asked_for_in_both_spellings() -> None:
    (batch,) = batches([Identifier.parse(" Ada@Example.com"), Identifier.parse("bob@example.com")])
    assert batch.values == ["ada@example.com", "Ada@Example.com", "bob@example.com"]


def test_no_call_asks_for_more_than_a_hundred_spellings() -> None:
    mixed = [Identifier.parse(f"Person.{number}@example.com") for number in range(120)]
    assert [len(batch.values) for batch in batches(mixed)] == [100, 100, 40]
