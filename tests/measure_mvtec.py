"""Measure the inspect example on one class in MVTec-AD layout: image and pixel AUROC, and right verdicts, at some numbers of normals.

usage: python measure_mvtec.py INSPECT CLASS_DIR [--shots 0 1 4 16] [--rounds 5] [--like REPORT.json]
       (needs numpy, scikit-learn, tifffile, pillow)

INSPECT is the built example (target/release/examples/inspect). CLASS_DIR holds train/good, test/KIND and ground_truth/KIND with masks
NAME_mask.png. Round 0 takes the first normals in the order of their names; further rounds draw theirs with the seeds 1, 2, 3, ..., and a
seed that gives the normals of a round before is passed over, as the evaluate example does. (At 1 of 60 the seeds 3 and 4 give the same.)
--like takes the rounds' normals from a report of that example on the same class, so that both measure the same. 0 normals compare with
text alone. Pixels are those of the photographs, all of them, pooled over all images; a mask's pixel counts as anomalous above 0.
"""
import argparse
import json
import math
import pathlib
import random
import subprocess
import tempfile

import numpy as np
import tifffile
from PIL import Image
from sklearn.metrics import roc_auc_score


def mask_of(root, image, size):
    kind = image.parent.name
    if kind == "good":
        return np.zeros(size, bool)
    return np.asarray(Image.open(root / "ground_truth" / kind / f"{image.stem}_mask.png").convert("L")) > 0


def measure(inspect, root, normals, describe):
    with tempfile.TemporaryDirectory() as maps:
        command = [inspect, str(root / "test"), "--json", "--map", maps]
        command += ["--normal", *map(str, normals)] if normals else []
        command += ["--describe", describe] if describe else []
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        results = [json.loads(line) for line in lines]
        scores, labels, values, truths, right = [], [], [], [], {False: [], True: []}
        for result in results:
            image = pathlib.Path(result["file"])
            map_ = tifffile.imread(pathlib.Path(maps) / image.parent.name / f"{image.stem}.tiff")
            anomalous = image.parent.name != "good"
            scores.append(result["score"])
            labels.append(anomalous)
            values.append(map_.ravel())
            truths.append(mask_of(root, image, map_.shape).ravel())
            right[anomalous].append((result["verdict"] == "anomalous") == anomalous)
        return (roc_auc_score(labels, scores), roc_auc_score(np.concatenate(truths), np.concatenate(values)), np.mean(right[False]),
                np.mean(right[True]), np.mean(right[False] + right[True]))


def draws(normals, shots, rounds):
    """One list of normals a round, each another set while there are other sets."""
    chosen, before, seed = [normals[:shots]], {frozenset(normals[:shots])}, 0
    while len(chosen) < rounds:
        seed += 1
        drawn = random.Random(seed).sample(normals, shots)
        if frozenset(drawn) not in before or len(before) >= math.comb(len(normals), shots):
            before.add(frozenset(drawn))
            chosen.append(drawn)
    return chosen


def draws_like(report, root, shots):
    """The normals of each round of a report, whose names are relative to the class's folder or to the one above it."""
    rounds = next((method["rounds"] for method in report["methods"] if method["shots"] == shots), None)
    if rounds is None:
        raise SystemExit(f"the report has no rounds with {shots} normals")
    prefix = root.resolve().name + "/"
    return [[root / name.removeprefix(prefix) for name in one["normals"]] for one in rounds]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inspect")
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("--shots", type=int, nargs="+", default=[0, 1, 4, 16])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--describe")
    parser.add_argument("--like", type=pathlib.Path)
    arguments = parser.parse_args()
    normals = sorted((arguments.root / "train" / "good").iterdir())
    names = ("image AUROC", "pixel AUROC", "right on good", "right on bad", "right in all")
    report = json.loads(arguments.like.read_text()) if arguments.like else None
    for shots in arguments.shots:
        rounds = []
        drawn = draws_like(report, arguments.root, shots) if report else draws(normals, shots, arguments.rounds if shots else 1)
        for number, chosen in enumerate(drawn):
            rounds.append(measure(arguments.inspect, arguments.root, chosen, arguments.describe))
            print(f"{shots} normals, round {number}:", *(f"{name} {100 * value:.1f}" for name, value in zip(names, rounds[-1])), flush=True)
        mean = np.mean(rounds, axis=0)
        print(f"{shots} normals, mean of {len(rounds)}:", *(f"{name} {100 * value:.1f}" for name, value in zip(names, mean)), flush=True)


if __name__ == "__main__":
    main()
