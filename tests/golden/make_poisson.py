"""Write the seamless clones of OpenCV that `poisson.rs` is compared with.

usage: python make_poisson.py OUT_DIR      (needs numpy, opencv-python-headless; written with OpenCV 5.0.0)

`cases.txt` has a line a case: name, mask, flag, centre x, centre y. Images are random, smoothed at three scales, so that there is structure at each.
"""
import sys

import cv2
import numpy as np


def image(random, height, width, low, high):
    layers = [cv2.GaussianBlur(random.standard_normal((height, width, 3)).astype(np.float32), (0, 0), sigma) * sigma for sigma in (0.6, 2, 7)]
    total = sum(layers)
    total = (total - total.min()) / (total.max() - total.min())
    return (low + total * (high - low)).astype(np.uint8)


def masks(height, width):
    full = np.full((height, width), 255, np.uint8)
    irregular = np.zeros_like(full)
    cv2.fillPoly(irregular, [np.array([[4, 9], [18, 2], [39, 6], [44, 24], [30, 20], [25, 33], [9, 30]])], 255)
    ellipse = np.zeros_like(full)
    cv2.ellipse(ellipse, (width // 2, height // 2), (width // 2 - 3, height // 2 - 2), 20, 0, 360, 255, -1)
    return {"full": full, "irregular": irregular, "ellipse": ellipse}


def main(out):
    random = np.random.default_rng(7)
    target, source = image(random, 80, 96, 20, 235), image(random, 36, 48, 0, 255)
    cv2.imwrite(f"{out}/target.png", target)
    cv2.imwrite(f"{out}/source.png", source)
    shapes = masks(36, 48)
    for name, mask in shapes.items():
        cv2.imwrite(f"{out}/mask_{name}.png", mask)
    cases = [("full_middle", "full", "normal", 50, 41), ("irregular_middle", "irregular", "normal", 47, 38), ("ellipse_mixed", "ellipse", "mixed", 52, 40),
             ("full_corner", "full", "normal", 23, 17), ("irregular_border", "irregular", "mixed", 75, 62)]
    for name, mask, flag, x, y in cases:
        flags = cv2.NORMAL_CLONE if flag == "normal" else cv2.MIXED_CLONE
        # OpenCV writes into the mask it is given.
        cv2.imwrite(f"{out}/expected_{name}.png", cv2.seamlessClone(source, target, shapes[mask].copy(), (x, y), flags))
    open(f"{out}/cases.txt", "w").write("".join(" ".join(map(str, case)) + "\n" for case in cases))


main(sys.argv[1])
