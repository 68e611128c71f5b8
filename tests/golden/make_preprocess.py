"""Write what Pillow makes of image files and of odd sizes, to compare `preprocess` with.

usage: python make_preprocess.py GOLDEN_DIR OUT_DIR      (needs numpy, safetensors, opencv-python, and Pillow 10.0.0: the reference's)

GOLDEN_DIR is the golden set `tiny-a`; OUT_DIR is `tests/golden/data`. Writes small image files of many kinds into
OUT_DIR/preprocess, and OUT_DIR/preprocess.safetensors.gz with u8 [height, width, 3] tensors:
  u8.crop.FILE, u8.squash.FILE   from the golden set: the reference's 224x224 pixels of a file in OUT_DIR/images, every 14th row
  rgb.FILE                       what `Image.open(FILE).convert("RGB")` gives for a file in OUT_DIR/preprocess
  source.N, resized.N            an image, and `resize(..., BICUBIC)` of it to another size
  source.N, cropped.N            an image, and the reference's `resize_u8` of it with a side of 28
"""
import gzip
import os
import sys

import cv2
import numpy as np
import PIL
from PIL import Image
from safetensors.numpy import load_file, save

SIDE = 28
RESIZES = [((33, 27), (46, 34)), ((27, 33), (46, 34)), ((90, 41), (24, 24)), ((41, 90), (24, 24)), ((30, 24), (30, 17)), ((30, 24), (17, 24)),
           ((8, 8), (75, 9)), ((151, 9), (13, 30)), ((11, 130), (30, 7)), ((48, 48), (24, 24)), ((25, 27), (24, 25))]
CROPS = [(33, 28), (28, 31), (29, 61), (61, 29), (28, 28), (10, 13), (100, 11)]


def drawing(rng, width, height):
    """Gradients, hard edges and noise: something that a filter changes."""
    y, x = np.mgrid[:height, :width] / max(width, height)
    image = np.stack([200 * x, 255 * (np.sin(20 * x * y + 9 * y) > 0), 120 + 90 * np.cos(30 * y)], -1) + 40 * rng.integers(-1, 2, (height, width, 1))
    return image.clip(0, 255).astype(np.uint8)


def crop(image):
    """The reference's `resize_u8` for a side of SIDE."""
    w, h = image.size
    size = (SIDE, int(SIDE * h / w)) if w <= h else (int(SIDE * w / h), SIDE)
    if size != (w, h):
        image = image.resize(size, Image.BICUBIC)
    left, top = round((size[0] - SIDE) / 2), round((size[1] - SIDE) / 2)
    return np.asarray(image)[top:top + SIDE, left:left + SIDE]


def write_files(rng, out):
    color = Image.fromarray(drawing(rng, 29, 22))
    grey = color.convert("L")
    alpha = Image.fromarray(rng.integers(0, 256, (22, 29), dtype=np.uint8))
    wide = rng.integers(0, 65536, (12, 14, 3), dtype=np.uint16)
    color.save(f"{out}/rgb.bmp")
    color.save(f"{out}/rgb.ppm")
    color.save(f"{out}/rgb.tif", compression="tiff_lzw")
    color.save(f"{out}/rgb_lossless.webp", lossless=True)
    color.convert("1").save(f"{out}/one_bit.png")
    grey.save(f"{out}/grey.png")
    Image.merge("LA", (grey, alpha)).save(f"{out}/grey_alpha.png")
    Image.merge("RGBA", (*color.split(), alpha)).save(f"{out}/rgba.png")
    color.quantize(13).save(f"{out}/palette_13.png", transparency=3)
    color.convert("CMYK").save(f"{out}/cmyk.jpg", quality=92)
    Image.fromarray((wide[..., 0] >> 7).astype(np.uint16)).save(f"{out}/grey16.png")
    cv2.imwrite(f"{out}/rgb16.png", wide)


def main(golden, out):
    assert PIL.__version__ == "10.0.0", PIL.__version__
    rng = np.random.default_rng(11)
    expected = load_file(f"{golden}/expected.safetensors")
    keep = {k: v[::14] for k, v in expected.items() if k.startswith("u8.") and os.path.exists(f"{out}/images/{k.split('.', 2)[2]}")}
    os.makedirs(f"{out}/preprocess", exist_ok=True)
    write_files(rng, f"{out}/preprocess")
    for name in sorted(os.listdir(f"{out}/preprocess")):
        keep[f"rgb.{name}"] = np.asarray(Image.open(f"{out}/preprocess/{name}").convert("RGB"))
    for index, (size, target) in enumerate(RESIZES):
        keep[f"source.{index}"] = drawing(rng, *size)
        keep[f"resized.{index}"] = np.asarray(Image.fromarray(keep[f"source.{index}"]).resize(target, Image.BICUBIC))
    for index, size in enumerate(CROPS, len(RESIZES)):
        keep[f"source.{index}"] = drawing(rng, *size)
        keep[f"cropped.{index}"] = crop(Image.fromarray(keep[f"source.{index}"]))
    data = save({k: np.ascontiguousarray(v) for k, v in keep.items()})
    open(f"{out}/preprocess.safetensors.gz", "wb").write(gzip.compress(data, 9, mtime=0))


if __name__ == "__main__":
    main(*sys.argv[1:3])
