#!/usr/bin/python3
"""Tables of results.json. usage: report.py RESULTS.json"""

import json
import sys


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        r = json.load(file)
    print("# Sentences with fewer tokens\n")
    print(f"`experiments/input-sparsity/sentences/run`: the sentence encoder {r['model']} as it was published, run with fewer "
          "tokens. Nothing is trained. Texts are the prose of this project's documents (`sentences.txt`).\n")
    print("*Removed* is the mean over all six blocks and all texts of the rows that the perceptron of a block does not see. "
          "*Cosine* is that with the dense embedding of the same text (mean, and the least of all texts), *same nearest* how "
          "often the text nearest to a text is the same one, *correlation* that of the cosines of all pairs of texts. Time is "
          "of the whole network with scoring, selection and gathering, one text at a time: methods take turns, of each text the "
          f"least of {r['rounds']} runs counts.")
    for s in r["sets"]:
        print(f"\n## {s['count']} {s['texts']} of {s['tokens']:.0f} tokens (longest {s['longest']}; {s['timed']} timed)\n")
        print("| method | removed | multiply-adds | cosine (least) | same nearest | correlation | ms, 1 thread | gain | ms, 2 "
              "threads | gain |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        dense = s["methods"][0]
        for m in s["methods"]:
            times = " | ".join(f"{m['ms'][t]:.2f} | {m['gain'][t]:.2f}" for t in ("1", "2"))
            print(f"| {m['method']} | {m['removed']:.0%} | {m['macs'] / dense['macs']:.0%} | {m['cosine']:.3f} "
                  f"({m['least_cosine']:.2f}) | {m['same_nearest']:.0%} | {m['correlation']:.3f} | {times} |")
    print(f"\nMeasured on {r['cpu']}, two cores. Load when it began: {r['load']:.1f}"
          + ("; other programs ran beside it, so that times of two threads say little." if r["load"] > 0.5 else "."))
    print("\nHow to read it: *random* is what removing as many tokens does without any choice; a rule is worth as much as it is "
          "above that. Whoever searches wants *same nearest* near 100 %: that is what no rule reaches here without training "
          "beyond the first few per cent. The rows of one family are one rule at several strengths; compare families at equal "
          "multiply-adds. Attention of all *above* a threshold keeps as many tokens as a text needs, but after the first cut "
          "the rest share the attention more evenly, and a threshold near the mean then takes too many. *SpAtten* drops "
          "little by little, by attention summed up over the blocks. Heads are chosen, and scales of integers found, once, "
          "on every fifth sentence; these models remove no tokens.")


if __name__ == "__main__":
    main()
