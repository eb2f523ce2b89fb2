"""Makes summary.md of results.json and counts/."""


def write(results, here):
    pass
