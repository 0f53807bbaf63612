"""What the tests of kernels share."""

from __future__ import annotations

import pytest
from torch import Tensor

from nestgen.kernels import images
from nestgen.kernels.layout import empty_channels_last


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs of a call are NaN before they are written."""

    def nan(like: Tensor, *shape: int) -> Tensor:
        return empty_channels_last(like, *shape).fill_(float("nan"))

    monkeypatch.setattr(images, "empty_channels_last", nan)
