"""Make `data/layer_norm.json`: layer normalisation of a row of small variance, where the epsilon decides the result.

usage: python make_layer_norm.py REPOSITORY      (needs torch)
"""
import json
import sys

import torch

WIDTH = 8
EPSILONS = [1e-6, 1e-5]


def main(repository):
    generator = torch.Generator().manual_seed(0)
    draw = lambda scale: torch.randn(WIDTH, generator=generator) * scale
    x = 0.25 + draw(2e-3)
    weight, bias = 1 + draw(0.1), draw(0.1)
    outputs = [torch.nn.functional.layer_norm(x, (WIDTH,), weight, bias, epsilon) for epsilon in EPSILONS]
    assert (outputs[0] - outputs[1]).abs().max() > 0.1
    golden = {"input": x.tolist(), "weight": weight.tolist(), "bias": bias.tolist()}
    golden["outputs"] = [{"epsilon": epsilon, "output": output.tolist()} for epsilon, output in zip(EPSILONS, outputs)]
    with open(f"{repository}/tests/golden/data/layer_norm.json", "w") as file:
        json.dump(golden, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
