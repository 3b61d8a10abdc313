#!/usr/bin/env python3
"""Checks that documents agree with the files they show: examples, inputs and outputs, links, promises.

A YAML block stands below `<!-- example: FILE -->` and is that file; the tables between
`<!-- inputs -->` or `<!-- outputs -->` and `<!-- end -->` come from action.yml, or from the named action or
workflow (`<!-- inputs: FILE -->`). `--write` corrects both. Needs PyYAML.

In SECURITY.md each promise, and each section on protection, has a paragraph `Held by:` that names tests as
`module::name` (module as in `src/`, `tests/` or `tests/it/`) or files. A line has at most 100 columns, unless it is
of a table or a code block, or one link or word. `--self-test` shows that faults are found.
"""

import re
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = "examples/workflows"
# The repository by which workflows name the action, and the action's file.
ACTION = "btcdecoded/runner-cache"

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(r"(<!-- example: (\S+) -->\n)(```yaml\n.*?^```\n)?", re.MULTILINE | re.DOTALL)
TABLE = re.compile(r"(<!-- (inputs|outputs)(?:: (\S+))? -->\n)(.*?)(<!-- end -->)", re.DOTALL)
CALLED = re.compile(rf"{ACTION}/(\.github/workflows/[\w-]+\.yml)@")
LINK = re.compile(r"\]\(([^)\s#]*)(?:#([^)\s]*))?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
OUTPUT = re.compile(r"\bsteps\.([\w-]+)\.outputs\.([\w-]+)")
# The page that argues for each dependency.
DEPENDENCIES = "docs/decisions/0032-dependencies.md"
# The promises of SECURITY.md come before this heading.
LIMITS = "What no program can prevent"
HELD = "Held by:"
TEST = re.compile(r"#\[test\]\n(?:\s*(?:#\[.*|//.*|\)\])\n)*\s*fn (\w+)")
COLUMNS = 100
# One link, or one word, in an item of a list or by itself, with the punctuation that follows it.
UNBREAKABLE = re.compile(r"\s*(?:[-*] )?(?:\[[^\]]*\]\(\S*\)\S*|\S+)")
NEEDED = re.compile(r"\bneeds\.([\w-]+)\.outputs\.([\w-]+)")


def documents():
    """Returns the documents, by path from the root of the repository."""
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return {str(path.relative_to(ROOT)): path.read_text() for path in sorted(paths)}


def without_fences(text):
    return FENCE.sub("", text)


def interface(path):
    """Returns the part of an action, or of a reusable workflow, that holds its `inputs` and `outputs`."""
    document = yaml.safe_load((ROOT / path).read_text())
    # In YAML 1.1, `on` means true.
    return document[True]["workflow_call"] if True in document else document


def table_of(action, kind):
    """Returns the rows of `inputs` or `outputs`, without those that no workflow sets."""
    rows = ["| output | meaning |", "|---|---|"]
    if kind == "inputs":
        rows = ["| input | default | meaning |", "|---|---|---|"]
    for name, fields in action[kind].items():
        meaning = fields["description"].strip()
        if meaning.startswith("Internal"):
            continue
        cells = [f"`{name}`", meaning]
        if kind == "inputs":
            default = shown(fields.get("default", ""))
            lines = [f"`{line}`" for line in default.splitlines()]
            cells.insert(1, " ".join(lines))
        rows.append("| " + " | ".join(cells) + " |")
    return "".join(f"{row}\n" for row in rows)


def shown(default):
    text = str(default).lower() if isinstance(default, bool) else str(default)
    return text.removeprefix("${{ ").removesuffix(" }}")


def as_it_should_be(text):
    """Returns a document in which the parts shown of other files are up to date."""

    def example(match):
        path = ROOT / match[2]
        return f"{match[1]}```yaml\n{path.read_text()}```\n" if path.is_file() else match[0]

    text = EXAMPLE.sub(example, text)

    def table(match):
        return match[1] + table_of(interface(match[3] or "action.yml"), match[2]) + match[5]

    return TABLE.sub(table, text)


def unmarked_blocks(name, text):
    """Yields a fault unless every YAML block is an example, which is checked as a workflow."""
    blocks = sum(match[1] in ("yaml", "yml") for match in FENCE.finditer(text))
    examples = [match[2] for match in EXAMPLE.finditer(text)]
    yield from (f"{name}: there is no `{path}`" for path in examples if not (ROOT / path).is_file())
    if blocks != len(examples):
        yield f"{name}: {blocks} YAML blocks, but {len(examples)} below `<!-- example: FILE -->`"


def broken_links(name, text):
    for target, anchor in LINK.findall(without_fences(text)):
        if ":" in target:
            continue
        path = ((ROOT / name).parent / target if target else ROOT / name).resolve()
        if not path.exists():
            yield f"{name}: the link `{target}` leads nowhere"
        elif anchor and anchor not in anchors(path):
            yield f"{name}: `{target}` has no heading `#{anchor}`"


def anchors(path):
    """Returns the anchors that GitHub makes of a document's headings."""
    headings = HEADING.findall(without_fences(path.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def unknown_names(path, action):
    """Yields the inputs and outputs in an example that action.yml, or a job, does not have."""
    jobs = yaml.safe_load(path.read_text())["jobs"]
    for job in jobs.values():
        for needed, name in NEEDED.findall(str(job)):
            if needed != job.get("needs") or name not in jobs[needed].get("outputs", {}):
                yield f"{path.name}: there is no `needs.{needed}.outputs.{name}`"
        if called := CALLED.match(job.get("uses", "")):
            for name in set(job.get("with", {})) - set(interface(called[1])["inputs"]):
                yield f"{path.name}: there is no input `{name}`"
        ours = [step for step in job.get("steps", []) if step.get("uses", "").startswith(ACTION + "@")]
        for step in ours:
            for name in set(step.get("with", {})) - set(action["inputs"]):
                yield f"{path.name}: there is no input `{name}`"
        ids = {step.get("id") for step in ours}
        for step_id, name in OUTPUT.findall(str(job)):
            if step_id in ids and name not in action["outputs"]:
                yield f"{path.name}: there is no output `{name}`"


def long_lines(name, text):
    """Yields the lines that an editor or a difference shows only in part."""
    # Blocks lose their text and keep their lines, so that the others keep their numbers.
    prose = FENCE.sub(lambda block: "\n" * block[0].count("\n"), text)
    for number, line in enumerate(prose.splitlines(), 1):
        if len(line) > COLUMNS and not line.lstrip().startswith("|") and not UNBREAKABLE.fullmatch(line):
            yield f"{name}:{number}: {len(line)} columns, more than {COLUMNS}"


def tests_of(root):
    """Returns every test as `module::name`."""
    named = set()
    for sources, prefix in (("src", ""), ("tests", ""), ("tests/it", ""), ("shim/src", "shim::")):
        for path in (root / sources).rglob("*.rs"):
            parts = path.relative_to(root / sources).with_suffix("").parts
            module = parts[:-1] if parts[-1] in ("mod", "tests") else parts
            named.update(prefix + "::".join([*module, name]) for name in TEST.findall(path.read_text()))
    return named


def unheld_promises(text, tests, is_file):
    """Yields the promises of SECURITY.md without a test, and the named tests and files that do not exist."""
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        if heading == LIMITS:
            return
        blocks = [block.strip() for block in body.split("\n\n") if block.strip()]
        promises = [at for at, block in enumerate(blocks) if block.startswith("**")]
        for at in promises:
            if not blocks[at + 1 : at + 2] or not blocks[at + 1].startswith(HELD):
                yield f"SECURITY.md: {blocks[at].split('**')[1]} names no test: write `{HELD}` below it"
        held = [block for block in blocks if block.startswith(HELD)]
        if heading != "Reporting" and not held:
            yield f"SECURITY.md: `{heading}` names no test: write `{HELD}` at its end"
        for block in held:
            names = re.findall(r"`([^`]*)`", block)
            if not names:
                yield f"SECURITY.md: `{block}` names nothing"
            yield from (
                f"SECURITY.md: there is no {'test' if '::' in name else 'file'} `{name}`"
                for name in names
                if name not in tests and ("::" in name or not is_file(name))
            )


def unargued_dependencies(manifest, page):
    """Yields the direct dependencies that the page does not mention, and those it mentions that are gone."""
    have = {name for table in ("dependencies", "dev-dependencies") for name in manifest.get(table, {})}
    argued = set(re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE))
    yield from (f"{DEPENDENCIES}: `{name}` is not argued" for name in sorted(have - argued))
    yield from (f"{DEPENDENCIES}: `{name}` is no dependency" for name in sorted(argued - have))


def self_test():
    """Fails unless each fault is found, and nothing else."""
    whole = f"## Kept\n\n**One.** Text.\n\n{HELD} `a::b`, `dir/file`.\n\n## {LIMITS}\n\n**Nothing.** Text.\n"
    cases = {
        "whole": (whole, 0),
        "a promise without a test": (whole.replace("`dir/file`.", "`dir/file`.\n\n**Two.** Text."), 1),
        "another paragraph between": (whole.replace(HELD, f"Text.\n\n{HELD}"), 1),
        "a section without a test": (f"## Table\n\n| |\n\n{whole}", 1),
        "a test that is not there": (whole.replace("a::b", "a::c"), 1),
        "a file that is not there": (whole.replace("dir/file", "dir"), 1),
        "no name": (whole.replace("`a::b`, `dir/file`", "a test"), 1),
    }
    for case, (text, count) in cases.items():
        found = list(unheld_promises(text, {"a::b"}, lambda name: name == "dir/file"))
        if len(found) != count:
            sys.exit(f"{case}: {count} findings expected, not {found}")
    found = list(unargued_dependencies({"dependencies": {"a": "1", "b": "1"}}, "| `b` |\n| `c` |\n"))
    if len(found) != 2:
        sys.exit(f"`a` is not argued and `c` is gone: {found}")
    long, word = "word " * COLUMNS, "a" * COLUMNS
    short = f"{long[:COLUMNS]}\n| {long} |\n```text\n{long}\n```\n- [a link](https://{word}).\n`{word}`,\n"
    found = [*long_lines("a", short), *long_lines("b", f"{short}{long}\n"), *long_lines("c", f"- a [{long}](d)\n")]
    if [line.split()[0] for line in found] != ["b:8:", "c:1:"]:
        sys.exit(f"two lines are too long: {found}")
    known = {"architecture::no_lint_is_silenced_with_allow", "crash::every_crash_point_is_one_that_some_command_is_crashed_at"}
    if missing := known - tests_of(ROOT):
        sys.exit(f"not found: {missing}")
    print(f"{len(cases)} cases, each with the findings that it has")
    return 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    found = []
    shown = set()
    for name, text in documents().items():
        should = as_it_should_be(text)
        if should != text and arguments == ["--write"]:
            (ROOT / name).write_text(should)
        elif should != text:
            found.append(f"{name}: shows other files as they were; run {sys.argv[0]} --write")
        shown.update(match[2] for match in EXAMPLE.finditer(text))
        found += unmarked_blocks(name, should)
        found += broken_links(name, should)
        found += long_lines(name, should)
    promises = (ROOT / "SECURITY.md").read_text()
    found += unheld_promises(promises, tests_of(ROOT), lambda name: (ROOT / name).is_file())
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
    found += unargued_dependencies(manifest, (ROOT / DEPENDENCIES).read_text())
    for path in sorted((ROOT / EXAMPLES).iterdir()):
        found += unknown_names(path, action)
        if f"{EXAMPLES}/{path.name}" not in shown:
            found.append(f"{path.name}: no document shows it")
    print("\n".join(found) or f"{len(shown)} examples, as documents show them")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
