"""A small case of the token losses, as PyTorch computes them.

usage: python make_loss.py OUT_DIR      (needs torch)

The loss is the reference's: logits without the last position, targets without the first, -100 ignored. So is the accuracy,
which leaves out one more position at the start (the first token's target is always ignored).
"""
import json
import sys

import torch
import torch.nn.functional as F

torch.manual_seed(3)
BATCH, LENGTH, VOCABULARY = 2, 6, 7
logits = (3 * torch.randn(BATCH, LENGTH, VOCABULARY)).round(decimals=3)
targets = torch.randint(0, VOCABULARY, (BATCH, LENGTH))
targets[0, :2], targets[1, :3], targets[1, 5] = -100, -100, -100
targets[0, 3] = logits[0, 2].argmax()
targets[1, 4] = logits[1, 3].argmax()
ok = targets[:, 2:] != -100
json.dump({
    "shape": list(logits.shape),
    "logits": [round(x, 3) for x in logits.flatten().tolist()],
    "targets": targets.flatten().tolist(),
    "cross_entropy": F.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten(), ignore_index=-100).item(),
    "accuracy": ((logits.argmax(-1)[:, 1:-1] == targets[:, 2:]) & ok).sum().item() / ok.sum().item(),
}, open(f"{sys.argv[1]}/loss.json", "w"), indent=1)
