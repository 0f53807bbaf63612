"""The loss of deep supervision: each head's own, weighed by level."""

from __future__ import annotations

from collections.abc import Mapping

from monai.losses import DiceCELoss
from torch import Tensor, nn

from nestgen.training.settings import shares


class DeepSupervision(nn.Module):
    """The weighted mean over the levels of cross-entropy plus soft Dice.

    One class: binary cross-entropy and the Dice of its sigmoid. Several: cross-entropy
    over the softmax, and Dice of every class. Dice is taken over the batch, as in the
    paper (Zhou et al., 2018, eq. 3; there the cross-entropy weighs one half).

    `outputs` are logits [N, C, *size] by level, `labels` [N, 1, *size], class indices.
    Levels that `weights` does not name weigh 1; all of them at 0 is refused.
    """

    def __init__(
        self, classes: int, levels: tuple[int, ...], weights: Mapping[str, float]
    ) -> None:
        super().__init__()
        self.weights = shares(levels, weights)
        binary = classes == 1
        self.loss = DiceCELoss(
            sigmoid=binary, softmax=not binary, to_onehot_y=not binary, batch=True
        )

    def forward(self, outputs: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        """The scalar loss."""
        losses = [
            weight * self.loss(outputs[name].float(), labels)
            for name, weight in self.weights.items()
            if weight
        ]
        total: Tensor = sum(losses[1:], start=losses[0])
        return total
