"""How one hot path is computed."""

from __future__ import annotations

from dataclasses import dataclass

from nestgen.kernels.configurations import Configuration


@dataclass(frozen=True)
class Choice:
    """A form of the hot path, and what runs it.

    Attributes:
        form: "written", one operation after another; "phases", up-sampling composed
            with the convolution; "nearest", read pixel by pixel; "raised", up-sampled
            before and read as one more skip.
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
            "phases": "up-sampling composed",
            "nearest": "inputs and up-sampling read in place",
            "raised": "inputs read in place",
        }
        by = "" if self.impl == "torch" else f", kernel {self.impl}"
        return names[self.form] + by
