"""What a network is fed is mirrored up to its multiples, and cropped back."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nestgen.imaging.pad import crop, pad, padded_size

AXES = st.lists(
    st.tuples(st.integers(1, 20), st.sampled_from([1, 2, 4, 8])), min_size=1, max_size=3
)


@given(AXES)
def test_padded_sides_are_the_least_multiples(axes: list[tuple[int, int]]) -> None:
    size, multiples = zip(*axes, strict=True)
    found = padded_size(size, multiples)
    for side, multiple, to in zip(size, multiples, found, strict=True):
        assert to % multiple == 0
        assert to >= max(side, 2 * multiple)
        assert to - multiple < max(side, 2 * multiple)
    assert padded_size(found, multiples) == found


@given(AXES)
def test_what_is_padded_is_cropped_back(axes: list[tuple[int, int]]) -> None:
    size, multiples = zip(*axes, strict=True)
    image = np.random.default_rng(0).random((2, *size))
    padded = pad(image, padded_size(size, multiples))
    np.testing.assert_array_equal(padded[crop(size)], image)
    # mirrored: every padded value is one of the image's own
    assert set(padded.ravel()) == set(image.ravel())


def test_a_side_that_is_larger_stays() -> None:
    assert pad(np.zeros((1, 9, 3)), (4, 4)).shape == (1, 9, 4)
