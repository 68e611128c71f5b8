"""Writes a published model of full size with random values: write_published.py FOLDER [--size 7b|13b] [--layers N] [--only PART ...].

FOLDER gets `imagebind_huge.pth` (4.8 GB, all six senses), `vicuna/` (13.5 GB for 7b), `pandagpt.pt` and `anomalygpt.pt`, in the formats
and under the names of the published files; `--layers` makes the language model shorter. Values keep what they pass through at about
its size. Needs `numpy` and `torch`, and as much memory as the largest file; the tokenizer is that of tests/golden/data.
"""

import argparse
import json
import math
import shutil
from collections import OrderedDict
from pathlib import Path

import numpy
import torch

SIZES = {"7b": (4096, 32, 32, 11008), "13b": (5120, 40, 40, 13824)}
PARTS = ("imagebind", "vicuna", "pandagpt", "anomalygpt")
VOCABULARY = 32000
DEVIATION = 0.02
RANK = 32

# Of each of ImageBind's senses: width, blocks, positions, its stem's name and shape, the place of the head's matrix.
JOINT = 1024
SENSES = {
    "vision": (1280, 32, 257, "rgbt_stem.proj.1", (3, 2, 14, 14), 2),
    "audio": (768, 12, 229, "rgbt_stem.proj", (1, 16, 16), 2),
    "depth": (384, 12, 197, "depth_stem.proj", (1, 16, 16), 2),
    "thermal": (768, 12, 197, "rgbt_stem.proj", (1, 16, 16), 2),
    "imu": (512, 6, 251, "imu_stem.proj", (48,), 3),
}
TEXT_WIDTH, TEXT_BLOCKS, TEXT_CONTEXT, TEXT_VOCABULARY = 1024, 24, 77, 49408


class Values:
    """Values of a normal distribution, cut from one large draw at other places each time."""

    def __init__(self, dtype):
        draw = numpy.random.default_rng(0)
        self.pool = draw.standard_normal(1 << 24, dtype=numpy.float32)
        self.pool = (self.pool * DEVIATION).astype(dtype)
        self.offset = 0

    def tensor(self, *shape):
        count = int(numpy.prod(shape))
        self.offset = (self.offset + 7919) % len(self.pool)
        values = numpy.empty(count, self.pool.dtype)
        filled = 0
        while filled < count:
            piece = self.pool[self.offset if filled == 0 else 0 :][: count - filled]
            values[filled : filled + len(piece)] = piece
            filled += len(piece)
        return torch.from_numpy(values.reshape(shape))

    def linear(self, name, outputs, inputs):
        return {f"{name}.weight": self.tensor(outputs, inputs), f"{name}.bias": self.tensor(outputs)}

    def norm(self, name, width):
        return {f"{name}.weight": 1 + self.tensor(width), f"{name}.bias": self.tensor(width)}


def trunk(values, sense, width, blocks):
    tensors = {}
    for index in range(blocks):
        block = f"modality_trunks.{sense}.blocks.{index}"
        tensors |= {f"{block}.attn.in_proj_weight": values.tensor(3 * width, width), f"{block}.attn.in_proj_bias": values.tensor(3 * width)}
        if sense not in ("vision", "text"):
            tensors |= {f"{block}.attn.bias_{part}": values.tensor(1, 1, width) for part in "kv"}
        tensors |= values.linear(f"{block}.attn.out_proj", width, width) | values.norm(f"{block}.norm_1", width)
        tensors |= values.linear(f"{block}.mlp.fc1", 4 * width, width) | values.linear(f"{block}.mlp.fc2", width, 4 * width)
        tensors |= values.norm(f"{block}.norm_2", width)
    return tensors


def sense(values, name):
    width, blocks, positions, stem, kernel, place = SENSES[name]
    before, head = f"modality_preprocessors.{name}", f"modality_heads.{name}"
    embedding = "pos_embed" if name == "imu" else "pos_embedding_helper.pos_embed"
    tensors = {f"{before}.cls_token": values.tensor(1, 1, width), f"{before}.{embedding}": values.tensor(1, positions, width)}
    tensors[f"{before}.{stem}.weight"] = values.tensor(width, *kernel)
    if name == "vision":
        tensors |= values.norm("modality_trunks.vision.pre_transformer_layer.0", width)
    else:
        tensors |= values.norm(f"{before}.{stem.split('.')[0]}.norm_layer", width)
        tensors[f"modality_postprocessors.{name}.1.log_logit_scale"] = torch.tensor(math.log(10))
    tensors |= trunk(values, name, width, blocks) | values.norm(f"{head}.0", width)
    return tensors | {f"{head}.{place}.weight": values.tensor(JOINT, width)}


def write_imagebind(folder, _):
    values = Values(numpy.float32)
    before, head = "modality_preprocessors.text", "modality_heads.text.proj"
    tensors = {
        f"{before}.pos_embed": values.tensor(1, TEXT_CONTEXT, TEXT_WIDTH),
        f"{before}.mask": torch.full((TEXT_CONTEXT, TEXT_CONTEXT), -math.inf).triu(1),
        f"{before}.token_embedding.weight": values.tensor(TEXT_VOCABULARY, TEXT_WIDTH),
        f"{head}.1.weight": values.tensor(JOINT, TEXT_WIDTH),
        "modality_postprocessors.text.1.log_logit_scale": torch.tensor(math.log(1 / 0.07)),
    }
    tensors |= trunk(values, "text", TEXT_WIDTH, TEXT_BLOCKS) | values.norm(f"{head}.0", TEXT_WIDTH)
    for name in SENSES:
        tensors |= sense(values, name)
    torch.save(OrderedDict(tensors), folder / "imagebind_huge.pth")


def layer(values, index, hidden, inner):
    prefix = f"model.layers.{index}."
    tensors = {f"self_attn.{part}_proj.weight": values.tensor(hidden, hidden) for part in "qkvo"}
    tensors |= {f"mlp.{part}_proj.weight": values.tensor(inner, hidden) for part in ("gate", "up")}
    tensors["mlp.down_proj.weight"] = values.tensor(hidden, inner)
    tensors["input_layernorm.weight"] = torch.ones(hidden, dtype=torch.float16)
    tensors["post_attention_layernorm.weight"] = torch.ones(hidden, dtype=torch.float16)
    return {prefix + name: tensor for name, tensor in tensors.items()}


def write_vicuna(folder, sizes):
    hidden, layers, heads, inner = sizes
    folder = folder / "vicuna"
    folder.mkdir(exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "vocab_size": VOCABULARY,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    tokenizer = Path(__file__).parent / "golden" / "data" / "llama_tokenizer.model"
    shutil.copyfile(tokenizer, folder / "tokenizer.model")
    values = Values(numpy.float16)
    shards = [list(range(start, min(start + 8, layers))) for start in range(0, layers, 8)]
    places = {}
    for number, indices in enumerate(shards, 1):
        tensors = {}
        for index in indices:
            tensors |= layer(values, index, hidden, inner)
        if number == 1:
            tensors["model.embed_tokens.weight"] = values.tensor(VOCABULARY, hidden)
        if number == len(shards):
            tensors["model.norm.weight"] = torch.ones(hidden, dtype=torch.float16)
            tensors["lm_head.weight"] = values.tensor(VOCABULARY, hidden)
        name = f"pytorch_model-{number:05}-of-{len(shards):05}.bin"
        torch.save(tensors, folder / name)
        places |= dict.fromkeys(tensors, name)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def save_delta(tensors, path):
    """Parameters whose storages are tagged as a graphics card's, as in the published deltas."""
    tag = torch.serialization.location_tag
    torch.serialization.location_tag = lambda _: "cuda:0"
    try:
        torch.save(OrderedDict((name, torch.nn.Parameter(tensor)) for name, tensor in tensors.items()), path)
    finally:
        torch.serialization.location_tag = tag


def write_pandagpt(folder, sizes):
    hidden, layers, _, _ = sizes
    values = Values(numpy.float16)
    tensors = values.linear("llama_proj", hidden, JOINT)
    for index in range(layers):
        for part in "qkvo":
            adapted = f"llama_model.base_model.model.model.layers.{index}.self_attn.{part}_proj"
            tensors[f"{adapted}.lora_A.default.weight"] = values.tensor(RANK, hidden)
            tensors[f"{adapted}.lora_B.default.weight"] = values.tensor(hidden, RANK)
    save_delta(tensors, folder / "pandagpt.pt")


def write_anomalygpt(folder, sizes):
    hidden = sizes[0]
    values = Values(numpy.float16)
    tensors = {"prompt_learner.base_prompts": values.tensor(9, hidden)}
    for tap in range(4):
        tensors |= values.linear(f"image_decoder.fc.{tap}", JOINT, SENSES["vision"][0])
    channels = (1, 4, 16, 64, 256, 1024, hidden)
    for step, (inputs, outputs) in enumerate(zip(channels, channels[1:])):
        name, side = f"prompt_learner.meta_net.{3 * step}", 5 if outputs == hidden else 3
        tensors[f"{name}.weight"] = values.tensor(outputs, inputs, side, side)
        tensors[f"{name}.bias"] = values.tensor(outputs)
    save_delta(tensors, folder / "anomalygpt.pt")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=SIZES, default="7b")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    arguments = parser.parse_args()
    hidden, layers, heads, inner = SIZES[arguments.size]
    sizes = hidden, arguments.layers or layers, heads, inner
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for part in arguments.only:
        {"imagebind": write_imagebind, "vicuna": write_vicuna, "pandagpt": write_pandagpt, "anomalygpt": write_anomalygpt}[part](
            arguments.folder, sizes
        )


if __name__ == "__main__":
    main()
