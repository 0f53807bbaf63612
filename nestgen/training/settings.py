"""How a run is done: plain values, written into its state, so that it can go on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from nestgen.errors import SettingsError

Precision = Literal["no", "fp16", "bf16"]


@dataclass(frozen=True)
class Settings:
    """The choices of a run that are not the network's.

    Attributes:
        epochs: passes over the images, at most; a small set is seen more than once.
        batch_size: images in one step, over all processes.
        learning_rate: its peak; a warm-up leads there, a cosine to zero after it.
        weight_decay: of AdamW.
        patch: the sides of what the network sees in training, in pixels.
        patience: epochs without a better score after which the run ends.
        seed: of the weights, the order, the augmentation and the dropout.
        augment: flips, right-angle rotations, scale, brightness and contrast.
        precision: of the forward pass: `no` for float32, `fp16`, `bf16`.
        level_weights: of the heads' losses, by level; those not named weigh 1.
        workers: processes that read images ahead.
        fused: keep each convolution's output once, and make again what is between them.
        pretrained: begin with the weights that the encoder's package has for it.
        val_fraction: of one folder's images; None where val/ is a folder of its own.
    """

    epochs: int = 40
    batch_size: int = 4
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    patch: tuple[int, ...] = (96, 96)
    patience: int = 12
    seed: int = 0
    augment: bool = True
    precision: Precision = "no"
    level_weights: dict[str, float] = field(default_factory=dict)
    workers: int = 0
    fused: bool = False
    pretrained: bool = False
    val_fraction: float | None = None

    def __post_init__(self) -> None:
        least: dict[str, float] = {"epochs": 1, "batch_size": 1, "patience": 1}
        least |= {"seed": 0, "workers": 0, "weight_decay": 0, "learning_rate": 1e-12}
        for name, lowest in least.items():
            value = getattr(self, name)
            if not lowest <= value < 2**31:
                raise SettingsError(f"{name}: {value} is not allowed, {lowest} or more")

    def supervised(self, levels: Iterable[int]) -> list[int]:
        """Those of the heads `levels` that have a part in the loss.

        >>> Settings(level_weights={"L2": 0}).supervised([1, 2, 3])
        [1, 3]
        """
        parts = shares(levels, self.level_weights)
        return [int(name.removeprefix("L")) for name, part in parts.items() if part]

    def to_plain(self) -> dict[str, Any]:
        """The settings as JSON types.

        >>> Settings.from_plain(Settings(epochs=3).to_plain()).epochs
        3
        """
        return {**asdict(self), "patch": list(self.patch)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Settings:
        """The settings that `to_plain` gave."""
        known = {item.name for item in fields(cls)}
        kept = {name: value for name, value in plain.items() if name in known}
        return cls(**{**kept, "patch": tuple(plain["patch"])})


def shares(levels: Iterable[int], weights: Mapping[str, float]) -> dict[str, float]:
    """The part of each head in the loss, by level; together they are 1.

    Levels that `weights` does not name weigh 1. Raises `SettingsError` for a level
    that is none, and for weights below 0 or all at 0.

    >>> shares([1, 2], {"L1": 3})
    {'L1': 0.75, 'L2': 0.25}
    """
    names = [f"L{level}" for level in levels]
    unknown = sorted(set(weights) - set(names))
    if unknown:
        raise SettingsError(
            f"level weights: {unknown[0]} is no level, {', '.join(names)}"
        )
    whole = {name: float(weights.get(name, 1.0)) for name in names}
    total = sum(whole.values())
    if min(whole.values()) < 0 or not 0 < total < float("inf"):
        raise SettingsError(
            f"level weights: {whole} is not allowed, 0 or more, and not all 0"
        )
    return {name: weight / total for name, weight in whole.items()}
