"""Run `trace` on every case of a golden set, and compare each tensor with the reference's.

usage: python compare_trace.py TRACE_BINARY GOLDEN_DIR [NAME=VALUE ...]      (needs torch, safetensors)

TRACE_BINARY is the built example (`target/debug/examples/trace`); GOLDEN_DIR is a folder that the reference's
`make_golden.py` wrote, of whatever sizes. NAME=VALUE goes into the environment (`BURN_DEVICE=ndarray`; `BURN_DEVICE=wgpu` for a binary of the
feature `wgpu`, which Mesa's software Vulkan runs too, slowly). Prints the largest
absolute difference a tensor, over all cases, next to the tolerance of the set's manifest, and fails above it.
"""
import json
import os
import subprocess
import sys
import tempfile

from safetensors.torch import load_file

GIVEN = ("map", "prompts", "inputs", "logits", "text")


def files(golden):
    found = {}
    for folder, folders, names in os.walk(golden):
        if "config.json" in names and "tokenizer.json" in names:
            found.setdefault("llama", folder)
        for name in names:
            path = os.path.join(folder, name)
            if name == "imagebind_huge.pth":
                found["imagebind"] = path
            elif name == "pytorch_model.pt":
                found["pandagpt" if "pandagpt" in folder else "anomalygpt"] = path
    return found


def main(binary, golden, *environment):
    expected = load_file(f"{golden}/expected.safetensors")
    described, manifest = (json.load(open(f"{golden}/{name}.json")) for name in ("expected", "manifest"))
    dims, given = manifest["dims"], manifest["tolerances"]["given"]
    config = {"vision_heads": dims["vision"]["heads"], "text_heads": dims["text"]["heads"], "taps": dims["taps"], "lora_alpha": dims["lora_alpha"]}
    model = [part for name, path in files(golden).items() for part in (f"--{name}", path)]
    variables = {**os.environ, **dict(pair.split("=", 1) for pair in environment)}
    # Mesa complains on stderr, where the answer is, where this is not set.
    variables.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    worst, failed = {}, []
    for case in described["cases"]:
        with tempfile.TemporaryDirectory() as folder:
            out = f"{folder}/trace.safetensors"
            command = [binary, *model, "--config", json.dumps(config), "--image", f"{golden}/images/{case['image']}", "--prompt", case["prompt"],
                       "--max-new-tokens", str(case["max_new_tokens"]), "--out", out]
            command += [part for name in case["normals"] for part in ("--normal", f"{golden}/images/{name}")]
            command += ["--squash"] if case["squash"] else []
            run = subprocess.run(command, capture_output=True, text=True, env=variables)
            if run.returncode:
                sys.exit(f"{case['name']}: {run.stderr}")
            found = load_file(out)
        wanted = {name: expected[f"case.{case['name']}.{name}"] for name in GIVEN}
        image = ("squash." if case["squash"] else "") + case["image"]
        if f"embedding.{image}" in expected:
            wanted["embedding"] = expected[f"embedding.{image}"]
        for kind in ("features", "decoded"):
            wanted |= {f"{kind}.{i}": expected[f"{kind}.{image}.{i}"] for i in range(len(config["taps"])) if f"{kind}.{image}.{i}" in expected}
        for name, tensor in wanted.items():
            if found[name].shape != tensor.shape or found[name].dtype != tensor.dtype:
                failed.append(f"{case['name']}.{name}: {found[name].dtype} {list(found[name].shape)} is not {tensor.dtype} {list(tensor.shape)}")
                continue
            kind = name.split(".")[0]
            difference = (found[name] - tensor).abs().max().item()
            tolerance = given["text_features" if kind == "text" else kind]
            worst[kind] = max(worst.get(kind, 0), difference)
            print(f"{case['name']:16} {name:12} {difference:.2e} (at most {tolerance:.0e})")
            if not difference <= tolerance:
                failed.append(f"{case['name']}.{name}: {difference}")
        if found["greedy_ids"].tolist() != case["greedy_ids"]:
            failed.append(f"{case['name']}.greedy_ids: {found['greedy_ids'].tolist()} is not {case['greedy_ids']}")
        if run.stderr.strip() != case["greedy_text"].strip():
            failed.append(f"{case['name']}: {run.stderr!r} is not {case['greedy_text']!r}")
    print("largest difference:", {kind: f"{value:.1e}" for kind, value in worst.items()})
    sys.exit("\n".join(failed) or None)


if __name__ == "__main__":
    main(*sys.argv[1:])
