"""`nestgen demo` from end to end at toy scale, and the page that it leaves."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from nestgen.checkpoint import load
from nestgen.cli import choosing, demo, levels, predict, prune, train
from nestgen.codegen.load import spec_of
from nestgen.codegen.source import source
from nestgen.demo.page import TINTS, Result, compare, write_page
from nestgen.demo.run import Folder, Scale, label_images, next_commands, one_thread
from nestgen.errors import OutputError
from nestgen.imaging.masks import read_mask
from nestgen.imaging.pairs import find_pairs
from nestgen.inference.predict import predict_file
from nestgen.training.evaluate import evaluate

TOY = Scale(
    images={"train": 2, "val": 2, "test": 2},
    side=32,
    depth=2,
    width=2,
    patch=16,
    epochs=1,
    batch_size=1,
    rounds=1,
)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Folder, Result]:
    folder = Folder(tmp_path_factory.mktemp("toy") / "demo")
    return folder, demo.run(folder, TOY, seed=0)


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


class Page(HTMLParser):
    """The tags of a page, closed in the order in which they were opened."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def links(self) -> Iterator[str]:
        for _, attributes in self.tags:
            for name in ("href", "src"):
                if name in attributes:
                    yield attributes[name] or ""


def test_a_demo_leaves_what_it_says(done: tuple[Folder, Result]) -> None:
    folder, result = done
    (level,) = result.report.chosen.heads
    names = {path.name for path in folder.path.iterdir()}
    assert names == {
        "data",
        "run",
        "masks",
        "pictures",
        "index.html",
        "levels.png",
        "levels.svg",
        "network.png",
        "network.svg",
        f"model-L{level}.pt",
        f"model_L{level}.py",
    }
    log = (folder.run / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in log] == [1]
    for path in folder.path.rglob("*.png"):
        with Image.open(path) as image:
            image.verify()


def test_the_cut_is_the_whole_networks_level(done: tuple[Folder, Result]) -> None:
    folder, result = done
    (level,) = result.report.chosen.heads
    whole, small = load(folder.model), load(folder.cut(level))
    x = torch.randn(1, 1, 32, 32)
    assert torch.equal(small(x), whole(x)[f"L{level}"])
    assert folder.source(level).read_text() == source(spec_of(small))


def test_masks_are_what_the_cut_network_predicts(done: tuple[Folder, Result]) -> None:
    folder, result = done
    small = load(folder.cut(result.report.chosen.heads[0]))
    for pair in find_pairs(folder.data / "test"):
        written = read_mask(folder.masks / f"{pair.name}.png")
        assert np.array_equal(written > 0, predict_file(small, pair.image).labels > 0)
        assert (folder.masks / "overlays" / f"{pair.name}.png").exists()


def test_test_scores_are_those_of_an_evaluation(done: tuple[Folder, Result]) -> None:
    folder, result = done
    model = load(folder.model)
    scores = evaluate(model, find_pairs(folder.data / "test"))
    for level, found in result.test_scores().items():
        assert np.array_equal(found.counts, scores[f"L{level}"].counts)


def test_every_link_leads_to_a_file_in_the_folder(done: tuple[Folder, Result]) -> None:
    folder, _ = done
    links = list(Page(folder.index.read_text()).links())
    assert len(links) > 10
    for link in links:
        assert not re.match(r"[a-z]+:|/", link), link
        assert (folder.path / link).exists(), link


def test_the_page_loads_nothing_and_runs_nothing(done: tuple[Folder, Result]) -> None:
    text = done[0].index.read_text()
    page = Page(text)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert not [name for _, names in page.tags for name in names if name[:2] == "on"]
    assert "url(" not in text
    assert "@import" not in text
    assert all(names.get("alt") for tag, names in page.tags if tag == "img")


def test_the_page_says_what_was_found(done: tuple[Folder, Result]) -> None:
    folder, result = done
    page = Page(folder.index.read_text())
    assert result.headline in page.words
    assert result.proof.statement in page.words
    for line in next_commands():
        assert line in page.words
    for level in result.report.levels:
        assert f"{level.scores.mean_iou:.3f}" in page.words
        assert f"{level.cost.parameters:,}" in page.words


def test_a_hostile_title_stays_text(
    done: tuple[Folder, Result], tmp_path: Path
) -> None:
    hostile = "</title><script>alert('x')</script> \"&\" <img src=http://a onerror=b>"
    write_page(dataclasses.replace(done[1], title=hostile), Folder(tmp_path))
    text = (tmp_path / "index.html").read_text()
    page = Page(text)
    assert page.words.count(hostile) == 2
    assert "script" not in {tag for tag, _ in page.tags}
    assert "<img src=http" not in text


@pytest.mark.parametrize("level", [1, 2])
def test_the_headline_fits_the_choice(done: tuple[Folder, Result], level: int) -> None:
    result = done[1]
    choice = dataclasses.replace(result.report.choice, level=f"L{level}")
    report = dataclasses.replace(result.report, choice=choice)
    iou = f"IoU {report.levels[level - 1].scores.mean_iou:.3f}"
    small = dataclasses.replace(result.proof.after, parameters=100)
    whole = dataclasses.replace(result.proof.before, parameters=1800)
    proof = dataclasses.replace(result.proof, before=whole, after=small)
    headline = dataclasses.replace(result, report=report, proof=proof).headline
    assert (
        headline
        == {
            1: f"L1 is enough: {iou} at 1/18 of the parameters",
            2: f"Nothing less than L2 is enough: {iou} with all parameters",
        }[level]
    )


def test_a_comparison_tells_the_four_cases_apart() -> None:
    found, truth = np.array([[1, 0], [1, 0]]), np.array([[1, 1], [0, 0]])
    picture = compare(np.zeros((1, 2, 2)), found, truth).reshape(4, 3)
    expected = [np.rint(share * colour) for _, colour, share in TINTS]
    assert np.array_equal(picture, [*expected, [0, 0, 0]])


def test_label_images_gives_each_level_its_own(done: tuple[Folder, Result]) -> None:
    folder, _ = done
    model, pairs = load(folder.model), find_pairs(folder.data / "test")
    labels = label_images(model, pairs)
    assert list(labels) == [1, 2]
    image = torch.zeros(1, 1, 32, 32)
    assert set(model(image)) == {"L1", "L2"}  # the model itself is not cut
    assert all(len(found) == len(pairs) for found in labels.values())


def test_what_is_there_is_not_overwritten_without_force(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    before = everything(tmp_path)
    result = CliRunner().invoke(demo.command, ["-o", str(tmp_path)])
    assert isinstance(result.exception, OutputError)
    assert "is not empty; --force" in str(result.exception)
    assert everything(tmp_path) == before


def test_a_file_is_no_folder_even_with_force(tmp_path: Path) -> None:
    file = tmp_path / "demo"
    file.write_text("mine")
    with pytest.raises(OutputError, match="is a file"):
        demo.run(Folder(file), TOY, 0, force=True)
    assert file.read_text() == "mine"


def test_an_empty_folder_is_taken_and_a_full_one_with_force(tmp_path: Path) -> None:
    Folder(tmp_path).check(force=False)
    (tmp_path / "mine.txt").write_text("mine")
    Folder(tmp_path).check(force=True)


def test_a_second_run_says_its_steps_and_comes_to_the_same(
    done: tuple[Folder, Result], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Folder(tmp_path)
    result = demo.run(folder, TOY, 0)
    out, err = capsys.readouterr()
    assert re.findall(r"^\[(\d)/5\]", err, re.MULTILINE) == ["1", "2", "3", "4", "5"]
    assert choosing.in_words(result.report) in out
    assert str(folder.index) in out
    assert all(line in out for line in next_commands())
    assert folder.model.read_bytes() == done[0].model.read_bytes()


def test_the_seed_reaches_the_training() -> None:
    assert [TOY.settings(seed).seed for seed in (0, 3)] == [0, 3]


def test_the_next_commands_are_commands() -> None:
    known: dict[str, Any] = {
        "train": train.command,
        "levels": levels.command,
        "prune": prune.command,
        "predict": predict.command,
    }
    lines = [line.split() for line in next_commands()]
    assert [line[:2] for line in lines] == [["nestgen", name] for name in known]
    for _, name, *arguments in lines:
        known[name].make_context(name, arguments)


def test_one_thread_gives_the_others_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
