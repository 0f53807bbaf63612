"""How often the level that is chosen is good enough on images it was not chosen by.

    python benchmarks/choice.py --runs RUNS --data DATA

RUNS has a folder for each network, RUNS/*/model.pt; DATA has val/ and test/, of which
the networks have seen neither. Each network's level is chosen on val and looked at on
test, by its mean there and by the test with which it was chosen.

Then val and test of each network together are taken for all the images there are, so
that the truth is known, and the choice is repeated on images drawn from them: how often
does it take a level that truly lacks the margin or more? And in the worst case, where
the margin is just what the cheapest level truly lacks, how often does that one pass?
Beside it stands the rule that looks at means alone: the cheapest level whose mean is
within the margin.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from nestgen.arch.choices import Mode
from nestgen.arch.cost import default_size, graph_cost
from nestgen.arch.graph import NestGraph
from nestgen.arch.heads import heads_name
from nestgen.checkpoint import load
from nestgen.cli.tables import show_table
from nestgen.codegen.load import spec_of
from nestgen.files import write_whole
from nestgen.imaging.pairs import find_pairs
from nestgen.machine import describe_machine
from nestgen.training.choice import choose_level, compare
from nestgen.training.evaluate import evaluate
from nestgen.training.levels import groups_of, measured_groups

ROOT = Path(__file__).parents[1]
MODES: tuple[Mode, ...] = ("fast", "accurate")
SPLITS = ("val", "test")
MARGINS = (0.005, 0.01, 0.02)
MARGIN = 0.01
DRAWN = (20, 60, 120)
"""Images in a draw."""

Table = dict[str, NDArray[np.float64]]
"""IoU [N] by level."""


class Network:
    """One trained network: what each level is worth on both splits."""

    def __init__(self, file: Path, data: Path) -> None:
        model = load(file)
        self.name, self.graph = file.parent.name, NestGraph(spec_of(model))
        self.splits = {split: self._iou(model, data / split) for split in SPLITS}

    def _iou(self, model: nn.Module, folder: Path) -> Table:
        groups = measured_groups(self.graph.levels, "accurate")
        found = evaluate(model, find_pairs(folder), groups=groups)
        return {name: scores.iou for name, scores in found.items()}

    def table(self, split: str, mode: Mode) -> Table:
        """What is chosen among, from the cheapest."""
        names = map(heads_name, groups_of(self.graph.levels, mode))
        return {name: self.splits[split][name] for name in names}

    def parameters(self, mode: Mode) -> dict[str, int]:
        size = default_size(self.graph)
        groups = groups_of(self.graph.levels, mode)
        return {
            heads_name(group): graph_cost(self.graph.cut(group), size).parameters
            for group in groups
        }


def chosen(network: Network, mode: Mode, margin: float) -> dict[str, Any]:
    """The choice on val, and what it is on test."""
    choice = choose_level(network.table("val", mode), margin)
    later = compare(network.table("test", mode))[choice.level]
    parameters = network.parameters(mode)
    return {
        "network": network.name,
        "level": choice.level,
        "best_on_val": choice.best,
        "undecided": choice.undecided,
        "of_all_parameters": round(
            parameters[choice.level] / max(parameters.values()), 4
        ),
        "on_val": choice.differences[choice.level].to_plain(),
        "on_test": later.to_plain(),
        "verdict_on_test": later.verdict(margin),
    }


def summary(networks: Sequence[Network], mode: Mode, margin: float) -> dict[str, Any]:
    """All networks under one rule."""
    rows = [chosen(network, mode, margin) for network in networks]
    verdicts = Counter(row["verdict_on_test"] for row in rows)
    return {
        "mode": mode,
        "margin": margin,
        "networks": len(rows),
        "levels": dict(sorted(Counter(row["level"] for row in rows).items())),
        "mean_within_margin_on_test": sum(
            row["on_test"]["mean"] > -margin for row in rows
        ),
        "verdicts_on_test": dict(verdicts),
        "worst_mean_on_test": round(min(row["on_test"]["mean"] for row in rows), 4),
        "median_of_all_parameters": statistics.median(
            row["of_all_parameters"] for row in rows
        ),
        "choices": rows,
    }


def by_means(scores: Mapping[str, NDArray[np.float64]], margin: float) -> str:
    """The cheapest level whose mean is within the margin of the best one's."""
    means = {name: values.mean() for name, values in scores.items()}
    return next(
        name for name, mean in means.items() if mean > max(means.values()) - margin
    )


def drawn(networks: Sequence[Network], images: int, draws: int) -> dict[str, Any]:
    """How often either rule takes a level that truly lacks the margin or more."""
    wrong, smaller, worst = Counter[str](), Counter[str](), Counter[str]()
    for number, network in enumerate(networks):
        splits = [network.table(split, "fast") for split in SPLITS]
        pool = {
            name: np.concatenate([one[name] for one in splits]) for name in splits[0]
        }
        truth = {name: values.mean() for name, values in pool.items()}
        total = len(next(iter(pool.values())))
        cheapest, *_, whole = truth
        lacks = max(truth.values()) - truth[cheapest]
        chance = np.random.default_rng((number, images))
        for _ in range(draws):
            places = chance.integers(total, size=images)
            scores = {name: values[places] for name, values in pool.items()}
            choice = choose_level(scores, MARGIN)
            taken = {"test": choice.level, "means": by_means(scores, MARGIN)}
            found = choice.differences[cheapest]
            worst["test"] += found.verdict(lacks) == "non-inferior"
            worst["means"] += found.mean > -lacks
            for rule, level in taken.items():
                wrong[rule] += truth[level] <= max(truth.values()) - MARGIN
                smaller[rule] += level != whole
    trials = draws * len(networks)
    return {
        "images": images,
        "trials": trials,
        "margin": MARGIN,
        **{
            f"{what}_by_{rule}": round(counts[rule] / trials, 4)
            for what, counts in (
                ("inferior", wrong),
                ("smaller", smaller),
                ("worst_case", worst),
            )
            for rule in ("test", "means")
        },
    }


def show(report: dict[str, Any]) -> None:
    """Both tables."""
    whats = ("inferior", "smaller", "worst_case")
    show_table(
        ["mode", "margin", "chosen", "mean within margin", "verdicts on test", "worst"],
        [
            [
                row["mode"],
                f"{row['margin']:g}",
                ", ".join(f"{name} {n}" for name, n in row["levels"].items()),
                f"{row['mean_within_margin_on_test']} of {row['networks']}",
                ", ".join(f"{n} {name}" for name, n in row["verdicts_on_test"].items()),
                f"{row['worst_mean_on_test']:+.4f}",
            ]
            for row in report["rules"]
        ],
        title="chosen on val, looked at on test",
    )
    show_table(
        ["images", *(f"{what}{by}" for what in whats for by in ("", ", by means"))],
        [
            [
                str(row["images"]),
                *(
                    f"{row[f'{what}_by_{rule}']:.1%}"
                    for what in whats
                    for rule in ("test", "means")
                ),
            ]
            for row in report["drawn"]
        ],
        title=f"{report['drawn'][0]['trials']} draws from val and test together, "
        f"margin {MARGIN:g}",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="How good is the chosen level?")
    results = ROOT / "benchmarks" / "results" / "choice-nuclei96.json"
    parser.add_argument("--runs", type=Path, required=True, help="networks of one kind")
    parser.add_argument("--data", type=Path, required=True, help="val/ and test/")
    parser.add_argument("--draws", type=int, default=50, help="from each network's")
    parser.add_argument("--output", type=Path, default=results)
    options = parser.parse_args(arguments)
    machine = describe_machine(["numpy", "torch"])
    files = sorted(options.runs.glob("*/model.pt"))
    networks = [Network(file, options.data) for file in files]
    report = {
        "command": f"python benchmarks/choice.py --runs RUNS --data "
        f"{options.data.name} --draws {options.draws}",
        "machine": machine,
        "network": networks[0].graph.spec.label,
        "images": {
            split: len(next(iter(networks[0].splits[split].values())))
            for split in SPLITS
        },
        "mean_iou": {
            split: {
                name: round(
                    statistics.fmean(
                        float(network.splits[split][name].mean())
                        for network in networks
                    ),
                    4,
                )
                for name in networks[0].splits[split]
            }
            for split in SPLITS
        },
        "rules": [
            summary(networks, mode, margin) for mode in MODES for margin in MARGINS
        ],
        "drawn": [drawn(networks, images, options.draws) for images in DRAWN],
    }
    write_whole(options.output, json.dumps(report, indent=2) + "\n")
    show(report)


if __name__ == "__main__":
    main()
