"""Runs what measures: JSON from a program, within a time."""
import json
import os
import pathlib
import signal
import subprocess
import sys


class Failed(Exception):
    """Nothing was measured; the text says why, in one line."""


def run(command, seconds=None, environment=None):
    """Standard output, error, exit code. A program that takes longer is ended with all that it started."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
                               start_new_session=True)
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise Failed(f"{pathlib.Path(command[0]).name} was not done after {seconds:.0f} s and was stopped") from None
    return out, err, process.returncode


def json_of(command, seconds=None, environment=None):
    """@raise Failed with the last line that the program complained with"""
    out, err, code = run([str(part) for part in command], seconds, environment)
    if code != 0 and not out:
        raise Failed((err.strip().splitlines() or [f"{command[0]} ended with {code} and said nothing"])[-1])
    try:
        return json.loads(out)
    except json.JSONDecodeError as error:
        raise Failed(f"{pathlib.Path(str(command[0])).name} printed no JSON: {error}") from None


def said(name):
    print(f"write_results: {name}", file=sys.stderr, flush=True)
