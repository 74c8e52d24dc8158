"""What hangs together."""

from __future__ import annotations

from hypothesis import given, strategies as st

from micam_fast.core.grouping import connected


def test_groups_are_in_the_order_of_their_keys() -> None:
    joined = {"c": "x", "d": "b", "e": "ca"}
    assert connected("abcde", lambda key: joined.get(key, "")) == [["a", "c", "e"], ["b", "d"]]
    assert connected([], lambda key: [key]) == []


@given(st.integers(1, 9), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 8))))
def test_keys_are_together_if_a_way_leads_from_one_to_the_other(
    count: int, pairs: list[tuple[int, int]]
) -> None:
    keys = range(count)
    near = {key: [a for a, b in pairs if b == key] for key in keys}
    both = {key: {*near[key], *(k for k in keys if key in near[k])} & {*keys} for key in keys}

    def reached(key: int) -> set[int]:
        seen, waiting = {key}, [key]
        while waiting:
            fresh = both[waiting.pop()] - seen
            seen |= fresh
            waiting += fresh
        return seen

    found = [tuple(each) for each in connected(keys, near.__getitem__)]
    assert found == sorted({tuple(sorted(reached(key))) for key in keys})
