#!/usr/bin/env python3
"""Prints the table of `scripts/bench --peers`, and adds its cases to the figures, for the plot of `figures.py`.

    peers.py FIGURES

A run is called `<case>.<side>.<part>`. The parts of a round are added: restore, build and test.
"""

import statistics
import sys

from figures import load, megabytes, store

CASES = ("first", "unchanged", "lowest edit", "own edit", "bump", "branch and back", "test")
MEASURED = ("restore", "build", "test")


def rounds(runs, case, side):
    """Returns the seconds of each part of a case, one list for each round."""
    parts = [runs.get(f"{case}.{side}.{part}", []) for part in MEASURED]
    parts = [[run["seconds"] for run in part] for part in parts if part]
    return list(zip(*parts, strict=True))


def case_of(runs, name, sides):
    """Returns the figures of a case, as `figures.py` has them."""
    case = {"case": name, "sides": {}}
    for side in sides:
        seconds = rounds(runs, name, side)
        if seconds:
            totals = [sum(of_round) for of_round in seconds]
            parts = [statistics.median(part) for part in zip(*seconds, strict=True)]
            case["sides"][side] = {"median": statistics.median(totals), "min": min(totals), "parts": parts}
    return case


def cell(side):
    """Returns the median of a side, with the medians of its parts if there are several."""
    if side is None:
        return "–"
    parts = " + ".join(f"{seconds:.2f}" for seconds in side["parts"])
    return f"{side['median']:.2f}" + (f" ({parts})" if len(side["parts"]) > 1 else "")


def save(runs, side):
    """Returns the median of all saves of a side. Peers keep things while they build."""
    seconds = [run["seconds"] for case in CASES[1:] for run in runs.get(f"{case}.{side}.save", [])]
    return f"{statistics.median(seconds):.2f}" if seconds else "–"


def table(runs, values, cases, sides):
    """Yields the lines of the table."""
    yield f"| | {' | '.join(f'{name}, s' for name in CASES)} | save after it, s | MB, first | MB, last |"
    yield "|---" + "|---:" * (len(CASES) + 3) + "|"
    for side in sides:
        cells = [cell(case["sides"].get(side)) for case in cases] + [save(runs, side)]
        cells += [megabytes(values[f"{when}_bytes.{side}"]).removesuffix(" MB") for when in ("first", "last")]
        yield f"| {side.replace('-', ', ')} | {' | '.join(cells)} |"


def main(path):
    figures = load(path)
    values = figures["values"]
    sides = [name.removeprefix("last_bytes.") for name in values if name.startswith("last_bytes.")]
    cases = [case_of(figures["runs"], name, sides) for name in CASES]
    # The first build is in the table alone: beside it the others would be too short to see.
    figures["cases"] = cases[1:]
    store(path, figures)
    print("\n".join(table(figures["runs"], values, cases, sides)))
    versions = [(name, value) for name, value in values.items() if name.startswith("version.")]
    print("\n" + ", ".join(f"{name.removeprefix('version.')} {value}" for name, value in versions))
    for name, reason in values.items():
        if name.startswith("left_out."):
            print(f"left out: {name.removeprefix('left_out.')} {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
