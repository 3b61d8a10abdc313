"""An organisation whose repos form a chain: each has the workflows that `chain init` writes for it.

What an event asks for runs in act on one runner, and what it dispatches to other repos is an event there.
"""

import json
import re
import shutil
import subprocess

from host import Host
from origin import HERE, OWNER, git

from github import GitHub

ROOT = HERE.parents[1]
EXAMPLES = ROOT / "examples/chain"
WORKFLOWS = ROOT / ".github/workflows"
# Stands in for actions of others, which would have to be fetched.
DOUBLES = ["actions/checkout", "actions/upload-artifact"]
TOKEN = "ghp_of_the_chain"
OWN_TOKEN = "ghs_of_the_job"
# The disk of whoever runs this may be fuller than a runner's.
ANY_DISK = '      disk_threshold: "100%"\n      min_free: 1MiB\n'


class Organisation:
    """All repos of one chain, as GitHub has them, and the runner of their jobs."""

    def __init__(self, directory, tools, origin, example):
        self.host = Host(directory, tools, origin, place="runner")
        self.host.programs = [HERE / "bin"]
        self.dir = directory / "checkouts"
        self.artifacts = directory / "artifacts"
        self.artifacts.mkdir()
        self.origin = origin
        self.tools = tools
        self.chain = directory / "chain.toml"
        shutil.copy(EXAMPLES / example, self.chain)
        self.graph = json.loads(self.runner_cache("show", "--format", "json")[1])
        self.repos = {repo["name"]: repo | {"repository": repo["repository"].split("/")[1]} for repo in self.graph["repos"]}
        self.github = None
        self.runs = 0
        for repo in self.repos.values():
            self.found(repo["repository"], self.crate(repo))
        for repository in sorted(self.others()):
            self.found(repository, {})
        self.init()
        for workflow in self.dir.glob("*/.github/workflows/*.yml"):
            add(workflow, "(ci|build.*|verify.*)", ANY_DISK)
        for checkout in self.dir.iterdir():
            self.push(checkout.name, "the workflows of the chain")
        self.github = GitHub(self.settings())

    def close(self):
        self.host.end_runs()
        if self.github:
            self.github.close()

    def others(self):
        """Returns the repositories that are no repos of the chain."""
        named = {self.graph["orchestrator"], self.graph["releases"]["repository"]}
        return named - {None} - {repo["repository"] for repo in self.repos.values()}

    def crate(self, repo):
        """Returns the files of a repo: a crate that says by which others it came to be."""
        if repo["kind"] == "docs":
            return {"README.md": "# What is to be\n"}
        needed = [self.repos[name] for name in repo["depends"] if self.repos[name]["kind"] != "docs"]
        name = repo["repository"]
        manifest = f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2024"\n\n[dependencies]\n'
        paths = [f'{it["repository"]} = {{ path = "../{it["repository"]}" }}\n' for it in needed]
        words = [f'{it["repository"].replace("-", "_")}::said()' for it in needed]
        # One that comes from a registry, as in real life.
        said = " + \" > \" + ".join([f"&{word}" for word in words] + [f'"{name}"'])
        if not needed:
            paths, said = ['tone = "1"\n'], f'&tone::HERTZ.to_string() + " > {name}"'
        library = f"""\
//! Says by which others it came to be.

/// Returns it.
pub fn said() -> String {{
    String::new() + {said}
}}

#[cfg(test)]
mod tests {{
    #[test]
    fn it_ends_with_its_own_name() {{
        assert!(super::said().ends_with("{name}"));
    }}
}}
"""
        files = {"Cargo.toml": manifest + "".join(paths), "src/lib.rs": library, ".gitignore": "/target/\nCargo.lock\n"}
        if repo["kind"] != "library":
            files["src/main.rs"] = f'fn main() {{\n    println!("{{}}", {name.replace("-", "_")}::said());\n}}\n'
        if repo["kind"] == "image":
            files["Dockerfile"] = "FROM scratch\n"
        return files

    def found(self, repository, files):
        """Makes a repository, here and on the server."""
        checkout = self.dir / repository
        checkout.mkdir(parents=True)
        git(checkout, "init", "--quiet", "--initial-branch=main")
        git(checkout, "remote", "add", "origin", f"https://github.com/{OWNER}/{repository}")
        bare = self.origin.repositories / OWNER / f"{repository}.git"
        git(self.dir, "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
        for path, text in files.items():
            (checkout / path).parent.mkdir(exist_ok=True)
            (checkout / path).write_text(text)

    def push(self, repository, message):
        """Commits all that has changed and pushes it."""
        checkout = self.dir / repository
        git(checkout, "add", "--all")
        git(checkout, "commit", "--quiet", "--allow-empty", f"--message={message}")
        git(checkout, "push", "--quiet", str(self.origin.repositories / OWNER / f"{repository}.git"), "main")
        if self.github:
            self.github.repositories[f"{OWNER}/{repository}"]["refs"]["heads/main"] = self.head(repository)

    def head(self, repository):
        return git(self.dir / repository, "rev-parse", "HEAD")

    def settings(self):
        """Returns what the server of events knows."""
        repos = {}
        for checkout in self.dir.iterdir():
            refs = {"heads/main": self.head(checkout.name)}
            repos[f"{OWNER}/{checkout.name}"] = {"branch": "main", "refs": refs, "private": False}
        everywhere = {"kind": "classic", "scopes": ["repo"]}
        return {"repos": repos, "tokens": {TOKEN: everywhere, OWN_TOKEN: everywhere}, "faults": []}

    def runner_cache(self, *arguments):
        """Runs a command of the chain, as a person does; returns its exit status and what it says."""
        command = [self.tools.program, "chain", *arguments, "--file", self.chain]
        done = subprocess.run(command, env=self.host.environment(), capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def init(self, *arguments):
        return self.runner_cache("init", self.dir, *arguments)

    def set_input(self, repository, job, text):
        """Does what people do: adds an input to a job of a repo, where the marks say that they may."""
        add(self.dir / repository / ".github/workflows/chain.yml", job, f"      {text}\n")
        self.push(repository, "another input")

    def run(self, repository, workflow, event, **payload):
        """Runs one workflow of a repository, because of an event."""
        self.runs += 1
        host = self.host
        host.repo = self.dir / repository
        host.name = f"{OWNER}/{repository}"
        host.comes_with(event, **payload)
        host.arguments = [
            *(f"--local-repository={name}@{pin(name)}={HERE / name}" for name in DOUBLES),
            f"--secret=CHAIN_TOKEN={TOKEN}",
            f"--secret=GITHUB_TOKEN={OWN_TOKEN}",
        ]
        variables = {"GITHUB_API_URL": self.github.url, "GITHUB_RUN_ID": str(1000 + self.runs)}
        return host.run(workflow, **variables, ARTIFACTS=str(self.artifacts))

    def settle(self, workflow="chain"):
        """Runs what was dispatched, and what that dispatches, until there is no more; returns the runs."""
        runs = []
        while len(runs) < len(self.dispatches()):
            sent = self.dispatches()[len(runs)]
            payload = {"action": sent["event_type"], "client_payload": sent["client_payload"], "branch": "main"}
            repository = sent["repository"].split("/")[1]
            runs.append((repository, self.run(repository, workflow, "repository_dispatch", **payload)))
        return runs

    def dispatches(self):
        return self.github.state()["dispatches"]


def add(workflow, place, text):
    """Adds text to a file at the marked places whose names fit."""
    mark = re.compile(rf"^ *# yours: {place}\n", re.MULTILINE)
    workflow.write_text(mark.sub(lambda match: match[0] + text, workflow.read_text()))


def pin(action):
    """Returns the commit by which our workflows name an action."""
    texts = [path.read_text() for path in sorted(WORKFLOWS.iterdir())]
    pins = set(re.findall(rf"uses: {action}@([0-9a-f]{{40}})", "\n".join(texts)))
    (only,) = pins
    return only
