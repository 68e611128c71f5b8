"""Cut what the tests need out of the golden set `tiny-a`, and compute the features that its losses start from.

usage: python make_subset.py REFERENCE_DIR GOLDEN_DIR OUT_DIR      (needs torch, safetensors, sentencepiece, open_clip_torch)

REFERENCE_DIR holds `anomalygpt_ref.py`, the PyTorch reference; GOLDEN_DIR is the folder that its `make_golden.py` wrote.
Every tensor keeps the name it has there. LoRA is merged into the projections, as the reference does at load. Maps
[1, 1, 224, 224] are kept at every seventh row and column (`NAME.every7`), to stay small.
"""
import gzip
import json
import os
import shutil
import sys

import torch
from safetensors.torch import load_file, save, save_file

IMAGES = ("gray16.png", "gray8_upscaled.png", "palette.png", "normal_2.jpg")
WANTED = ("text_features.bottle", "case.zero_shot.map", "case.zero_shot.prompts", "case.zero_shot.inputs", "case.zero_shot.logits", "case.zero_shot.text",
          "case.few_shot_1.map", "case.history.inputs", "case.history.logits", "embedding.defect.png", "train.masks.targets", "train.masks.keep")


def main(reference, golden, out):
    sys.path.insert(0, reference)
    import anomalygpt_ref as R
    os.makedirs(f"{out}/images", exist_ok=True)
    expected = load_file(f"{golden}/expected.safetensors")
    described = json.load(open(f"{golden}/expected.json"))
    manifest = json.load(open(f"{golden}/manifest.json"))
    load = lambda path: {k: v.detach() for k, v in torch.load(f"{golden}/{path}", map_location="cpu", weights_only=True).items()}

    panda, delta = load("pretrained_ckpt/pandagpt_ckpt/7b/pytorch_model.pt"), load("ckpt/train_supervised/pytorch_model.pt")
    head = {k: v.half() for k, v in {**panda, **delta}.items() if k.startswith(("image_decoder.", "prompt_learner.", "llama_proj."))}
    open(f"{out}/head.safetensors.gz", "wb").write(gzip.compress(save(head), 9, mtime=0))

    llama = load_file(f"{golden}/pretrained_ckpt/vicuna_ckpt/7b_v0_safetensors/model.safetensors")
    merged = R.merge_lora({k: v.float() for k, v in llama.items()}, panda, manifest["dims"]["lora_alpha"])
    adapted = {k for k in llama if "self_attn" in k}
    save_file({k: (merged[k] if k in adapted else v).contiguous() for k, v in llama.items()}, f"{out}/llama.safetensors")
    for name in ("config.json", "tokenizer.json"):
        shutil.copyfile(f"{golden}/pretrained_ckpt/vicuna_ckpt/7b_v0/{name}", f"{out}/llama_{name}")

    imagebind = {k: v.float() for k, v in load("pretrained_ckpt/imagebind_ckpt/imagebind_huge.pth").items()}
    dims = manifest["dims"]
    vision = lambda images: R.vision_tower(imagebind, images, dims["vision"]["heads"], dims["taps"])
    tokenize = R.ClipText(f"{golden}/../clip/bpe_simple_vocab_16e6.txt.gz")
    keep = {k: expected[k] for k in WANTED}
    with torch.no_grad():
        squashed = torch.stack([R.to_tensor(expected[f"u8.squash.{n}"].numpy()) for n in ("normal_1.png", "defect.png")])
        keep["train.embedding"], features = vision(squashed)
        keep |= {f"train.features.{i}": f for i, f in enumerate(features)}
        keep |= {f"features.defect.png.{i}": expected[f"features.defect.png.{i}"] for i in range(4)}
        keep |= {f"features.normal_1.png.{i}": f for i, f in enumerate(vision(R.load_image(f"{golden}/images/normal_1.png")[None])[1])}
        keep["text_features.metal_nut"] = expected["text_features.metal_nut"]
    for name in [k for k in keep if k.endswith(".map")]:
        keep[f"{name}.every7"] = keep.pop(name)[:, :, ::7, ::7]
    mask = expected["train.mask_of_second"]
    keep["train.mask_of_second"] = (mask > 0.3).to(torch.uint8)
    open(f"{out}/expected.safetensors.gz", "wb").write(gzip.compress(save({k: v.contiguous() for k, v in keep.items()}), 9, mtime=0))

    described = {k: v for k, v in described.items() if k in ("cases", "llama_tokenizer", "framing", "train", "class_of_prompt")}
    described["tolerances"] = manifest["tolerances"]
    json.dump(described, open(f"{out}/expected.json", "w"), ensure_ascii=False, indent=1)
    for name in IMAGES:
        shutil.copyfile(f"{golden}/images/{name}", f"{out}/images/{name}")
    print("bytes in all:", sum(os.path.getsize(os.path.join(d, f)) for d, _, fs in os.walk(out) for f in fs))


if __name__ == "__main__":
    main(*sys.argv[1:4])
