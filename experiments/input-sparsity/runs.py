"""Named runs of the proof, each a list of stages. A stage is a file: where it lies, it is not made again.

Every finished run is one line of results.json. Whatever is ended at any moment goes on where it was: trainings from their
checkpoint, the queue from the first stage that lacks its file.
"""

import fcntl
import json
import os
import subprocess
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
KEYS = ["task", "method", "seed", "split", "metric", "value", "sparsity_mean", "macs", "latency_ms", "batch", "threads", "cpu"]


def program(name):
    """A program of ./dev build full, or of $RAREFY_BIN."""
    return os.path.join(os.environ.get("RAREFY_BIN", os.path.join(ROOT, "build", "full", "bin")), name)


def cache(*parts):
    """Where everything large lies: $RAREFY_CACHE, default ~/.cache/rarefy."""
    base = os.environ.get("RAREFY_CACHE", os.path.expanduser("~/.cache/rarefy"))
    return os.path.join(base, "input-sparsity", *parts)


@dataclass(frozen=True)
class Stage:
    """One file, and how it is made: a command (its words), or a function of the path to write.

    With `captured` the file is what the command prints; else the command itself writes it.
    """

    output: str
    make: object
    captured: bool = False


@dataclass
class Run:
    """name: unique. stages: in order. row: makes the fields of results.json once all stages are done, None for runs that are
    only needed by others (parents, data). needs: names of runs that must be done before."""

    name: str
    line: int  # of the table in budget.md
    stages: list = field(default_factory=list)
    row: object = None
    needs: tuple = ()

    def done(self):
        return all(os.path.exists(stage.output) for stage in self.stages)


def make(stage):
    """Makes the file of a stage, unless it is there. @raises RuntimeError with the end of what the command said"""
    if os.path.exists(stage.output):
        return
    os.makedirs(os.path.dirname(stage.output), exist_ok=True)
    unfinished = stage.output + ".unfinished"
    if callable(stage.make):
        stage.make(unfinished)
        os.replace(unfinished, stage.output)
        return
    log = stage.output + ".log"
    with open(unfinished if stage.captured else log, "w" if stage.captured else "a", encoding="utf-8") as out, \
            open(log, "a", encoding="utf-8") as errors:
        code = subprocess.run(["nice", "-n", os.environ.get("RAREFY_TRAIN_NICE", "10"), *stage.make], stdout=out,
                              stderr=errors, stdin=subprocess.DEVNULL, check=False).returncode
    if code != 0:
        with open(log, encoding="utf-8") as file:
            tail = "".join(file.readlines()[-5:]).strip()
        raise RuntimeError(f"{stage.output}: {' '.join(stage.make)}\nexit code {code}: {tail}")
    if stage.captured:
        os.replace(unfinished, stage.output)
    if not os.path.exists(stage.output):
        raise RuntimeError(f"{stage.output}: {stage.make[0]} ended well, but did not write it")


def lock():
    """One queue at a time; released when the process ends. @raises RuntimeError"""
    os.makedirs(cache(), exist_ok=True)
    file = open(cache("lock"), "w", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise RuntimeError(f"another queue is running ({cache('lock')} is held)") from error
    return file


def read_results(path):
    """Rows by run, in the order of the file; none without a file."""
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(text) for text in file if text.strip()]
    return {row["run"]: row for row in rows}


def record(path, name, row):
    """Puts the row of a run into results.json: a new line at the end, or in the place of its old one."""
    missing = [key for key in KEYS if key not in row]
    if missing:
        raise ValueError(f"{name}: the row lacks {', '.join(missing)}")
    rows = read_results(path)
    rows[name] = {**{key: row[key] for key in KEYS}, "run": name, **{k: v for k, v in row.items() if k not in KEYS}}
    with open(path + ".unfinished", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(r) + "\n" for r in rows.values())
    os.replace(path + ".unfinished", path)


def execute(run, results, say=print):
    """All stages of a run that are not done, then its row."""
    for stage in run.stages:
        if not os.path.exists(stage.output):
            say(f"{run.name}: {os.path.basename(stage.output)}")
        make(stage)
    if run.row is not None:
        row = run.row()
        if read_results(results).get(run.name) != {**row, "run": run.name}:
            record(results, run.name, row)


def in_order(runs):
    """By line of the budget, then as listed; every run after those that it needs. @raises ValueError: a name is unknown or
    there twice"""
    by_name = {run.name: run for run in runs}
    if len(by_name) != len(runs):
        raise ValueError("two runs have one name")
    result = []

    def visit(run):
        if run in result:
            return
        for name in run.needs:
            if name not in by_name:
                raise ValueError(f"{run.name} needs {name}, which there is not")
            visit(by_name[name])
        result.append(run)

    for run in sorted(runs, key=lambda r: r.line):
        visit(run)
    return result
