"""Networks that stop per image, held against every fixed level and against an oracle.

    python benchmarks/anytime.py --runs RUNS --data DATA [--loss 0.005 0.01 0.02]

RUNS has a folder for each trained network with its `model.pt`, DATA the folders `val`,
which no network was trained on and on which each is calibrated, and `test`, on which
all is measured. Times are of batches; all ways take turns, so that they can be compared
with each other on a busy machine too. Written are the results and a plot of the means.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from torch import nn

from nestgen.checkpoint import load
from nestgen.cli.tables import scaled, show_table
from nestgen.files import write_whole
from nestgen.imaging.pairs import Pair, find_pairs
from nestgen.inference.calibrate import best, candidates, stops
from nestgen.inference.look import look
from nestgen.inference.plot import plot_ways
from nestgen.inference.tradeoff import Way, compare_ways
from nestgen.machine import describe_machine

RESULTS = Path(__file__).parent / "results"
PACKAGES = ["numpy", "torch"]


def measure(
    model: Path,
    val: Sequence[Pair],
    test: Sequence[Pair],
    options: argparse.Namespace,
) -> tuple[dict[str, Any], list[Way]]:
    """One network: its rules from `val`, one for each loss, and all ways on `test`."""
    network = load(model)
    seen = look(network, val)
    rules = {
        f"rule {loss:g}": best(candidates(seen, network, loss, options.confidence))
        for loss in options.loss
    }
    ways = compare_ways(
        network, test, look(network, test), rules, rounds=options.rounds
    )
    lost = {way.name: way.loss for way in ways}
    told = {
        "run": model.parent.name,
        "rules": {
            name: {
                "signal": rule.signal,
                "threshold": rule.threshold,
                "promised": rule.loss,
                "lost_on_test": round(lost[name], 5),
                "held": lost[name] <= rule.loss,
            }
            for name, rule in rules.items()
        },
        "splits": split_anew(network, [*val, *test], len(val), options),
        "ways": [rounded(way) for way in ways],
    }
    return told, ways


def split_anew(
    network: nn.Module,
    pairs: Sequence[Pair],
    calibrating: int,
    options: argparse.Namespace,
) -> dict[str, dict[str, float]]:
    """How often each promise holds where other images calibrate and others measure.

    All images are drawn into two parts again and again, the first as large as the
    validation part; the mean loss on the second says whether the promise held.
    """
    seen, found = look(network, pairs), {}
    for loss in options.loss:
        lost = []
        for split in range(options.splits):
            order = np.random.default_rng(split).permutation(len(seen)).tolist()
            told, held = (
                seen.part(order[:calibrating]),
                seen.part(order[calibrating:]),
            )
            rule = best(candidates(told, network, loss, options.confidence))
            place = stops(rule, held)
            iou = held.iou[np.arange(len(held)), place]
            lost.append(float((held.iou[:, -1] - iou).mean()))
        found[f"rule {loss:g}"] = {
            "held": sum(one <= loss for one in lost),
            "splits": options.splits,
            "mean_lost": round(mean(lost), 5),
            "most_lost": round(max(lost), 5),
        }
    return found


def rounded(way: Way) -> dict[str, Any]:
    digits = {"iou": 4, "loss": 4, "macs": 0, "milliseconds": 3}
    plain = way.to_plain()
    return {**plain, **{name: round(plain[name], n) for name, n in digits.items()}}


def averaged(runs: Sequence[Sequence[Way]]) -> list[Way]:
    """For each way the means over the networks; of `stopped` the sums."""
    return [
        Way(
            name=same[0].name,
            kind=same[0].kind,
            iou=mean(way.iou for way in same),
            loss=mean(way.loss for way in same),
            macs=mean(way.macs for way in same),
            milliseconds=mean(way.milliseconds for way in same),
            stopped={k: sum(w.stopped[k] for w in same) for k in same[0].stopped},
        )
        for same in zip(*runs, strict=True)
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure networks that stop early.")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    promises = [0.005, 0.01, 0.02]
    parser.add_argument("--loss", type=float, nargs="+", default=promises)
    parser.add_argument("--confidence", type=float, default=0.9)
    parser.add_argument("--splits", type=int, default=30, help="drawn of all images")
    parser.add_argument("--rounds", type=int, default=3, help="of times, after two")
    parser.add_argument(
        "--output", type=Path, default=RESULTS / "anytime-nuclei96.json"
    )
    options = parser.parse_args(arguments)
    models = sorted(options.runs.glob("*/model.pt"))
    val, test = find_pairs(options.data / "val"), find_pairs(options.data / "test")
    before = describe_machine(PACKAGES)
    seeds, all_ways = [], []
    for model in models:
        told, ways = measure(model, val, test, options)
        seeds.append(told)
        all_ways.append(ways)
        lost = {name: rule["lost_on_test"] for name, rule in told["rules"].items()}
        print(told["run"], lost, flush=True)
    means = averaged(all_ways)
    held = {
        name: sum(told["rules"][name]["held"] for told in seeds)
        for name in seeds[0]["rules"]
    }
    report = {
        "command": "python benchmarks/anytime.py --runs RUNS --data DATA "
        f"--loss {' '.join(map(str, options.loss))} "
        f"--confidence {options.confidence:g} --rounds {options.rounds} "
        f"--splits {options.splits}",
        "machine": {**before, "threads": torch.get_num_threads()},
        "images": {"val": len(val), "test": len(test)},
        "confidence": options.confidence,
        "held": held,
        "networks": len(seeds),
        "means": [rounded(way) for way in means],
        "runs": seeds,
    }
    write_whole(options.output, json.dumps(report, indent=2) + "\n")
    title = f"{len(seeds)} networks, {len(test)} test images"
    plot_ways(means, options.output.with_suffix(".png"), title, max(options.loss))
    show_table(
        ["", "IoU", "lost", "MACs", "ms"],
        [
            [
                way.name,
                f"{way.iou:.4f}",
                f"{way.loss:+.4f}",
                scaled(way.macs),
                f"{way.milliseconds:.2f}",
            ]
            for way in means
        ],
        title=title,
    )
    for name, number in held.items():
        print(f"{name}: the promise held for {number} of {len(seeds)}")


if __name__ == "__main__":
    main()
