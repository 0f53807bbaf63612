"""Names of several heads are read back as what they were written for."""

from __future__ import annotations

from itertools import combinations

import pytest

from nestgen.arch.heads import answering, heads_name, read_heads

ALL = [group for size in range(1, 7) for group in combinations(range(1, 13), size)]


def test_a_name_is_read_back() -> None:
    names = [heads_name(group) for group in ALL]
    assert len(set(names)) == len(ALL)
    assert [read_heads(name) for name in names] == ALL
    assert [read_heads(name.removeprefix("L")) for name in names] == ALL


def test_order_and_repetition_say_nothing() -> None:
    assert read_heads("3,1,L2,1-2") == (1, 2, 3)
    assert heads_name([3, 1, 2]) == "L1-3"


@pytest.mark.parametrize("text", ["", "L", "two", "1-", "3-1", "1,,2", "1-999999999"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}$"):
        read_heads(text)


def test_one_head_answers_alike_in_both_modes() -> None:
    assert answering([2], "fast") == answering([2], "accurate") == (2,)
    assert answering((1, 3), "fast") == (3,)
    assert answering((1, 3), "accurate") == (1, 3)
