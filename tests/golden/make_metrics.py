"""Cases of the metrics, as scikit-learn, anomalib and the VAND repositories compute them.

usage: python make_metrics.py OUT_DIR      (needs numpy, scikit-learn, scikit-image, pillow, torch)

`aupro` follows anomalib 2.7's `AUPRO.compute_pro` in 64 bits, `cal_pro_score` the function of that name in APRIL-GAN. Scores are
stored as whole numbers, to be divided by `scale`.
"""
import json
import sys

import numpy as np
import torch
from PIL import Image
from skimage import measure
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

SCALE = 64


def aupro(masks, maps, limit=0.3):
    labels, offset = [], 0
    for mask in masks:
        label = measure.label(mask, connectivity=2)
        labels.append(np.where(label > 0, label + offset, 0).ravel())
        offset += label.max()
    labels, scores = np.concatenate(labels), np.concatenate([map_.ravel() for map_ in maps])
    background = labels == 0
    if offset == 0 or not background.any():
        return None
    sizes = np.bincount(labels, minlength=offset + 1).astype(float)
    change = np.where(background, 0, 1 / np.maximum(sizes, 1)[labels])
    order = np.argsort(-scores, kind="stable")
    fpr, pro = np.cumsum(background[order]) / background.sum(), np.cumsum(change[order]) / offset
    keep = np.append(scores[order][:-1] != scores[order][1:], True)
    fpr, pro = np.append(0, fpr[keep]), np.append(0, pro[keep])
    last = np.nonzero(fpr <= limit)[0][-1]
    if fpr[last] < limit and last + 1 < len(fpr):
        at_limit = pro[last] + (pro[last + 1] - pro[last]) * (limit - fpr[last]) / (fpr[last + 1] - fpr[last])
        fpr, pro = np.append(fpr[:last + 1], limit), np.append(pro[:last + 1], at_limit)
    else:
        fpr, pro = fpr[:last + 1], pro[:last + 1]
    return auc(fpr, pro) / fpr[-1]


def cal_pro_score(masks, maps, max_step=200, expect_fpr=0.3):
    masks, maps = np.array(masks).astype(int), np.array(maps, dtype=np.float32)
    low, high = maps.min(), maps.max()
    if low == high or not masks.any() or masks.all():
        return None
    pros, fprs = [], []
    for threshold in np.arange(low, high, (high - low) / max_step):
        binary = maps > threshold
        pro = [binary[index][region.coords[:, 0], region.coords[:, 1]].sum() / region.area
               for index, mask in enumerate(masks) for region in measure.regionprops(measure.label(mask))]
        inverse = 1 - masks
        fprs.append(np.logical_and(inverse, binary).sum() / inverse.sum())
        pros.append(np.mean(pro))
    pros, fprs = np.array(pros), np.array(fprs)
    kept = fprs < expect_fpr
    if kept.sum() < 2 or fprs[kept].min() == fprs[kept].max():
        return None
    fprs = fprs[kept]
    return auc((fprs - fprs.min()) / (fprs.max() - fprs.min()), pros[kept])


def ranking(labels, scores):
    labels, scores = np.asarray(labels).ravel(), np.asarray(scores, dtype=np.float32).ravel()
    result = {"auroc": roc_auc_score(labels, scores) if 0 < labels.sum() < len(labels) else None, "ap": None, "f1_max": None}
    if labels.any():
        precision, recall, _ = precision_recall_curve(labels, scores)
        sums = precision + recall
        result["ap"] = average_precision_score(labels, scores)
        result["f1_max"] = (2 * precision * recall / np.where(sums > 0, sums, 1)).max()
    return result


def image_cases(random):
    for name, labels, levels in [
        ("all different", random.integers(0, 2, 40), random.permutation(40) - 20),
        ("ties", random.integers(0, 2, 200), random.integers(-5, 6, 200)),
        ("one tie", [0, 1, 1, 0, 1], [3] * 5),
        ("parted", [0, 0, 1, 1], [1, 2, 3, 4]),
        ("parted the wrong way", [1, 1, 0, 0], [1, 2, 3, 4]),
        ("normal only", [0, 0, 0], [1, 2, 2]),
        ("anomalous only", [1, 1, 1], [1, 2, 2]),
        ("one anomalous of many", [0] * 99 + [1], random.integers(0, 30, 100)),
    ]:
        labels, levels = np.asarray(labels), np.asarray(levels)
        yield {"name": name, "labels": labels.tolist(), "levels": levels.tolist()} | ranking(labels, levels / SCALE)


def pixel_cases(random):
    def masks(count, regions, height=20, width=24):
        made = np.zeros((count, height, width), bool)
        for mask, number in zip(made, regions):
            for _ in range(number):
                y, x, down, across = random.integers(0, height - 2), random.integers(0, width - 2), *random.integers(1, 7, 2)
                mask[y:y + down, x:x + across] = True
        return made

    def maps(truth, levels, strength):
        noise = random.normal(size=truth.shape) + strength * truth
        return np.floor(noise * levels).astype(int)

    diagonal = np.zeros((2, 6, 6), bool)
    diagonal[0, [0, 1, 2, 4], [0, 1, 2, 0]] = True
    for name, truth, levels, strength in [
        ("fine levels", masks(4, [0, 2, 3, 1]), 1000, 1.5),
        ("many ties", masks(4, [0, 2, 3, 1]), 2, 1.5),
        ("hardly better than chance", masks(3, [1, 2, 1]), 100, 0.2),
        ("perfect", masks(2, [1, 1]), 1, 1000),
        ("worse than chance", masks(2, [3, 2]), 50, -2),
        ("corners touch", diagonal, 10, 1),
        ("one pixel", np.pad([[[True]]], ((0, 0), (2, 3), (3, 2))), 10, 0.5),
        ("no region", masks(2, [0, 0]), 10, 1),
        ("no background", np.ones((2, 4, 4), bool), 10, 1),
        ("one score", masks(2, [1, 0]), 0, 0),
    ]:
        values = maps(truth, levels, strength)
        scores = (values / SCALE).astype(np.float32)
        yield {
            "name": name, "shape": list(truth.shape), "levels": values.ravel().tolist(),
            "anomalous": np.flatnonzero(truth).tolist(), "aupro": aupro(truth, scores), "vand": cal_pro_score(truth, scores),
        } | ranking(truth, scores)


def mask_cases(random):
    for height, width, side in [(30, 40, 16), (23, 31, 37), (64, 64, 32), (50, 90, 29)]:
        levels = np.zeros((height, width), np.uint8)
        for level in (255, 255, 80, 255):
            y, x = random.integers(0, height - 4), random.integers(0, width - 4)
            levels[y:y + random.integers(1, 9), x:x + random.integers(1, 9)] = level
        binary = np.where(levels > 0, 255, 0).astype(np.uint8)
        bilinear = [np.asarray(Image.fromarray(mask).resize((side, side), Image.BILINEAR)) for mask in (levels, binary)]
        nearest = torch.nn.functional.interpolate(torch.from_numpy(binary)[None, None].float(), (side, side), mode="nearest")[0, 0].numpy()
        yield {
            "size": [width, height], "side": side, "levels": levels.ravel().tolist(),
            "anomalygpt-orig": np.flatnonzero(torch.from_numpy(bilinear[0]).float() / 255 > 0.1).tolist(),
            "vand-200": np.flatnonzero(torch.from_numpy(bilinear[1]).float() / 255 > 0.5).tolist(),
            "anomalib": np.flatnonzero(nearest > 0).tolist(),
        }


def main():
    random = np.random.default_rng(4)
    cases = {"scale": SCALE, "images": list(image_cases(random)), "pixels": list(pixel_cases(random)), "masks": list(mask_cases(random))}
    with open(f"{sys.argv[1]}/metrics.json", "w") as file:
        json.dump(cases, file, separators=(",", ":"))


if __name__ == "__main__":
    main()
