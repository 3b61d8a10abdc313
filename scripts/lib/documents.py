#!/usr/bin/env python3
"""Checks that documents agree with the files they show: examples, inputs and outputs, links.

A YAML block stands below `<!-- example: FILE -->` and is that file; the tables between
`<!-- inputs -->` or `<!-- outputs -->` and `<!-- end -->` come from action.yml, or from the action or
workflow that is named (`<!-- inputs: FILE -->`). `--write` puts both right. Needs PyYAML.
"""

import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = "examples/workflows"
# The repository by which workflows name the action, and its file.
ACTION = "btcdecoded/runner-cache"

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(r"(<!-- example: (\S+) -->\n)(```yaml\n.*?^```\n)?", re.MULTILINE | re.DOTALL)
TABLE = re.compile(r"(<!-- (inputs|outputs)(?:: (\S+))? -->\n)(.*?)(<!-- end -->)", re.DOTALL)
CALLED = re.compile(rf"{ACTION}/(\.github/workflows/[\w-]+\.yml)@")
LINK = re.compile(r"\]\(([^)\s#]*)(?:#([^)\s]*))?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
OUTPUT = re.compile(r"\bsteps\.([\w-]+)\.outputs\.([\w-]+)")
NEEDED = re.compile(r"\bneeds\.([\w-]+)\.outputs\.([\w-]+)")


def documents():
    """Returns the documents, by path from the root of the repository."""
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return {str(path.relative_to(ROOT)): path.read_text() for path in sorted(paths)}


def without_fences(text):
    return FENCE.sub("", text)


def interface(path):
    """Returns what has the `inputs` and `outputs` of an action, or of a workflow that others call."""
    document = yaml.safe_load((ROOT / path).read_text())
    # In YAML 1.1, `on` is a way to say true.
    return document[True]["workflow_call"] if True in document else document


def table_of(action, kind):
    """Returns the rows of `inputs` or `outputs`, less what no workflow sets."""
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
    """Returns a document with what it shows of other files as they are."""

    def example(match):
        path = ROOT / match[2]
        return f"{match[1]}```yaml\n{path.read_text()}```\n" if path.is_file() else match[0]

    text = EXAMPLE.sub(example, text)

    def table(match):
        return match[1] + table_of(interface(match[3] or "action.yml"), match[2]) + match[5]

    return TABLE.sub(table, text)


def unmarked_blocks(name, text):
    """Every YAML block is an example, so that every one is checked as a workflow."""
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


def main(arguments):
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
    for path in sorted((ROOT / EXAMPLES).iterdir()):
        found += unknown_names(path, action)
        if f"{EXAMPLES}/{path.name}" not in shown:
            found.append(f"{path.name}: no document shows it")
    print("\n".join(found) or f"{len(shown)} examples, as documents show them")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
