"""Writes a folder as Vicuna's, with random values: write_llama.py FOLDER [--size 7b|13b] [--layers N].

13.5 GB for 7b. Needs `numpy` and `torch`; the tokenizer is that of tests/golden/data.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy
import torch

SIZES = {"7b": (4096, 32, 32, 11008), "13b": (5120, 40, 40, 13824)}
VOCABULARY = 32000
DEVIATION = 0.02


class Values:
    """Values of a normal distribution, cut from one large draw at other places each time."""

    def __init__(self):
        draw = numpy.random.default_rng(0)
        self.pool = (draw.standard_normal(1 << 24, dtype=numpy.float32) * DEVIATION).astype(numpy.float16)
        self.offset = 0

    def tensor(self, *shape):
        count = int(numpy.prod(shape))
        self.offset = (self.offset + 7919) % len(self.pool)
        tiled = numpy.resize(numpy.roll(self.pool, self.offset), count)
        return torch.from_numpy(tiled.reshape(shape))


def layer(values, index, hidden, inner):
    prefix = f"model.layers.{index}."
    tensors = {f"self_attn.{part}_proj.weight": values.tensor(hidden, hidden) for part in "qkvo"}
    tensors |= {f"mlp.{part}_proj.weight": values.tensor(inner, hidden) for part in ("gate", "up")}
    tensors["mlp.down_proj.weight"] = values.tensor(hidden, inner)
    tensors["input_layernorm.weight"] = torch.ones(hidden, dtype=torch.float16)
    tensors["post_attention_layernorm.weight"] = torch.ones(hidden, dtype=torch.float16)
    return {prefix + name: tensor for name, tensor in tensors.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=SIZES, default="7b")
    parser.add_argument("--layers", type=int)
    arguments = parser.parse_args()
    hidden, layers, heads, inner = SIZES[arguments.size]
    layers = arguments.layers or layers
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
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
    values = Values()
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


if __name__ == "__main__":
    main()
