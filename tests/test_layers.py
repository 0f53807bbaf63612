"""Who may import whom: every file looks up, and the upper floors never see torch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]

FLOORS = [
    "errors",
    "files",
    "units",
    "machine",
    "arch.choices arch.grid arch.rows arch.layers arch.skips",
    "arch.tape arch.operations arch.weighing",
    "arch.families arch.blocks arch.encoders arch.presets",
    "arch.inputs arch.block",
    "arch.complete arch.conflicts",
    "arch.spec",
    "arch.specfile arch.graph arch.lines",
    "arch.cost arch.reach arch.axis arch.field arch.rehearsal",
    "arch.memory arch.unreached",
    "arch",
    "codegen",
    "drawing",
    "imaging",
    "precision",
    "datafile",
    "statefile",
    "checkpoint",
    "inspection",
    "surgery",
    "foreign",
    "lifting",
    "fusion",
    "training",
    "inference",
    "demo",
    "cli",
]
"""From the top. On one floor, files of one folder may import one another."""

TORCH_FREE = {
    "errors",
    "files",
    "units",
    "machine",
    "arch",
    "codegen",
    "drawing",
    "imaging",
}
TORCH_INSIDE = {
    f"nestgen.codegen.{n}" for n in ("load", "timm_encoder", "timm_weights")
}
"""What makes a module of a text, and what asks timm: loaded by those who need them."""
TORCH_USERS = {"torch", "monai", "accelerate", "timm", "triton", "torchvision"}
HEAVY = {*TORCH_USERS, "matplotlib", "pydantic", "networkx", "jinja2", "numpy"}


class Import(NamedTuple):
    """`module` is what is imported, down to a file where it is one of ours."""

    module: str
    at_top: bool
    typing_only: bool


Sources = dict[str, ast.Module]
"""Syntax trees by module name."""


def read_sources(root: Path) -> Sources:
    """The files of nestgen; templates and kernels are rooms of their own."""
    files = sorted((root / "nestgen").rglob("*.py"))
    return {
        name: ast.parse(file.read_text(encoding="utf-8"))
        for file in files
        if (name := module_name(root, file)).split(".")[1:2] != ["templates"]
    }


def module_name(root: Path, file: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(sources: Sources, module: str) -> Iterator[Import]:
    """All imports of a file, those inside functions too."""
    yield from _walk(sources, sources[module].body, at_top=True, typing_only=False)


def _walk(
    sources: Sources, body: list[ast.stmt], at_top: bool, typing_only: bool
) -> Iterator[Import]:
    for statement in body:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                yield Import(alias.name, at_top, typing_only)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, "imports are absolute here"
            for alias in statement.names:
                whole = f"{statement.module}.{alias.name}"
                module = whole if whole in sources else str(statement.module)
                yield Import(module, at_top, typing_only)
        else:
            inside = isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef))
            guarded = isinstance(statement, ast.If) and (
                ast.unparse(statement.test) == "TYPE_CHECKING"
            )
            for name in ("body", "orelse", "finalbody"):
                yield from _walk(
                    sources,
                    getattr(statement, name, []),
                    at_top and not inside,
                    typing_only or (guarded and name == "body"),
                )
            for handler in getattr(statement, "handlers", []):
                yield from _walk(sources, handler.body, at_top, typing_only)


def floor(module: str) -> int:
    """The number of a module's floor, from the top; `ValueError` if it has none."""
    inner = module.removeprefix("nestgen.")
    for number, rooms in enumerate(FLOORS):
        if inner in rooms.split():
            return number
    for number, rooms in enumerate(FLOORS):
        if inner.split(".")[0] in rooms.split():
            return number
    raise ValueError(f"{module}: on which floor is it?")


def ours(module: str) -> bool:
    return module.startswith("nestgen.")


def looking_down(sources: Sources) -> list[str]:
    """Imports of what stands below, or beside in another folder."""
    wrong = []
    for module in filter(ours, sources):
        if module in ("nestgen.kernels", "nestgen.templates"):
            continue
        for imported in imports(sources, module):
            if not ours(imported.module):
                continue
            if imported.module.startswith("nestgen.kernels"):
                allowed = module.startswith("nestgen.fusion")
            else:
                above, here = floor(imported.module), floor(module)
                same_room = imported.module.split(".")[1] == module.split(".")[1]
                allowed = above < here or (above == here and same_room)
            if not allowed:
                wrong.append(f"{module} imports {imported.module}")
    return wrong


def cycles(sources: Sources) -> list[list[str]]:
    """Circles of files that import one another when they are loaded."""
    graph = nx.DiGraph(
        (module, imported.module)
        for module in sources
        for imported in imports(sources, module)
        if imported.at_top and ours(imported.module) and not imported.typing_only
    )
    return [sorted(part) for part in nx.simple_cycles(graph)]


def reaching_torch(sources: Sources) -> list[str]:
    """The torch-free files from which a chain of imports leads to torch."""
    graph = nx.DiGraph(
        (module, imported.module)
        for module in sources
        for imported in imports(sources, module)
        if not imported.typing_only
    )
    return [
        f"{module} reaches {found}"
        for module in filter(ours, sources)
        if module.split(".")[1] in TORCH_FREE and module not in TORCH_INSIDE
        for found in sorted(nx.descendants(graph, module) if module in graph else ())
        if found.split(".")[0] in TORCH_USERS or found == "safetensors.torch"
    ]


def heavy_commands(sources: Sources) -> list[str]:
    """The commands' files that load something heavy before they are called."""
    return [
        f"{module} imports {imported.module}"
        for module in sources
        if module.startswith("nestgen.cli")
        for imported in imports(sources, module)
        if imported.at_top and not imported.typing_only
        if imported.module.split(".")[0] in HEAVY
    ]


@pytest.fixture(scope="module")
def sources() -> Sources:
    return read_sources(ROOT)


def changed(sources: Sources, module: str, line: str) -> Sources:
    """A twin in which one file has one more import."""
    tree = ast.parse(f"{line}\n{ast.unparse(sources[module])}")
    return {**sources, module: tree}


def test_every_file_is_read(sources: Sources) -> None:
    assert {"nestgen", "nestgen.errors", "nestgen.arch.spec"} <= set(sources)
    assert "nestgen.cli.build" in sources
    assert all(floor(module) >= 0 for module in sources if is_on_a_floor(module))


def is_on_a_floor(module: str) -> bool:
    return ours(module) and module.split(".")[1] != "kernels"


def test_every_file_looks_up(sources: Sources) -> None:
    assert looking_down(sources) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("nestgen.errors", "from nestgen.files import write_whole"),
        ("nestgen.arch.presets", "import nestgen.arch.spec"),
        ("nestgen.arch.graph", "from nestgen.arch import cost"),
        ("nestgen.arch.spec", "def f():\n    from nestgen.codegen import plan"),
        ("nestgen.codegen.plan", "if x:\n    from nestgen.cli import build"),
        ("nestgen.files", "try:\n    1\nexcept E:\n    import nestgen.arch.spec"),
        ("nestgen.codegen.plan", "import nestgen.kernels"),
    ],
)
def test_looking_down_is_seen(sources: Sources, module: str, line: str) -> None:
    assert len(looking_down(changed(sources, module, line))) == 1


def test_looking_beside_is_allowed_in_one_room(sources: Sources) -> None:
    line = "from nestgen.arch.families import FAMILIES"
    assert looking_down(changed(sources, "nestgen.arch.blocks", line)) == []


def test_no_circles(sources: Sources) -> None:
    assert cycles(sources) == []
    twin = changed(sources, "nestgen.codegen.names", "import nestgen.codegen.plan")
    assert cycles(twin) == [["nestgen.codegen.names", "nestgen.codegen.plan"]]


def test_the_upper_floors_never_reach_torch(sources: Sources) -> None:
    assert reaching_torch(sources) == []


@pytest.mark.parametrize(
    ("module", "line", "reaches"),
    [
        ("nestgen.arch.cost", "import torch", "torch"),
        ("nestgen.files", "def f():\n    from torch.nn import functional", "torch.nn"),
        ("nestgen.codegen.source", "from nestgen.codegen.load import build", "torch"),
        ("nestgen.drawing.dot", "import safetensors.torch", "safetensors.torch"),
    ],
)
def test_torch_is_seen_from_afar(
    sources: Sources, module: str, line: str, reaches: str
) -> None:
    assert f"{module} reaches {reaches}" in reaching_torch(
        changed(sources, module, line)
    )


def test_types_alone_do_not_load_torch(sources: Sources) -> None:
    line = "if TYPE_CHECKING:\n    import torch"
    assert reaching_torch(changed(sources, "nestgen.arch.cost", line)) == []


def test_commands_load_late(sources: Sources) -> None:
    assert heavy_commands(sources) == []
    twin = changed(sources, "nestgen.cli.build", "import pydantic")
    assert heavy_commands(twin) == ["nestgen.cli.build imports pydantic"]


def test_the_kernels_know_nothing_of_nestgen() -> None:
    for file in (ROOT / "kernels").glob("*.py"):
        tree = {"kernels": ast.parse(file.read_text(encoding="utf-8"))}
        found = [
            imported.module
            for imported in imports(tree, "kernels")
            if imported.module.startswith("nestgen")
            and not imported.module.startswith("nestgen.kernels")
        ]
        assert found == [], file
