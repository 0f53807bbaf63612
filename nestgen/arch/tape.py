"""A tape: which tensors a pass makes, holds, lets go, and keeps for the backward pass.

Tensors are numbers of bytes here, so that a pass costs nothing, and needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(eq=False, frozen=True)
class Held:
    """A tensor of the pass: `channels` of `pixels` each, of all images together.

    Without `grad`, nothing that is learned has a part in it, as in the image itself.
    """

    channels: int
    pixels: int
    nbytes: int
    grad: bool = True


class Tape:
    """Counts what is alive, and what is saved for the backward pass.

    >>> tape = Tape()
    >>> a, b = tape.new(1, 4, 16), tape.new(1, 4, 16)
    >>> tape.save(a); tape.save(a); tape.free(a); tape.free(b)
    >>> tape.live, tape.peak, tape.saved
    (0, 32, 16)
    """

    def __init__(self) -> None:
        self.live = self.peak = self.saved = 0
        self._saved: set[Held] = set()

    def new(self, channels: int, pixels: int, nbytes: int, grad: bool = True) -> Held:
        """A tensor that an operation makes."""
        self.live += nbytes
        self.peak = max(self.peak, self.live)
        return Held(channels, pixels, nbytes, grad)

    def free(self, *tensors: Held) -> None:
        """Nothing but the backward pass refers to them any more."""
        self.live -= sum(tensor.nbytes for tensor in tensors)

    def save(self, *tensors: Held) -> None:
        """Keep them for the backward pass, once each."""
        for tensor in tensors:
            self.saved += tensor.nbytes if tensor not in self._saved else 0
            self._saved.add(tensor)
