#!/usr/bin/python3
"""Agreement with the dense encoder and time, for each way to go on with fewer tokens. See run."""

import argparse
import json
import os
import pathlib
import statistics
import time

import numpy

import rarefy
from tokenizer import Tokenizer

HERE = pathlib.Path(__file__).parent

# Name and settings of the builder "bert". Nothing is trained: these are the published rules on a network as it is.
METHODS = [("dense", {})]
METHODS += [(f"ToMe r={r}", {"merge": r}) for r in (4, 8, 16, 24, 32)]
METHODS += [(f"class attention, keep {k} %", {"keep": k}) for k in (90, 70, 50)]
METHODS += [(f"class attention, keep {k} %, not fused", {"keep": k, "fuse": 0}) for k in (90, 70, 50)]
METHODS += [(f"attention of all, keep {k} %", {"keep": k, "scorer": 1}) for k in (90, 70, 50)]
METHODS += [(f"attention of all above {t / 1000:g}", {"threshold": t}) for t in (400, 600, 800)]
METHODS += [(f"SpAtten, {k} % at the end", {"spatten": k}) for k in (80, 50, 25)]
METHODS += [(f"random, keep {k} %", {"keep": k, "scorer": 2}) for k in (90, 70, 50)]


# Sentences that other programs calibrate on; they are among those that are compared.
CALIBRATED = slice(None, None, 5)


def paragraphs(sentences, most):
    """Consecutive sentences, as many as fit into `most` tokens."""
    found, current = [], []
    for sentence in sentences:
        inner = sentence[1:-1]
        if current and len(current) + len(inner) + 2 > most:
            found.append([sentence[0], *current, sentence[-1]])
            current = []
        current = current + inner
    return found


def as_rows(numbers):
    rows = numpy.zeros((len(numbers), 2), numpy.float32)
    rows[:, 0] = numbers
    return rows


def write_texts(path, numbers):
    """Arrays as `rarefy run` takes them: one batch."""
    rows = [as_rows(n) for n in numbers]
    begin = numpy.cumsum([0] + [len(r) for r in rows]).astype(numpy.int64)
    numpy.savez(path, **{"tokens": numpy.concatenate(rows), "tokens.begin": begin})


def session_of(dense, settings, threads):
    if isinstance(settings, str):  # a model made from the dense one
        return rarefy.load(settings).session(threads)
    graph = rarefy.build("bert", settings=settings).graph
    weights = dict(dense.weights)
    if settings.get("scorer") == 2:
        random = numpy.random.default_rng(1)
        for block in range(6):
            weights[f"random_scores.{block}.weight"] = random.normal(size=(512, 1)).astype(numpy.float32)
    return rarefy.Model(graph, weights).session(threads)


def agreement(found, dense):
    """Mean cosine with the dense embedding of the same text, and how often the nearest other text is the same."""
    def nearest(x):
        likeness = x @ x.T
        numpy.fill_diagonal(likeness, -2)
        return likeness.argmax(1)
    same_pairs = numpy.triu_indices(len(dense), 1)
    return {"cosine": float((found * dense).sum(1).mean()), "least_cosine": float((found * dense).sum(1).min()),
            "same_nearest": float((nearest(found) == nearest(dense)).mean()),
            "correlation": float(numpy.corrcoef((found @ found.T)[same_pairs], (dense @ dense.T)[same_pairs])[0, 1])}


def work(session):
    """Rows that the perceptrons of the blocks saw, and multiply-adds, of the last run."""
    profile = session.profile()
    return sum(step["rows"] for step in profile["steps"] if step["name"].endswith("intermediate.dense")), profile["macs"]


def compare(dense, texts):
    """Embeddings and work of each method, one text at a time."""
    results, exact = [], None
    for name, settings in METHODS:
        session = session_of(dense, settings, 2)
        rows = macs = 0
        found = []
        for text in texts:
            found.append(session.run(tokens=text)["sentence"][0].copy())
            now = work(session)
            rows, macs = rows + now[0], macs + now[1]
        found = numpy.array(found)
        exact = found if exact is None else exact
        results.append({"method": name, "removed": rows, "macs": macs, **agreement(found, exact), "ms": {}, "gain": {}})
    all_rows = results[0]["removed"]
    for result in results:
        result["removed"] = 1 - result["removed"] / all_rows
    return results


def add_times(dense, texts, threads, rounds, results):
    """Methods take turns text by text, so that what disturbs the machine disturbs all."""
    sessions = [session_of(dense, settings, threads) for _, settings in METHODS]
    times = numpy.zeros((rounds, len(texts), len(sessions)))
    for r in range(rounds):
        for t, text in enumerate(texts):
            for s, session in enumerate(sessions):
                start = time.perf_counter()
                session.run(tokens=text)
                times[r, t, s] = (time.perf_counter() - start) * 1000
    # Of one text the least of all rounds: other programs only ever add time.
    least = times.min(0).mean(0)
    for result, ms in zip(results, least):
        result["ms"][str(threads)] = float(ms)
        result["gain"][str(threads)] = float(least[0] / ms)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--vocabulary", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--timed", type=int, default=12, help="texts that are timed, evenly taken from all")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=FILE", help="a model made from MODEL")
    parser.add_argument("--write-texts", metavar="FILE", help="only write the sentences to calibrate on (.npz)")
    parser.add_argument("--out")
    args = parser.parse_args()
    if args.write_texts:
        tokenize = Tokenizer(args.vocabulary)
        lines = (HERE / "sentences.txt").read_text(encoding="utf-8").splitlines()
        return write_texts(args.write_texts, [tokenize(line) for line in lines[CALIBRATED]])
    for pair in args.also:
        METHODS.append(tuple(pair.rsplit("=", 1)))
    dense = rarefy.load(args.model)
    tokenize = Tokenizer(args.vocabulary)
    sentences = [tokenize(line) for line in (HERE / "sentences.txt").read_text(encoding="utf-8").splitlines()]
    sets = {"sentences": sentences, "paragraphs": paragraphs(sentences, 200)}
    result = {"model": "all-MiniLM-L6-v2", "cpu": cpu(), "load": os.getloadavg()[0], "rounds": args.rounds, "sets": []}
    for name, numbers in sets.items():
        texts = [as_rows(n) for n in numbers]
        lengths = [len(n) for n in numbers]
        results = compare(dense, texts)
        timed = texts[::max(1, len(texts) // args.timed)]
        for threads in (1, 2):
            add_times(dense, timed, threads, args.rounds, results)
        result["sets"].append({"texts": name, "count": len(texts), "tokens": statistics.mean(lengths),
                               "longest": max(lengths), "timed": len(timed), "methods": results})
    pathlib.Path(args.out).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def cpu():
    for line in open("/proc/cpuinfo", encoding="utf-8"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


if __name__ == "__main__":
    main()
