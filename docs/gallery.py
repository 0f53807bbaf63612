"""Make docs/gallery.md and its pictures anew: `python docs/gallery.py`."""

from __future__ import annotations

import contextlib
import io
import shlex
import textwrap
from pathlib import Path
from typing import NamedTuple

from nestgen.cli.draw import command

HERE = Path(__file__).parent
INTRODUCTION = """\
# Gallery

Each picture is what the command above it draws, and the text for who cannot see it is
what the same command says with `--alt`. `python docs/gallery.py` makes this page and
its pictures anew.
"""


class Entry(NamedTuple):
    """A section of the page: what it shows, and the options that draw it."""

    title: str
    text: str
    options: str
    file: str

    @property
    def words(self) -> list[str]:
        """Those after `nestgen draw`.

        >>> Entry("", "", "--depth 2 --title 'Two rows'", "two.svg").words
        ['--depth', '2', '--title', 'Two rows', '-o', 'two.svg']
        """
        return shlex.split(f"{self.options} -o {self.file}")


ENTRIES = (
    Entry(
        "Families",
        "Side by side, with one legend.",
        "--compare unet,unet-e,unet+,unet++ --depth 3",
        "families.svg",
    ),
    Entry(
        "Channels and sizes",
        "Inside each node, and beside each row for an input of that size.",
        "--depth 4 --dense --channels --size 256x384",
        "sizes.svg",
    ),
    Entry(
        "A cut",
        "What `nestgen prune --level 2` keeps.",
        "--depth 4 --dense --level 2",
        "cut.svg",
    ),
    Entry(
        "Gradients",
        "With a loss on the last head alone, the inner decoders of U-Net^e learn "
        "nothing. In each node stand the heads whose gradient reaches it.",
        "--depth 4 --family unet-e --gradients 4",
        "gradients.svg",
    ),
    Entry(
        "Deep supervision",
        "With a loss on every head, all nodes of UNet++ learn, the shallow ones from "
        "all heads.",
        "--depth 3 --dense --gradients 1,2,3",
        "supervision.svg",
    ),
    Entry(
        "Heat",
        "Where the time goes: the colour of a node is its MACs.",
        "--depth 4 --dense --heat macs --size 256",
        "heat.svg",
    ),
    Entry(
        "Areas",
        "Where the parameters are: the area of a node is their number.",
        "--depth 4 --dense --area parameters",
        "areas.svg",
    ),
    Entry(
        "UNet 3+",
        "Edges that span rows run round the nodes between.",
        "--family unet3+ --depth 4",
        "unet3p.svg",
    ),
    Entry(
        "Edges of your own",
        "Nodes that no edge names are not there.",
        "--family custom --depth 3 --heads 1,3 --title 'Without X[0,2]' --edges "
        "'x0_0>x1_0,x1_0>x2_0,x2_0>x3_0,x1_0>x0_1,x0_0>x0_1,x2_0>x1_1,x1_0>x1_1,"
        "x3_0>x2_1,x2_0>x2_1,x2_1>x1_2,x1_1>x1_2,x0_1>x1_2,x1_2>x0_3,x0_0>x0_3,"
        "x0_1>x0_3'",
        "custom.svg",
    ),
    Entry(
        "Volumes",
        "Rows whose strides differ from axis to axis.",
        "--depth 3 --dense --dims 3 --strides 1x2x2,2,2 --size 32x256x256",
        "volumes.svg",
    ),
    Entry(
        "For a paper",
        "TikZ at the same places, in the paper's fonts: a document of its own, whose "
        "`tikzpicture` a paper takes over.",
        "--depth 4 --dense --channels",
        "paper.tex",
    ),
    Entry(
        "For a README",
        "Mermaid, which GitHub draws by itself.",
        "--depth 2 --dense --level 1",
        "readme.mmd",
    ),
)


def main(folder: Path = HERE) -> None:
    """Write the page and its pictures into `folder`."""
    sections = [
        INTRODUCTION,
        *(section(entry, folder / "gallery") for entry in ENTRIES),
    ]
    (folder / "gallery.md").write_text("\n".join(sections), encoding="utf-8")


def section(entry: Entry, pictures: Path) -> str:
    """Draw the picture of an entry; the section that shows it."""
    picture = pictures / entry.file
    run([*entry.words[:-1], str(picture), "--force"])
    shown = {
        ".svg": f"![{run([*entry.words, '--alt'])}](gallery/{entry.file})",
        ".tex": f"[{entry.file}](gallery/{entry.file})",
        ".mmd": f"```mermaid\n{picture.read_text('utf-8').rstrip()}\n```",
    }[picture.suffix]
    shell = f"```console\n$ nestgen draw {entry.options} -o {entry.file}\n```"
    text = textwrap.fill(entry.text, 88)
    return f"## {entry.title}\n\n{text}\n\n{shell}\n\n{shown}\n"


def run(words: list[str]) -> str:
    """What `nestgen draw` prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        command.main(words, standalone_mode=False)
    return printed.getvalue().strip()


if __name__ == "__main__":
    main()
