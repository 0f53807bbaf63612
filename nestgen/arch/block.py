"""Block: what a node does with its input, as a spec says it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from nestgen.arch.choices import Activation, BlockKind, Norm


class Block(BaseModel):
    """What a node does with its input.

    By default that is twice [convolution, norm, activation].
    Dropout, where there is any, follows each activation; `drop_path` leaves out what a
    residual block adds to its input, for a whole image (stochastic depth, Huang et al.,
    2016). `standardise` gives the dense spatial convolutions weights of zero mean and
    unit variance (Qiao et al., 2019).

    >>> Block(norm="group", groups=4).bias
    False
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    kind: BlockKind = "double"
    norm: Norm = "batch"
    activation: Activation = "relu"
    slope: float = Field(
        default=0.01, ge=0, le=1, allow_inf_nan=False, description="of leaky_relu"
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, allow_inf_nan=False)
    drop_path: float = Field(default=0.0, ge=0, lt=1, allow_inf_nan=False)
    bias: bool = False
    groups: int = Field(default=8, ge=1, le=4096, description="of norm 'group'")
    expansion: int = Field(
        default=4, ge=1, le=16, description="of the kinds 'inverted' and 'convnext'"
    )
    standardise: bool = False
