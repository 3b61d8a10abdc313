#!/usr/bin/env python3
"""Makes the inputs of `scripts/bench-scale`, and prints its table.

The inputs have the right size and nothing more: a target with cargo's file names that cargo did not build, and
sparse packs. Standard library only.
"""

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path

import figures

# A unit of a large workspace has fewer files than this; this many lie in one directory.
FILES_OF_UNIT = 200

# The largest contents of a pack (docs/FORMAT.md), and the number of packs that one generation names.
PACK_BYTES = 32 << 20
PACKS_OF_GENERATION = 300

# Elapsed time and CPU time.
TIMES = ("seconds", "cpu_seconds")

# The limits above which a figure is marked: not linear, or not little.
MOST_RATIO = 2.5
MOST_BYTES = 300 << 20


# A target


def unit_files(number, count, chance):
    """Yields the path and bytes of each file of one unit: its fingerprint, the output of rustc, and the files of its
    build script. The unit depends on the three units before it."""
    hash_of = "{:016x}".format
    name, hash_text = f"p{number}", hash_of(number + 1)
    of_fingerprint = f"debug/.fingerprint/{name}-{hash_text}"
    dep_info = f"{of_fingerprint}/dep-lib-{name}"
    deps = [[it, f"p{it}", False, swapped(it + 1)] for it in range(max(0, number - 3), number)]
    local = [{"CheckDepInfo": {"dep_info": dep_info, "checksum": False}}]
    yield f"{of_fingerprint}/lib-{name}", hash_text.encode()
    yield f"{of_fingerprint}/lib-{name}.json", json.dumps({"deps": deps, "local": local}).encode()
    yield dep_info, b"\1\0\0\0\xff\1" + bytes(8)
    yield f"{of_fingerprint}/invoked.timestamp", b"This file has an mtime of when this was started."
    stem = f"debug/deps/lib{name}-{hash_text}"
    yield f"{stem}.rlib", chance.randbytes(4096) * chance.randint(4, 16)
    yield f"{stem}.rmeta", chance.randbytes(2048) * chance.randint(2, 8)
    yield f"debug/deps/{name}-{hash_text}.d", f"{stem}.rlib: src/lib.rs\n\nsrc/lib.rs:\n".encode()
    for file in range(count - 7):
        content = chance.randbytes(64) * chance.randint(1, 64)
        yield f"debug/build/{name}-{hash_text}/out/file-{file:03}.rs", content


def swapped(number):
    """Returns the number with its bytes reversed, as cargo writes hashes."""
    return int.from_bytes(number.to_bytes(8, "little"), "big")


def tree(args):
    """Makes a target directory of the given number of files, the same for the same seed."""
    chance = random.Random(args.seed)
    made = set()
    for number, first in enumerate(range(0, args.files, FILES_OF_UNIT)):
        count = min(FILES_OF_UNIT, args.files - first)
        for path, content in unit_files(number, count, chance):
            path = args.dir / path
            if path.parent not in made:
                path.parent.mkdir(parents=True, exist_ok=True)
                made.add(path.parent)
            path.write_bytes(content)
    return 0


# Packs


def packs(args):
    """Adds packs of the given number of gigabytes (10^9 bytes) to a store, as sparse files, and generations that
    name three of four of them: copies of the store's one manifest, with other packs."""
    chance = random.Random(args.gigabytes)
    [pattern] = args.store.glob("series/*/target/*/*.manifest.zst")
    header = json.loads(zstd(pattern.read_bytes(), "--decompress").splitlines()[0])["header"]
    digests = [chance.randbytes(32).hex() for _ in range(args.gigabytes * 10**9 // PACK_BYTES)]
    for digest in digests:
        path = args.store / "packs" / digest[:2] / f"{digest}.tar.zst"
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            file.truncate(PACK_BYTES)
    for number, first in enumerate(range(0, len(digests), PACKS_OF_GENERATION)):
        named = [digest for at, digest in enumerate(digests[first : first + PACKS_OF_GENERATION]) if at % 4]
        key = f"packs-{number}"
        dir = pattern.parent.parent / key
        dir.mkdir()
        (dir / pattern.name).write_bytes(zstd(manifest(header, key, named), "--check"))
    return 0


def manifest(header, key, named):
    """Returns the lines of a manifest of one file a pack."""
    use = [{"digest": it, "stored_bytes": PACK_BYTES, "content_bytes": PACK_BYTES} for it in named]
    header = header | {
        "series": header["series"] | {"key": key},
        "cache_key": key,
        "binding": {"units": 0, "bound": 0},
        "entries": len(named),
        "files": len(named),
        "bytes": len(named) * PACK_BYTES,
        "packs": use,
    }
    lines = [{"manifest": 1, "header": header}]
    for number, digest in enumerate(named):
        content = {"offset": 0, "len": PACK_BYTES, "digest": digest, "pack": number}
        file = {"mode": 0o644, "mtime": header["newest_mtime"], "size": PACK_BYTES, "contents": [content]}
        lines.append({"entry": {"path": f"file-{number:05}", "is": {"file": file}}})
    graph = {"packages": [], "variables": [], "others": [], "units": []}
    lines.append({"end": {"lines": len(lines), "graph": graph}})
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def zstd(data, option):
    return subprocess.run(["zstd", "--quiet", option], input=data, stdout=subprocess.PIPE, check=True).stdout


# The table


def rows(runs):
    """Yields the cases of `part/what/size`: at both sizes the least elapsed and CPU seconds and the peak memory, and
    the ratios between the sizes."""
    cases = {}
    for name, measured in runs.items():
        if name.count("/") == 2:
            part, what, size = name.split("/")
            cases.setdefault((part, what), []).append((int(size), measured))
    for (part, what), sizes in cases.items():
        case = {"part": part, "case": what, "sizes": []}
        for size, measured in sorted(sizes, key=lambda it: it[0]):
            least = {kind: min(run[kind] for run in measured) for kind in TIMES}
            peak_bytes = max(run["peak_bytes"] for run in measured)
            case["sizes"].append({"size": size, **least, "peak_bytes": peak_bytes})
        small, large = case["sizes"]
        case["ratios"] = {kind: large[kind] / small[kind] for kind in TIMES}
        yield case


def table(args):
    """Prints a Markdown table, one row per case. `!` marks a ratio or a memory that deserves a look.

    Other work on the machine distorts the ratio of elapsed times, but hardly that of CPU times.
    """
    kept = figures.load(args.figures)
    kept["cases"] = list(rows(kept["runs"]))
    figures.store(args.figures, kept)

    def mark(is_marked):
        return " !" if is_marked else ""

    print("| of | command | N | s | CPU s | MiB | 2 N | s | CPU s | MiB | ratio | CPU ratio |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for case in kept["cases"]:
        cells = [case["part"], case["case"]]
        for it in case["sizes"]:
            memory = f"{it['peak_bytes'] / 2**20:,.0f}{mark(it['peak_bytes'] > MOST_BYTES)}"
            cells += [f"{it['size']:,}", *(f"{it[kind]:.2f}" for kind in TIMES), memory]
        cells += [f"{ratio:.2f}{mark(ratio > MOST_RATIO)}" for ratio in case["ratios"].values()]
        print(f"| {' | '.join(cells)} |")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    sub = commands.add_parser("tree", help=tree.__doc__)
    sub.add_argument("dir", type=Path)
    sub.add_argument("files", type=int)
    sub.add_argument("--seed", type=int, default=0)
    sub.set_defaults(function=tree)
    sub = commands.add_parser("packs", help=packs.__doc__)
    sub.add_argument("store", type=Path)
    sub.add_argument("gigabytes", type=int)
    sub.set_defaults(function=packs)
    sub = commands.add_parser("table", help=table.__doc__)
    sub.add_argument("figures", type=Path)
    sub.set_defaults(function=table)
    args = parser.parse_args()
    return args.function(args)


if __name__ == "__main__":
    sys.exit(main())
