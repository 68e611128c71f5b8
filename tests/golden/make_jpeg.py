"""Write JPEG files of many kinds, and Pillow's pixels of them, to compare `preprocess` with.

usage: python make_jpeg.py OUT_DIR      (needs numpy, safetensors, and Pillow 10.2 or later, to write some; 10.0.0 reads the same pixels; OUT_DIR is `tests/golden/data`)

Writes OUT_DIR/jpeg/KIND.jpg, and OUT_DIR/jpeg.safetensors.gz with u8 [height, width, 3] tensors KIND.jpg: what
`Image.open(FILE).convert("RGB")` gives. Sides are odd and no multiples of the 16 pixels that chroma comes in, or less than those.
The one of 4:4:0, which Pillow cannot write, is made of a square one of 4:2:2 by exchanging sampling factors in the frame header.
"""
import gzip
import io
import os
import sys

import numpy as np
from PIL import Image
from safetensors.numpy import save

# Name: width, height, mode, options of the encoder.
FILES = {
    "444": (45, 35, "RGB", {"subsampling": "4:4:4", "quality": 90}),
    "422": (45, 35, "RGB", {"subsampling": "4:2:2", "quality": 90}),
    "420": (45, 35, "RGB", {"subsampling": "4:2:0", "quality": 90}),
    "444_progressive": (45, 35, "RGB", {"subsampling": "4:4:4", "quality": 75, "progressive": True}),
    "422_progressive": (35, 45, "RGB", {"subsampling": "4:2:2", "quality": 75, "progressive": True}),
    "420_progressive": (35, 45, "RGB", {"subsampling": "4:2:0", "quality": 75, "progressive": True}),
    "420_best": (61, 9, "RGB", {"subsampling": "4:2:0", "quality": 100}),
    "422_poor": (9, 61, "RGB", {"subsampling": "4:2:2", "quality": 20}),
    "420_poor": (50, 50, "RGB", {"subsampling": "4:2:0", "quality": 20}),
    "420_small": (9, 8, "RGB", {"subsampling": "4:2:0", "quality": 85}),
    "420_wide": (301, 20, "RGB", {"subsampling": "4:2:0", "quality": 85}),
    "420_restarts": (64, 48, "RGB", {"subsampling": "4:2:0", "quality": 85, "restart_marker_blocks": 2}),
    "444_extreme": (33, 31, "RGB", {"subsampling": "4:4:4", "quality": 60}),
    "420_extreme": (33, 31, "RGB", {"subsampling": "4:2:0", "quality": 60}),
    "grey": (45, 35, "L", {"quality": 85}),
    "grey_progressive": (45, 35, "L", {"quality": 85, "progressive": True}),
    "rgb": (45, 35, "RGB", {"keep_rgb": True, "quality": 90}),
    "cmyk": (29, 22, "CMYK", {"quality": 92}),
}


def drawing(rng, width, height, extreme):
    """Gradients, hard edges and noise; or only values that no transform keeps in range."""
    if extreme:
        return Image.fromarray(255 * rng.integers(0, 2, (height, width, 3), dtype=np.uint8))
    y, x = np.mgrid[:height, :width] / max(width, height)
    image = np.stack([200 * x, 255 * (np.sin(20 * x * y + 9 * y) > 0), 120 + 90 * np.cos(30 * y)], -1) + 40 * rng.integers(-1, 2, (height, width, 1))
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))


def turned(jpeg):
    """The same coefficients, as of a picture whose chroma has half the rows in place of half the columns."""
    start = jpeg.index(b"\xff\xc0")
    assert jpeg[start + 11] == 0x21
    return jpeg[:start + 11] + b"\x12" + jpeg[start + 12:]


def main(out):
    rng = np.random.default_rng(12)
    os.makedirs(f"{out}/jpeg", exist_ok=True)
    files = {}
    for name, (width, height, mode, options) in FILES.items():
        buffer = io.BytesIO()
        drawing(rng, width, height, "extreme" in name).convert(mode).save(buffer, "JPEG", **options)
        files[name] = buffer.getvalue()
    # Both samplings have 18 groups of blocks in 48 by 48 pixels.
    buffer = io.BytesIO()
    drawing(rng, 48, 48, False).save(buffer, "JPEG", subsampling="4:2:2", quality=90)
    files["440"] = turned(buffer.getvalue())
    pixels = {}
    for name, jpeg in files.items():
        open(f"{out}/jpeg/{name}.jpg", "wb").write(jpeg)
        pixels[f"{name}.jpg"] = np.ascontiguousarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
    open(f"{out}/jpeg.safetensors.gz", "wb").write(gzip.compress(save(pixels), 9, mtime=0))


if __name__ == "__main__":
    main(sys.argv[1])
