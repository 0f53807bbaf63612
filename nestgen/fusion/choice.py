"""How one hot path is computed."""

from __future__ import annotations

from dataclasses import dataclass

from nestgen.kernels.configurations import Configuration


@dataclass(frozen=True)
class Choice:
    """A form of the hot path, and what runs it.

    Attributes:
        form: of torch's operators: "written", one after another; "split", skips and
            up-sampled input convolved apart; "composed", up-sampling and convolution in
            one (see `composed`). Of a kernel: "phases", the same by a 4x4 transposed
            convolution; "nearest", read pixel by pixel; "raised", up-sampled before and
            read as one more skip.
        impl: "torch", or the name of a kernel.
        configuration: of the kernel; by default as is shipped.
    """

    form: str = "written"
    impl: str = "torch"
    configuration: Configuration | None = None

    def __str__(self) -> str:
        """As the report has it."""
        names = {
            "written": "as written",
            "split": "skips and up-sampled input apart",
            "composed": "up-sampling composed",
            "phases": "up-sampling composed",
            "nearest": "inputs and up-sampling read in place",
            "raised": "inputs read in place",
        }
        by = "" if self.impl == "torch" else f", kernel {self.impl}"
        return names[self.form] + by
