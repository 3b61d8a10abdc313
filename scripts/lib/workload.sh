# shellcheck shell=bash
# The workload: real crates from the registry, laid out as one repo and its dependency checkouts.
#
#   $WORK/mirrors/<name>.git   what `git clone` gets the sources from, as a job does
#   $WORK/workspace/<name>     the checkouts; always at this path, because cargo hashes it
#   $WORK/cargo-home           a private CARGO_HOME
#   $WORK/rsync                what rsync keeps
#   $WORK/store                what runner-cache keeps
# shellcheck disable=SC2034 # Read by the scripts that source this.

# Sets REPO (the repo that is built), DEPENDENCIES, VERSIONS, EDITS (the files to which a line is added) and
# ROOM_MB.
choose_workload() {
  local size=$1
  declare -gA VERSIONS=([blvm-protocol]=0.1.39 [blvm-consensus]=0.1.73 [blvm-primitives]=0.1.30)
  if [[ $size == large ]]; then
    REPO=blvm-node
    VERSIONS[blvm-node]=0.1.83
    DEPENDENCIES=(blvm-consensus blvm-primitives blvm-protocol)
    # Each edit costs a rebuild of its dependents, so there is one, in a crate that not all others depend on.
    EDITS=(blvm-protocol)
    ROOM_MB=14000
  else
    REPO=blvm-protocol
    DEPENDENCIES=(blvm-consensus blvm-primitives)
    EDITS=(blvm-consensus blvm-primitives)
    ROOM_MB=2500
  fi
}

# Sets the directories, once the private directory is known.
place_workload() {
  MIRRORS="$WORK/mirrors"
  WORKSPACE="$WORK/workspace"
  REPO_DIR="$WORKSPACE/$REPO"
  TARGET="$REPO_DIR/target"
  RSYNC_COPY="$WORK/rsync"
  STORE="$WORK/store"
  export CARGO_HOME="$WORK/cargo-home"

  local name
  CACHE_OPTIONS=(--root "$STORE" --repo "$REPO_DIR" --cargo-home "$CARGO_HOME")
  KEY_OPTIONS=(--repo "$REPO_DIR")
  for name in "${DEPENDENCIES[@]}"; do
    CACHE_OPTIONS+=(--dependency "$name=$WORKSPACE/$name")
    KEY_OPTIONS+=(--dependency "$name=$WORKSPACE/$name")
  done
}

# The packages that the workload's build needs besides cargo; openssl and make are for two crates of the large
# workload.
need_workload_tools() {
  need build-essential command -v cc
  need git command -v git
  need rsync command -v rsync
  need python3 command -v python3
  if [[ $1 == large ]]; then
    need build-essential command -v make
    need pkg-config command -v pkg-config
    need libssl-dev pkg-config --exists openssl
  fi
}

# Cuts off settings that would make two machines build differently: the user's cargo and git settings and
# wrappers. The toolchain is the one that runner-cache itself is built with: two of the repos pin an older one,
# and a demo must not install toolchains.
isolate_environment() {
  local name
  for name in $(compgen -e); do
    case $name in
      CARGO_HTTP_* | CARGO_NET_*) ;;
      CARGO_* | GIT_* | RUSTFLAGS | RUSTDOCFLAGS | RUSTC | RUSTC_* | RUNNER_CACHE_* | \
        MBX_* | SCCACHE_* | KACHE_*) unset "$name" ;;
    esac
  done
  if command -v rustup >/dev/null; then
    RUSTUP_TOOLCHAIN=$(cd "$REPO_ROOT" && rustup show active-toolchain 2>>"$LOG" | cut -d ' ' -f 1) ||
      fail "rustup has no toolchain for \`$REPO_ROOT\`"
    export RUSTUP_TOOLCHAIN
  fi
  export CARGO_INCREMENTAL=0 CARGO_TERM_COLOR=never CARGO_TERM_PROGRESS_WHEN=never
  export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
}

# Downloads the sources from the registry with cargo itself, in a separate CARGO_HOME: the cold build's is
# empty.
fetch_sources() {
  local sources="$WORK/sources" name
  mkdir -p "$sources/src"
  touch "$sources/src/lib.rs"
  {
    printf '[package]\nname = "sources"\nversion = "0.0.0"\nedition = "2021"\n\n[dependencies]\n'
    for name in "${!VERSIONS[@]}"; do
      printf '%s = "=%s"\n' "$name" "${VERSIONS[$name]}"
    done
  } >"$sources/Cargo.toml"
  measure fetch-sources "fetch the sources" -- \
    env --chdir="$sources" CARGO_HOME="$sources/cargo-home" cargo fetch
  for name in "${!VERSIONS[@]}"; do
    make_mirror "$name" "$sources"/cargo-home/registry/src/*/"$name-${VERSIONS[$name]}"
  done
  rm -rf "$sources"
}

# Turns the extracted crate into a git repository like its authors': without a lock file (a shipped one would
# pin siblings that the patch does not match) and without the files that publishing adds.
make_mirror() {
  local name=$1 source=$2
  [[ -d $source ]] || fail "the registry's \`$name\` is not at \`$source\`"
  rm -rf "$source"/{Cargo.lock,Cargo.toml.orig,.cargo-ok,.cargo_vcs_info.json}
  printf '/target/\nCargo.lock\n' >>"$source/.gitignore"
  if [[ $name == "$REPO" ]]; then
    printf '\n[patch.crates-io]\n' >>"$source/Cargo.toml"
    printf '%s\n' "${DEPENDENCIES[@]}" | sed 's|.*|& = { path = "../&" }|' >>"$source/Cargo.toml"
  fi
  git -C "$source" init --quiet --initial-branch=main
  git -C "$source" add --all
  GIT_AUTHOR_DATE="2026-01-01T00:00:00Z" GIT_COMMITTER_DATE="2026-01-01T00:00:00Z" \
    git -C "$source" -c user.name=demo -c user.email=demo@example.invalid \
    commit --quiet --message="$name ${VERSIONS[$name]}"
  git clone --quiet --bare "$source" "$MIRRORS/$name.git"
}

# Makes fresh checkouts of all repos: equal contents, new times.
check_out() {
  local name
  mkdir -p "$WORKSPACE"
  for name in "${!VERSIONS[@]}"; do
    git clone --quiet "$MIRRORS/$name.git" "$WORKSPACE/$name"
  done
}

# Leaves the workspace as the next job on a clean runner finds it: empty.
throw_away() { rm -rf "$WORKSPACE" "$CARGO_HOME"; }

# Runs cargo in the repo that is built, as a job does.
fetch_crates() { measure_settled "$1" "$2" -- env --chdir="$REPO_DIR" cargo fetch; }
build() { measure_settled "$1" "$2" -- env --chdir="$REPO_DIR" cargo build; }

# Prints the crates of the build, one a line: `name vVERSION (PATH)` for path crates.
crate_lines() {
  env --chdir="$REPO_DIR" cargo tree --offline --edges normal,build --prefix none "$@" 2>>"$LOG" |
    sed 's/ (\*)$//' | sort -u
}

# Prints the names of the path crates, sorted, on one line; with `--invert NAME`, NAME and its dependents.
path_crates() { crate_lines "$@" | sed -n 's|^\([^ ]*\) [^ ]* (/.*|\1|p' | sort -u | xargs; }

# A patch that does not match is silently unused, which would make all results meaningless. So every repo must
# be built from its checkout and from nowhere else. (`measure` fails on cargo's warning.)
prove_patch() {
  local name lines
  lines=$(crate_lines)
  for name in "${!VERSIONS[@]}"; do
    if [[ $(grep "^$name " <<<"$lines") != "$name v${VERSIONS[$name]} ($WORKSPACE/$name)" ]]; then
      fail "the patch is not used: \`$name\` is not built from \`$WORKSPACE/$name\`"
    fi
  done
}

# rsync_areas FROM TO NAME LABEL: copies as CI scripts do today, and creates missing parents. FROM and TO are
# `live` or `copy`.
rsync_areas() {
  local -A directory=(
    [live:registry]="$CARGO_HOME/registry" [copy:registry]="$RSYNC_COPY/registry"
    [live:git]="$CARGO_HOME/git" [copy:git]="$RSYNC_COPY/git"
    [live:target]="$TARGET" [copy:target]="$RSYNC_COPY/target"
  )
  local from=$1 to=$2 name=$3 label=$4 area pairs=()
  shift 4
  for area in "$@"; do
    # An area that cargo did not create is empty.
    mkdir -p "${directory[$from:$area]}" "${directory[$to:$area]}"
    pairs+=("${directory[$from:$area]}/" "${directory[$to:$area]}/")
  done
  # shellcheck disable=SC2016 # Expanded by the bash that is measured.
  measure_settled "$name" "$label" -- bash -c '
    set -euo pipefail
    while [[ $# -gt 0 ]]; do
      rsync -a --delete "$1" "$2"
      shift 2
    done' rsync "${pairs[@]}"
}

rsync_save() { rsync_areas live copy "$@" registry git target; }
rsync_restore() { rsync_areas copy live "$@" registry git target; }

# cache VERB NAME LABEL [OPTION...]: runner-cache on the same directories.
cache() {
  local verb=$1 name=$2 label=$3
  shift 3
  measure_settled "$name" "$label" -- \
    env --chdir="$REPO_DIR" "$BIN" "$verb" "${CACHE_OPTIONS[@]}" --json "$@"
}

# Builds the workspace from nothing. The cache key is computed before the build, as the Action does it.
prepare_workload() {
  fetch_sources
  check_out
  measure key-cold "compute the key" -- env --chdir="$REPO_DIR" "$BIN" key "${KEY_OPTIONS[@]}" --json
  KEY=$(figures report key-cold cache_key)
  fetch_crates fetch-cold "cargo fetch"
  prove_patch
  build build-cold "cargo build, cold"
}

# set_up SIZE DIR [EXAMPLE]: does everything before the first build: tools, directories, the program, a clean
# environment. If DIR is not empty, it is used and kept; a workspace in it must have this SIZE. EXAMPLE, one of
# our examples, is built, too.
set_up() {
  local size=$1 dir=$2 example=${3:-}
  open_log
  need_workload_tools "$size"
  install_missing
  need_cargo
  choose_workload "$size"
  make_work_dir "$dir"
  if [[ -d $WORK/workspace && ! -d $WORK/workspace/$REPO/target ]]; then
    fail "\`$WORK/workspace\` has no \`$REPO/target\`: another size, or interrupted before"
  fi
  need_room "$ROOM_MB"
  build_binary
  if [[ -n $example ]]; then
    build_ours "build $example" --example "$example"
  fi
  isolate_environment
  place_workload
  figures put size "$size"
}

# A figure means nothing without its machine.
describe_machine() {
  local model memory
  model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
  memory=$(($(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo) / 1048576))
  figures put machine "$(nproc) cores (${model:-$(uname -m)}), $memory GiB, \
$(df --output=fstype "$WORK" | tail -n 1), Linux $(uname -r)"
  figures put date "$(date --utc +%Y-%m-%dT%H:%M:%SZ)"
  figures get machine
}

# describe_workload [CONDITIONS]
describe_workload() {
  figures put workload "$REPO ${VERSIONS[$REPO]} with ${DEPENDENCIES[*]} beside it"
  figures put cargo "$(env --chdir="$WORK" cargo --version)"
  figures get workload
  describe_machine
  printf '%s, %s\n' "$(figures get cargo)" "${1:-CARGO_INCREMENTAL=0}"
  describe_disk
}

# Says so if the disk is ext4 without a journal: it looks for inodes past all that were freed in the last minutes
# (`recently_deleted` of the kernel), and the demo restores right after it deleted as many files.
describe_disk() {
  local source fstype
  read -r source fstype < <(df --output=source,fstype "$WORK" | tail --lines=1)
  if [[ $fstype == ext4 && -d /proc/fs/jbd2 ]] && ! compgen -G "/proc/fs/jbd2/${source##*/}-*" >/dev/null; then
    cat <<END
The disk is ext4 without a journal. After many files were deleted, it creates new ones slowly for some minutes, so
restores may take several times as long. The figures of a usual disk, as root:
  scripts/with-filesystem ext4 8G bash -c 'TMPDIR=\$FILESYSTEM_DIR scripts/$PROGRAM'
END
  fi
}
