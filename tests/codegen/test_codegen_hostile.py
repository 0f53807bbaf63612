"""No text of a spec becomes code.

There are two walls: the spec refuses what could not stand in a docstring, and the
filters of the templates refuse it again. Each is tried alone.
"""

from __future__ import annotations

import ast
from typing import Any

import jinja2
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from nestgen.arch.spec import NestSpec
from nestgen.codegen.environment import environment
from nestgen.codegen.expressions import Code, identifier, literal, text
from nestgen.codegen.source import source
from nestgen.errors import SpecError

ATTACKS = [
    '"""; import os',
    '"""\nimport os\n"""',
    "'''\nimport os\n'''",
    '\\"""\nimport os',
    "x\nimport os",
    "x\rimport os",
    "\u2028import os",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "{# #}",
    "# noqa",
    "#}import os",
    "\\N{BULLET}",
    "\\",
    '"',
    "'",
    "A(nn.Module): pass\nimport os\nclass B",
    "__import__('os')",
    "os.system",
    "\u202e\u2066import os\u2069",
    "\0",
    "\ud800",
    "\U0001f9ec",
    "\ufeff",
    "\x1b[2J",
    "class",
    "None",
    "Node",
    "N\u0435tSpec",
    "%s {0} $x",
]
HOSTILE = st.lists(
    st.sampled_from(ATTACKS)
    | st.text(st.characters(exclude_categories=[]), max_size=3)
    | st.sampled_from(["A", "Net", " ", ""]),
    min_size=1,
    max_size=4,
).map("".join)
WORDS = ["family", "up", "concat"]
BLOCK = ["norm", "activation"]
SHAPES = st.sampled_from([{"depth": 1}, {"depth": 1, "family": "unet"}, {"depth": 2}])

many = settings(max_examples=2000, deadline=None)


def tree(spec: NestSpec) -> str:
    """The syntax tree of a spec's source, without what text may rightly change."""
    parsed = ast.parse(source(spec))
    assert isinstance(parsed.body.pop(0), ast.Expr), "the docstring comes first"
    for node in ast.walk(parsed):
        if isinstance(node, ast.ClassDef) and node.name == spec.class_name:
            node.name = "Net"
        if isinstance(node, ast.Name) and node.id == spec.class_name:
            node.id = "Net"
    return ast.dump(parsed)


HARMLESS = {
    shape: tree(NestSpec(**dict(shape)))
    for shape in [
        (("depth", 1),),
        (("depth", 1), ("family", "unet")),
        (("depth", 2),),
    ]
}


USED = {
    node.name if isinstance(node, ast.ClassDef) else node.id
    for node in ast.walk(ast.parse(source(NestSpec(depth=1, name="Unused"))))
    if isinstance(node, (ast.ClassDef, ast.Name))
}
"""Names that mean something else in the file; that they are taken the spec knows."""


def is_harmless(spec: NestSpec, shape: dict[str, Any]) -> bool:
    """Whether the source is that of a spec without text, or is refused."""
    try:
        return tree(spec) == HARMLESS[tuple(sorted(shape.items()))]
    except SpecError:
        return True
    except SyntaxError:
        return False


@many
@given(
    shape=SHAPES,
    given_text=st.dictionaries(st.sampled_from(["name", "title"]), HOSTILE, min_size=1),
)
@example(shape={"depth": 1}, given_text={"title": "{{ 7 * 7 }} # '''"})
@example(shape={"depth": 1}, given_text={"name": "Netos"})
def test_an_accepted_spec_has_the_harmless_source(
    shape: dict[str, Any], given_text: dict[str, str]
) -> None:
    try:
        spec = NestSpec(**shape, **given_text)
    except SpecError:
        return
    assert is_harmless(spec, shape)
    source(spec).encode("utf-8")


@many
@given(
    shape=SHAPES,
    given_text=st.dictionaries(st.sampled_from(["name", "title"]), HOSTILE, min_size=1),
)
def test_the_filters_hold_without_the_spec(
    shape: dict[str, Any], given_text: dict[str, str]
) -> None:
    """What no spec would accept is put into one by force."""
    forced = NestSpec(**shape).model_copy(update=given_text)
    assume(forced.name not in USED)
    assert is_harmless(forced, shape)


@settings(max_examples=300, deadline=None)
@given(field=st.sampled_from([*WORDS, *BLOCK, "extra", "text itself"]), words=HOSTILE)
def test_hostile_words_are_refused_in_one_line(field: str, words: str) -> None:
    fields: dict[str, dict[str, Any]] = {
        "extra": {"extra": words},
        "text itself": {words: 1},
        **{name: {"block": {name: words}} for name in BLOCK},
    }
    with pytest.raises(SpecError) as caught:
        NestSpec(**fields.get(field, {field: words}))
    assert len(str(caught.value).splitlines()) == 1


def test_without_the_filter_code_comes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    shape: dict[str, Any] = {"depth": 1}
    forced = NestSpec(**shape).model_copy(update={"title": ATTACKS[1]})
    with pytest.raises(SpecError, match=r"cannot stand in a docstring$"):
        source(forced)
    monkeypatch.setitem(environment().filters, "text", Code)
    assert "\nimport os\n" in source(forced)
    assert not is_harmless(forced, shape)


@pytest.mark.parametrize(
    "template",
    [
        "{{ value }}",
        "{{ value | upper }}",
        "{{ 'x' ~ (value | text) }}",
        "{{ (value | text) + 'x' }}",
        "{{ 3 }}",
        "{{ [value] | join }}",
    ],
)
def test_a_value_without_a_filter_is_refused(template: str) -> None:
    with pytest.raises(SpecError, match=r"^a template prints .* without a filter$"):
        environment().from_string(template).render(value="x")


def test_a_name_that_is_not_there_is_refused() -> None:
    for template in (
        "{{ nothing }}",
        "{{ nothing | text }}",
        "{% if nothing %}{% endif %}",
    ):
        with pytest.raises(jinja2.UndefinedError):
            environment().from_string(template).render()


@pytest.mark.parametrize(
    "value", ["", "a b", "a.b", "1a", "class", "x\n", "größe", ".a", "a;b", None]
)
def test_what_is_no_name(value: object) -> None:
    with pytest.raises(SpecError, match=r"is no Python name$"):
        identifier(value)


@pytest.mark.parametrize("value", ["1", None, 1j, [1], Code("1"), b"1"])
def test_what_is_no_number(value: object) -> None:
    with pytest.raises(SpecError, match=r"is no number$"):
        literal(value)


@pytest.mark.parametrize("value", ["\n", "\\", 'a"""', "\0", "\u202e", "\u2028"])
def test_what_is_no_line(value: str) -> None:
    with pytest.raises(SpecError, match=r"cannot stand in a docstring$"):
        text(value)
