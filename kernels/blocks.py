"""What the kernels share that load a pixel once for several results."""

from __future__ import annotations

import triton
import triton.language as tl

from nestgen.kernels.call import Call


def count_blocks(call: Call, block: int) -> dict[str, int]:
    """Blocks of channels of the skips and of the low input; none is of two images.

    They are no constants of a kernel: a compiler would unroll its loop.
    """
    low = [] if call.low is None else [call.low]
    sides = {"blocks": call.skips, "low_blocks": low}
    return {
        name: sum(-(-image.shape[1] // block) for image in images)
        for name, images in sides.items()
    }


@triton.jit
def replaced(values, PLACE: tl.constexpr, value):
    """The tuple `values` with another value in one place."""
    return values[:PLACE] + (value,) + values[PLACE + 1 :]  # noqa: RUF005, no * in Triton


@triton.jit
def channel_block(images, WIDTHS: tl.constexpr, block, BLOCK: tl.constexpr):
    """Where block number `block` of the channels of all images lies.

    The image, its width, and the block's first channel in it and in all of them. One
    loop over the blocks serves any number of images, of any widths, and its code is no
    longer for more of them. The last block of an image may reach beyond its width.
    """
    image, width, start, before = images[0], WIDTHS[0], 0, 0
    blocks, channels = 0, 0
    for i in tl.static_range(1, len(WIDTHS)):
        blocks += (WIDTHS[i - 1] + BLOCK - 1) // BLOCK
        channels += WIDTHS[i - 1]
        here = block >= blocks
        image = tl.where(here, images[i], image)
        width = tl.where(here, WIDTHS[i], width)
        start = tl.where(here, blocks, start)
        before = tl.where(here, channels, before)
    first = (block - start) * BLOCK
    return image, width, first, before + first
