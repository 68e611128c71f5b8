"""Cut what the tests need out of the golden set `tiny-a`, and compute the features that its losses start from.

usage: python make_subset.py REFERENCE_DIR GOLDEN_DIR OUT_DIR      (needs numpy, torch, safetensors, sentencepiece, open_clip_torch)

REFERENCE_DIR holds `anomalygpt_ref.py`, the PyTorch reference; GOLDEN_DIR is the folder that its `make_golden.py` wrote.
Every tensor keeps the name it has there. LoRA is merged into the projections, as the reference does at load. Maps
[1, 1, 224, 224] are kept at every seventh row and column (`NAME.every7`), to stay small. The two largest weights are pure draws of
the golden set's generator, so `drawn.json` has where it stood then and what rounding made of it, and `head.rs` draws them again.
"""
import gzip
import json
import os
import shutil
import sys
import zlib

import numpy as np
import torch
from safetensors.torch import load_file, save, save_file

IMAGES = ("gray16.png", "gray8_upscaled.png", "palette.png", "normal_2.jpg")
WANTED = ("text_features.bottle", "case.zero_shot.map", "case.zero_shot.prompts", "case.zero_shot.inputs", "case.zero_shot.logits", "case.zero_shot.text",
          "case.few_shot_1.map", "case.history.inputs", "case.history.logits", "embedding.defect.png", "train.masks.targets", "train.masks.keep")
SEED = 20240
DRAWN = {"prompt_learner.meta_net.12.weight": (2 / (9 * 256)) ** 0.5, "prompt_learner.meta_net.15.weight": 0.8 * 25600 ** -0.5}
FLOATS = 1 << 24
SEARCHED = 10_000_000


def drawn(weight, std, raw):
    """Where in the generator's numbers `raw` a tensor of `torch.randn` starts, and where it differs by one in the last place."""
    values = weight.numpy().ravel()
    uniform = (raw % FLOATS) / FLOATS
    cosine, sine = values[0] / std, values[8] / std
    first, second = 1 - np.exp(-(cosine ** 2 + sine ** 2) / 2), np.arctan2(sine, cosine) / (2 * np.pi) % 1
    candidates = np.flatnonzero((abs(uniform[:-8] - first) < 2e-3) & (abs(uniform[8:] - second) < 2e-3))
    (skipped,) = [at for at in candidates if np.allclose(normal(uniform[at:at + 16]) * std, values[:16], atol=2e-3 * std)]
    again = (normal(uniform[skipped:skipped + values.size]) * std).astype(np.float32).astype(np.float16)
    steps = values.view(np.int16).astype(int) - again.view(np.int16)
    assert abs(steps).max() <= 1, "it is not drawn"
    places = lambda step: np.flatnonzero(steps == step).tolist()
    return dict(shape=list(weight.shape), skipped=int(skipped), std=std, up=places(1), down=places(-1), crc=zlib.crc32(values.tobytes()))


def normal(uniform):
    """Box and Muller's normal numbers by blocks of eight and eight, as PyTorch draws 16 or more on the CPU."""
    pairs = uniform.reshape(-1, 2, 8)
    radius, angle = np.sqrt(-2 * np.log1p(-pairs[:, 0])), 2 * np.pi * pairs[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).ravel()


def write_head(head, out):
    generator = np.random.MT19937()
    generator.state = np.random.RandomState(SEED).get_state(legacy=False)
    raw = generator.random_raw(SEARCHED)
    tensors = [dict(name=name, **drawn(head.pop(name), std, raw)) for name, std in DRAWN.items()]
    open(f"{out}/head.safetensors.gz", "wb").write(gzip.compress(save(head), 9, mtime=0))
    json.dump(dict(seed=SEED, tensors=tensors), open(f"{out}/drawn.json", "w"))


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
    write_head(head, out)

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
