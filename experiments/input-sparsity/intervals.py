"""Statistics of the proof: mean IoU from counts, hierarchical bootstrap of a difference, verdicts.

Counts are integers [images, 3, classes]: points (or pixels) of the class in the truth, in the prediction, and right ones.
"""

import numpy

TRUTH, PREDICTED, RIGHT = 0, 1, 2


def class_iou(totals):
    """IoU [..., classes] of summed counts [..., 3, classes]; NaN for classes that do not occur in the truth."""
    totals = numpy.asarray(totals, dtype=float)
    union = totals[..., TRUTH, :] + totals[..., PREDICTED, :] - totals[..., RIGHT, :]
    with numpy.errstate(invalid="ignore", divide="ignore"):
        iou = totals[..., RIGHT, :] / union
    return numpy.where(totals[..., TRUTH, :] > 0, iou, numpy.nan)


def miou(totals):
    """Percent: mean over the classes that occur in the truth; 0 when none does."""
    iou = class_iou(totals)
    occurring = ~numpy.isnan(iou)
    return 100 * numpy.where(occurring, iou, 0).sum(-1) / numpy.maximum(1, occurring.sum(-1))


def check_pairs(pairs):
    """@raises ValueError unless pairs[parent] is a list of (a, b), counts over the same images with the same truth."""
    if not pairs or any(not runs for runs in pairs):
        raise ValueError("a difference needs at least one continuation of every parent")
    shape = pairs[0][0][0].shape
    for runs in pairs:
        for a, b in runs:
            if a.shape != shape or b.shape != shape:
                raise ValueError(f"runs were scored on different images or classes: {a.shape}, {b.shape}, {shape}")
            if not numpy.array_equal(a[:, TRUTH], pairs[0][0][0][:, TRUTH]) or not numpy.array_equal(a[:, TRUTH], b[:, TRUTH]):
                raise ValueError("runs were scored against different labels")


def bootstrap_difference(pairs, draws=2000, seed=1, score=miou):
    """score(b) - score(a): the mean over parents and their continuations, and its 95 % interval.

    pairs[parent] = [(a, b), ...], one pair of counts per continuation. A draw takes parents, for each of them
    continuations, and images, all with replacement. Every run is scored on the same images, so images are drawn once for
    all runs of a draw (crossed, not nested: nested draws would average the images' variation away).
    Returns {"difference", "low", "high", "parents", "continuations", "images"}.
    """
    check_pairs(pairs)
    rng = numpy.random.default_rng(seed)
    images = pairs[0][0][0].shape[0]
    weights = rng.multinomial(images, numpy.full(images, 1 / images), size=draws).astype(float)

    def drawn(counts):
        flat = counts.reshape(images, -1).astype(float)
        return score((weights @ flat).reshape(draws, *counts.shape[1:]))

    table = [numpy.stack([drawn(b) - drawn(a) for a, b in runs]) for runs in pairs]  # [parent][continuation, draw]
    middle = numpy.mean([numpy.mean([score(b.sum(0)) - score(a.sum(0)) for a, b in runs]) for runs in pairs])
    values = numpy.empty(draws)
    for d in range(draws):
        chosen = rng.integers(len(pairs), size=len(pairs))
        values[d] = numpy.mean([table[p][rng.integers(len(table[p]), size=len(table[p])), d].mean() for p in chosen])
    low, high = numpy.percentile(values, [2.5, 97.5])
    return {"difference": float(middle), "low": float(low), "high": float(high), "parents": len(pairs),
            "continuations": sum(len(runs) for runs in pairs), "images": images}


def verdict(interval, margin, floor_met=True):
    """"no loss", "loss" or "inconclusive", with the reason where a claim is not allowed.

    No loss: the whole interval lies above -margin, the dense model is above its floor, and there are at least two parents
    and three continuations: an interval over images alone does not know how much two trainings differ.
    Loss: the whole interval lies below 0 and its middle below -margin.
    """
    if interval["high"] < 0 and interval["difference"] < -margin:
        return "loss"
    if interval["low"] > -margin:
        if not floor_met:
            return "inconclusive (the dense model is below its floor)"
        if interval["parents"] < 2 or interval["continuations"] < 3:
            return "inconclusive (too few trainings)"
        return "no loss"
    return "inconclusive"


def amdahl(removable, kept):
    """Times as fast, at most, when a share `removable` of the time shrinks to `kept` of itself."""
    if not 0 <= removable <= 1 or kept < 0:
        raise ValueError(f"a share of {removable} of the time, of which {kept} stays, is none")
    return 1 / (1 - removable + removable * kept)


def break_even(points):
    """The sparsity from which on it is faster than dense, by linear interpolation between measured (sparsity, times as
    fast), or None when no measured point is."""
    points = sorted(points)
    for i, (sparsity, speed) in enumerate(points):
        if speed < 1:
            continue
        if i == 0:
            return sparsity
        before, slow = points[i - 1]
        return before + (sparsity - before) * (1 - slow) / (speed - slow)
    return None
