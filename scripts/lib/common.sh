# shellcheck shell=bash
# Shared functions of the scripts: messages, failures, tools, disk space, a private directory, measuring. The
# script that sources this sets PROGRAM, its own name.
# shellcheck disable=SC2034 # Read by the scripts that source this.

REPO_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
FIGURES_PY="$REPO_ROOT/scripts/lib/figures.py"
MISSING_PACKAGES=()
WORK=""
FIGURES=""
KEEP_WORK=false
LOG=""

# Progress goes to stderr: stdout is for the result.
say() { printf '%s\n' "$*" >&2; }

fail() {
  say "$PROGRAM: $*"
  exit 1
}

# Notes the missing Debian package if the probe (a command) fails.
need() {
  local package=$1
  shift
  if ! "$@" >/dev/null 2>&1; then
    MISSING_PACKAGES+=("$package")
  fi
}

# Installs the packages that `need` found missing. Without root or passwordless sudo it only names them: asking
# for a password in the middle of a long run would stop it unnoticed.
install_missing() {
  local packages=("${MISSING_PACKAGES[@]}") as_root=()
  MISSING_PACKAGES=()
  [[ ${#packages[@]} -gt 0 ]] || return 0
  command -v apt-get >/dev/null || fail "missing: ${packages[*]} (no apt-get here to install them)"
  if [[ $EUID -ne 0 ]]; then
    sudo -n true 2>/dev/null || fail "missing: ${packages[*]}; run: sudo apt-get install ${packages[*]}"
    as_root=(sudo -n)
  fi
  say "installing ${packages[*]}"
  {
    "${as_root[@]}" apt-get update &&
      "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --no-install-recommends "${packages[@]}"
  } >>"$LOG" 2>&1 || fail "cannot install ${packages[*]} with apt-get; see $LOG"
}

# Cargo comes from rustup, which is never installed behind the user's back.
need_cargo() {
  if ! command -v cargo >/dev/null && [[ -x $HOME/.cargo/bin/cargo ]]; then
    PATH="$HOME/.cargo/bin:$PATH"
  fi
  command -v cargo >/dev/null || fail "cargo is missing; install it with rustup (https://rustup.rs)"
}

# The log is outside the private directory: it must survive a failure, and the directory must not.
open_log() {
  LOG=$(mktemp "${TMPDIR:-/tmp}/runner-cache-$PROGRAM-XXXXXX.log")
  trap finish EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# Runs at every exit: removes the private directory, and keeps the log only if something went wrong.
finish() {
  local status=$?
  trap - EXIT
  if [[ -n $WORK && $KEEP_WORK == false ]]; then
    rm -rf "$WORK"
  fi
  if [[ $status -ne 0 && -s $LOG ]]; then
    say "$PROGRAM: failed; details: $LOG"
  else
    rm -f "$LOG"
  fi
  exit "$status"
}

# Makes the private directory: the named one, which stays, or a temporary one, on the filesystem of
# scripts/with-filesystem if we run under it. Sets WORK and FIGURES.
make_work_dir() {
  local wanted=$1
  if [[ -n $wanted ]]; then
    mkdir -p "$wanted"
    KEEP_WORK=true
    WORK=$wanted
  else
    WORK=$(mktemp -d "${FILESYSTEM_DIR:-${TMPDIR:-/tmp}}/runner-cache-$PROGRAM-XXXXXX")
  fi
  # Cargo records absolute paths with symlinks resolved, so we resolve them, too.
  WORK=$(realpath "$WORK")
  FIGURES="$WORK/$PROGRAM.json"
  rm -f "$FIGURES"
}

# Fails early and with the remedy, not in the fifth minute with half a target directory.
need_room() {
  local megabytes=$1 free
  free=$(df --output=avail --block-size=1M "$WORK" | tail -n 1)
  if ((free < megabytes)); then
    fail "needs $megabytes MB of disk, \`$WORK\` has ${free// /} MB; choose another disk with TMPDIR=DIR"
  fi
}

# Builds runner-cache as a user would, unless RUNNER_CACHE_BIN names a program. Sets BIN.
build_binary() {
  if [[ -n ${RUNNER_CACHE_BIN:-} ]]; then
    [[ -x $RUNNER_CACHE_BIN ]] || fail "RUNNER_CACHE_BIN: \`$RUNNER_CACHE_BIN\` is not a program"
    BIN=$(realpath "$RUNNER_CACHE_BIN")
    return
  fi
  build_ours "build runner-cache"
  BIN="$REPO_ROOT/target/release/runner-cache"
}

# build_ours LABEL [OPTION...]
build_ours() {
  local label=$1
  shift
  measure build-ours "$label" -- \
    env --chdir="$REPO_ROOT" CARGO_TARGET_DIR="$REPO_ROOT/target" cargo build --release --locked "$@"
}

# Runs the figures program on this run's figures file.
figures() { "$FIGURES_PY" --figures "$FIGURES" "$@"; }

# measure NAME LABEL -- COMMAND...: runs the command with progress, and records seconds, peak memory and
# compiled crates.
measure() {
  local name=$1 label=$2
  shift 3
  figures run "$name" "$label" "$LOG" "$@" || fail "$label failed"
}

# The same once the disk is idle, so that writing back the last command's files does not count for this one.
measure_settled() {
  sync -f "$WORK"
  measure "$@"
}

# Prints the bytes that a directory takes on disk; hard links count once.
disk_bytes() { du --summarize --total --block-size=1 "$@" | tail -n 1 | cut -f 1; }

# Counts the regular files below the given directories that exist.
count_files() { find "$@" -type f -printf . | wc -c; }

# Reads all files below a directory into memory. A kernel may drop files that nobody has read for a minute:
# without this, one side could find its copy in memory and another not.
read_all() { find "$1" -type f -exec cat {} + >/dev/null; }
