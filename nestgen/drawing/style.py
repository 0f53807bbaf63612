"""What the drawing looks like: colours, strokes, sizes.

Colours are Okabe and Ito's, which people with any colour vision tell apart, over
pale tints of themselves. Outlines (thick, thin, double, dashed) and strokes (heavy,
light, dashed) say the same once more, for print in grey. Lengths are points, 1/72 inch.
"""

from __future__ import annotations

from dataclasses import dataclass

INK = "#222222"
SANS, SANS_BOLD = "Helvetica", "Helvetica-Bold"
SERIF, SERIF_ITALIC = "Times-Roman", "Times-Italic"

MARGIN = 14.0
RADIUS = 21.0
RING_GAP = 4.0
"""Between the two lines of a double outline; Graphviz has it so."""
ROW_PITCH = 88.0

DOT = 1.5
"""The radius of a node whose area shows next to nothing."""
LABEL_ROOM = 15.0
"""The radius of a node that holds its name; that of a smaller one stands beside it."""
LABEL_DISTANCE = 28.0
LABEL_ANGLES = (-53, -127, -90, 53, 127, -30, -150, -70, -110, 30, 150, 0)
"""Where beside a node, the best first, in degrees."""
LABEL_WIDTH, LABEL_HEIGHT = 20.0, 12.0

LETTER_SIZE, INDEX_SIZE, BELOW_SIZE = 16.0, 10.5, 8.5
SMALL = 0.75
"""The size of names where areas show something, beside the usual."""
BELOW_ROOM = 26.0
"""How wide the line below a node's name may be: wider ones are written smaller."""

ARC_LOW = 33.0
ARC_RISE = 50.0
ARC_INTERVALS = 5
ARC_BEND = 0.8
ARC_ROOM = 10.0
ARC_ANGLES = (27.0, 53.0)
CLEARANCE = 5.0
"""Between an edge and what it passes."""

TAG_WIDTH, TAG_HEIGHT, TAG_GAP = 19.0, 13.0, 8.0
TAG_SIZE = 8.5
TAG_TOP = RADIUS + TAG_GAP + TAG_HEIGHT
TAG_ANGLES = (39.0, 66.0)

TITLE_SIZE, TITLE_LEADING, TITLE_GAP, TITLE_LETTERS = 15.0, 20.0, 24.0, 60
TEXT_SIZE = 10.0
ROW_TEXT_END = RADIUS + 10.0

LEGEND_ROW, LEGEND_SAMPLE = 18.0, 30.0
LEGEND_TEXT = LEGEND_SAMPLE + 9.0
LEGEND_RADIUS = 7.5
LEGEND_CLEARANCE = 26.0

PANEL_GAP = 24.0


@dataclass(frozen=True)
class NodeLook:
    """How a kind of node is drawn and what the legend calls it.

    `strong` is its fill where nodes may be too small for a tint.
    """

    name: str
    fill: str
    line: str
    width: float
    rings: int = 1
    ink: str = INK
    strong: str = "#ffffff"
    dashed: bool = False


@dataclass(frozen=True)
class EdgeLook:
    """How a kind of edge is drawn and what the legend calls it."""

    name: str
    line: str
    width: float
    dashed: bool = False
    arrow: float = 0.62

    @property
    def arrow_length(self) -> float:
        """Of the arrow head: Graphviz draws 10 points at size 1."""
        return 10 * self.arrow


NODES = {
    "encoder": NodeLook("encoder node", "#cfe4f3", "#0072b2", 2.0, strong="#9ccbea"),
    "decoder": NodeLook("decoder node", "#e2f3ec", "#009e73", 1.0, strong="#94d8bf"),
    "nested": NodeLook("nested node", "#e2f3ec", "#009e73", 1.0, strong="#94d8bf"),
    "head": NodeLook(
        "node with a head", "#fce4d4", "#d55e00", 1.0, rings=2, strong="#f6b993"
    ),
    "dropped": NodeLook("dropped by the cut", "#f7f7f7", "#c6c6c6", 1.0, ink="#a0a0a0"),
    "dead": NodeLook(
        "node without gradient", "#f7f7f7", "#8c8c8c", 1.0, ink="#767676", dashed=True
    ),
}

EDGES = {
    "down": EdgeLook("down-sampling", "#333333", 1.7),
    "up": EdgeLook("up-sampling", "#009e73", 1.3),
    "skip": EdgeLook("skip connection", "#0072b2", 0.9, dashed=True, arrow=0.5),
}
DROPPED_LINE = "#d4d4d4"
BACKWARD_LINE = "#d55e00"

RAMP = ("#fff8dc", "#fbe3a0", "#f2c05c", "#e69135", "#d55e00")
"""From little to much: darker all the way, and never too dark for black letters."""
RAMP_INK = "#000000"


def ramp(share: float) -> str:
    """The colour at `share`, 0 to 1, of the way through `RAMP`.

    >>> ramp(0.0), ramp(0.125), ramp(1.0)
    ('#fff8dc', '#fdeebe', '#d55e00')
    """
    step = min(int(share * (len(RAMP) - 1)), len(RAMP) - 2)
    part = share * (len(RAMP) - 1) - step
    low, high = (bytes.fromhex(colour[1:]) for colour in RAMP[step : step + 2])
    mixed = (round(a + part * (b - a)) for a, b in zip(low, high, strict=True))
    return "#" + bytes(mixed).hex()


def text_width(text: str, size: float) -> float:
    """How wide `text` may be, at 0.56 of its size a letter and twice that in Asia.

    >>> text_width("ab", 10.0)
    11.2
    """
    letters = len(text) + sum(ord(letter) > 0x2E80 for letter in text)
    return round(letters * size * 0.56, 2)
