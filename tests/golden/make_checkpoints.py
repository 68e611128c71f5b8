"""Files that PyTorch itself writes, of views and of older formats: `make_checkpoints.py OUT`.

Every file holds the same six tensors; `values.json` says what they are.
"""
import json
import os
import sys
from collections import OrderedDict

import torch


def tensors():
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 8
    return OrderedDict(
        plain=base.clone(),
        turned=base.t(),
        part=base[1:3, ::2],
        half=torch.nn.Parameter(base.half()),
        brain=base.bfloat16(),
        count=torch.tensor(7),
    )


def main(out):
    os.makedirs(out, exist_ok=True)
    torch.save(tensors(), f"{out}/zip.pt")
    torch.save(tensors(), f"{out}/legacy.pt", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "loss": 0.5, "name": "tiny", "state_dict": tensors()}, f"{out}/nested.pt")
    torch.save(tensors(), f"{out}/protocol4.pt", pickle_protocol=4)
    module = torch.nn.Linear(2, 1)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0, 2.0]]))
        module.bias.fill_(3.0)
    torch.save(module.state_dict(), f"{out}/module.pt")
    json.dump({k: dict(shape=list(v.shape), values=v.detach().float().flatten().tolist()) for k, v in tensors().items()}, open(f"{out}/values.json", "w"))


if __name__ == "__main__":
    main(*sys.argv[1:2])
