"""Cut what the tests of the published model need out of the golden set `tiny-a`.

usage: python make_published.py REFERENCE_DIR GOLDEN_DIR OUT_DIR      (needs torch, safetensors, sentencepiece, open_clip_torch)

REFERENCE_DIR holds `anomalygpt_ref.py`, the PyTorch reference; GOLDEN_DIR is the folder that its `make_golden.py` wrote.
ImageBind keeps all of its tensors, but of the token embedding only the rows that the cases' sentences use; the others are 0.
Maps [1, 1, 224, 224] are kept at every seventh row and column (`NAME.every7`). `vicuna/` and `head.safetensors.gz` come
from the other scripts.
"""
import gzip
import json
import os
import shutil
import sys

import torch
from safetensors.torch import load_file, save


def main(reference, golden, out):
    sys.path.insert(0, reference)
    import anomalygpt_ref as R
    expected = load_file(f"{golden}/expected.safetensors")
    described = json.load(open(f"{golden}/expected.json"))
    tokenize = R.ClipText(f"{golden}/../clip/bpe_simple_vocab_16e6.txt.gz")
    classes = {case["class"] for case in described["cases"]} | set(described["ensemble"])
    ids = torch.cat([tokenize(sentences).flatten() for name in sorted(classes) for sentences in R.ensemble_sentences(name)])

    imagebind = torch.load(f"{golden}/pretrained_ckpt/imagebind_ckpt/imagebind_huge.pth", map_location="cpu", weights_only=True)
    embedding = imagebind["modality_preprocessors.text.token_embedding.weight"]
    unused = torch.ones(len(embedding), dtype=torch.bool)
    unused[ids.unique()] = False
    embedding[unused] = 0
    pack(imagebind, f"{out}/imagebind.safetensors.gz")

    kept = {name: tensor for name, tensor in expected.items() if name.split(".")[0] in ("embedding", "decoded", "text_ids", "text_features", "text_sentence_embeddings", "case")}
    kept |= {name: tensor for name, tensor in expected.items() if name.startswith("train.") and (".inputs" in name or ".grad." in name)}
    for name in [name for name in kept if name.endswith(".map")]:
        kept[f"{name}.every7"] = kept.pop(name)[:, :, ::7, ::7]
    few_shot = expected["train.few_shot_map"]
    kept["train.few_shot_map"] = few_shot
    pack(kept, f"{out}/published.safetensors.gz")

    more = {name: described[name] for name in ("clip", "ensemble")}
    json.dump(more, open(f"{out}/clip.json", "w"), ensure_ascii=False, indent=1)
    shutil.copyfile(f"{golden}/pretrained_ckpt/pandagpt_ckpt/7b/pytorch_model.pt", f"{out}/panda.pt")
    for name in ("defect.png", "normal_1.png"):
        shutil.copyfile(f"{golden}/images/{name}", f"{out}/images/{name}")
    print("bytes in all:", sum(os.path.getsize(os.path.join(d, f)) for d, _, fs in os.walk(out) for f in fs))


def pack(tensors, path):
    open(path, "wb").write(gzip.compress(save({name: tensor.contiguous() for name, tensor in tensors.items()}), 9, mtime=0))


if __name__ == "__main__":
    main(*sys.argv[1:4])
