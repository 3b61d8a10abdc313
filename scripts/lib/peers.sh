# shellcheck shell=bash
# Implements `scripts/bench --peers`: the next job of a runner with this cache, and with the compiler caches mbx,
# sccache and kache.
#
# Each job begins as on a runner that cleans its workspace: there is no checkout and no target, every crate is in
# CARGO_HOME, and each side has what it keeps between jobs. The job clones the repos, restores (only ours), builds,
# and keeps what it built. The restore and the build are measured. All sides get the same commits in turn.
#
#   $WORK/kept/<side>     all that a side keeps between jobs
#   $WORK/live            the same of the side at work, if several need one path
#   $WORK/prepared.json   the figures of the first jobs; a run that finds it goes on from there
# shellcheck disable=SC2034 # Read by the scripts that source this.

# shellcheck source=scripts/lib/peer_commits.sh
source "$REPO_ROOT/scripts/lib/peer_commits.sh"

# The peers to install from the registry: sccache without its remote storages, which would take minutes more to build.
PEERS=("mbx 1.29.1" "sccache 0.19.0 --no-default-features" "kache 2.0.0")
PEERS_DIR="$REPO_ROOT/target/bench/peers"

# `mbx-incremental` and `mbx-eager` are its two settings for incremental compilation: cargo's own, and one for runners
# that stay. sccache and kache cannot cache a unit that compiles incrementally.
# A side stands behind the one whose store it begins with.
SIDES=(ours-packs ours-packs-incremental ours-hot ours-hot-incremental mbx mbx-incremental mbx-eager sccache kache)
PEER_CASES=(unchanged lowest_edit own_edit bump branch_and_back test)

peer_program() { printf '%s/%s/bin/%s' "$PEERS_DIR" "$1" "$1"; }

# install_peer NAME VERSION [OPTION...]: at most once; one that does not install is left out, and the table says why.
install_peer() {
  local name=$1 version=$2 log="$PEERS_DIR/$1.log" reason
  shift 2
  if [[ $("$(peer_program "$name")" --version 2>>"$LOG") != *" $version"* ]]; then
    say "  installing $name $version, which may take minutes"
    if ! CARGO_TARGET_DIR="$PEERS_DIR/build" cargo install --locked --force --root "$PEERS_DIR/$name" \
      --version "=$version" "$@" "$name" >"$log" 2>&1; then
      reason=$(awk '/^error/ { print; exit }' "$log")
      say "  $name $version is left out: $reason"
      figures put "left_out.$name" "$version: ${reason#error: }"
      return
    fi
  fi
  figures put "version.$name" "$version"
  INSTALLED+=("$name")
}

# Installs the peers, and leaves in SIDES those that can run.
install_peers() {
  local peer words side sides=()
  local INSTALLED=(ours)
  mkdir -p "$PEERS_DIR"
  for peer in "${PEERS[@]}"; do
    read -ra words <<<"$peer"
    install_peer "${words[@]}"
  done
  rm -rf "$PEERS_DIR/build"
  for side in "${SIDES[@]}"; do
    if [[ " ${INSTALLED[*]} " == *" ${side%%-*} "* ]]; then sides+=("$side"); fi
  done
  SIDES=("${sides[@]}")
}

# use_side SIDE: sets KEPT, what its cargo is called with (CARGO, SETTINGS), and the hot trees that ours keeps.
use_side() {
  KEPT="$WORK/kept/$1" CARGO=(cargo) SETTINGS=() HOT_TREES=0
  case $1 in
    ours-hot*) HOT_TREES=2 ;;
    mbx*)
      # Its store holds its own path, and two of the three begin with a copy.
      KEPT="$WORK/live"
      # Without `CI`, it learns which crates change, and keeps more.
      CARGO=("$(peer_program mbx)")
      SETTINGS=(--unset=CARGO_INCREMENTAL --unset=CI --unset=GITHUB_ACTIONS "XDG_CONFIG_HOME=$WORK/config"
        "MBX_CACHE_DIR=$KEPT")
      ;;
    sccache)
      SETTINGS=("RUSTC_WRAPPER=$(peer_program sccache)" "SCCACHE_DIR=$KEPT" "SCCACHE_SERVER_UDS=$WORK/sccache.sock")
      ;;
    kache) SETTINGS=("RUSTC_WRAPPER=$(peer_program kache)" "KACHE_CACHE_DIR=$KEPT" "XDG_CONFIG_HOME=$WORK/config") ;;
  esac
  case $1 in
    ours-*-incremental) SETTINGS=(CARGO_INCREMENTAL=1) ;;
    mbx-incremental) SETTINGS+=(MBX_INCREMENTAL=1) ;;
    mbx-eager) SETTINGS+=(MBX_EAGER_INCREMENTAL=1) ;;
  esac
}

# sccache's server lasts from job to job on a host that stays. Here it belongs to one job, so that none is left over.
sccache_server() {
  env "${SETTINGS[@]}" "$(peer_program sccache)" "$1" >>"$LOG" 2>&1
}

# ours VERB NAME LABEL JOB BRANCH: runner-cache as the Action calls it. The registry is left out: all sides have it.
ours() {
  local verb=$1 name=$2 label=$3 kind=$4 branch=$5 lane=protected
  [[ $branch == main ]] || lane=branch/$branch
  measure_settled "$name" "$label" -- env --chdir="$REPO_DIR" "${SETTINGS[@]}" "$BIN" "$verb" --root "$KEPT" \
    "${KEY_OPTIONS[@]}" --areas target --job "$kind" --lane "$lane" --hot-trees "$HOT_TREES" --json
}

cargo_of_side() {
  local name=$1 label=$2
  shift 2
  measure_settled "$name" "$label" -- env --chdir="$REPO_DIR" "${SETTINGS[@]}" "${CARGO[@]}" "$@" --locked
}

# run_job SIDE NAME BRANCH [test]: one job of a side, measured as NAME.restore, NAME.build and NAME.test.
run_job() {
  local side=$1 name=$2 branch=$3 kind=${4:-build}
  local label=${name/.$side/}", $side"
  use_side "$side"
  if [[ $KEPT == "$WORK/live" ]]; then
    printf '%s' "$side" >"$WORK/live.side"
    mv "$WORK/kept/$side" "$KEPT"
  fi
  rm -rf "$WORKSPACE"
  check_out_branch "$branch"
  read_all "$KEPT"
  case $side in
    ours*) ours restore "$name.restore" "$label, restore" "$kind" "$branch" ;;
    sccache) sccache_server --start-server ;;
  esac
  cargo_of_side "$name.build" "$label, build" build
  if [[ $kind == test ]]; then cargo_of_side "$name.test" "$label, test" test --no-run; fi
  case $side in
    ours*)
      ours save "$name.save" "$label, save" "$kind" "$branch"
      # As the Action does it, but never for a full disk.
      "$BIN" gc --root "$KEPT" --disk-threshold 100% --min-free 1MiB >>"$LOG" 2>&1
      ;;
    sccache) sccache_server --stop-server ;;
  esac
  if [[ $KEPT == "$WORK/live" ]]; then mv "$KEPT" "$WORK/kept/$side"; fi
}

# first_job SIDE: fills what a side keeps. Only the first of several settings builds everything.
first_job() {
  local side=$1 from=""
  case $side in
    ours-hot-incremental) from=ours-packs-incremental ;;
    ours-hot | ours-packs-incremental) from=ours-packs ;;
    mbx-*) from=mbx ;;
  esac
  mkdir -p "$WORK/kept"
  if [[ -z $from ]]; then
    mkdir "$WORK/kept/$side"
    run_job "$side" "first.$side" main
    return
  fi
  cp --archive "$WORK/kept/$from" "$WORK/kept/$side"
  run_job "$side" "before.$side" main
  # Artifacts of another setting do not belong to this side.
  if [[ $side == ours-* ]]; then
    "$BIN" gc --root "$WORK/kept/$side" --retention target=1,min-age=0s --disk-threshold 100% --min-free 1MiB \
      >>"$LOG" 2>&1
  fi
}

# The jobs of a side in a case. What is not measured is called `before`.
jobs_branch_and_back() {
  run_job "$1" before.branch topic
  run_job "$1" "$2" main
}
jobs_test() {
  run_job "$1" before.test main test
  run_job "$1" "$2" main test
}
jobs_of_peers() {
  case $1 in
    branch_and_back | test) "jobs_$1" "$2" "$3" ;;
    *) run_job "$2" "$3" main ;;
  esac
}

# Fast and wrong is no result: what was edited must have been compiled.
prove_compiled() {
  local name=$1 edited
  case $2 in
    lowest_edit) edited=$LOWEST ;;
    own_edit) edited=$REPO ;;
    bump) edited=$BUMPED ;;
    *) return 0 ;;
  esac
  if [[ " $(figures compiled "$name.build" all) " != *" $edited "* ]]; then
    fail "$name: \`$edited\` was changed and not compiled"
  fi
}

# The side that goes first changes from round to round.
peers_round() {
  local case=$1 number=$2 index side
  "before_$case"
  for index in "${!SIDES[@]}"; do
    side=${SIDES[(number + index) % ${#SIDES[@]}]}
    jobs_of_peers "$case" "$side" "${case//_/ }.$side"
    prove_compiled "${case//_/ }.$side" "$case"
  done
}

# Keeps the figures so far, for a run that goes on from here.
keep_prepared() { cp "$FIGURES" "$WORK/prepared.json"; }

# Installs the peers, makes the repos and runs the first job of each side; what an interrupted run has done is left.
prepare_sides() {
  local side
  if [[ -f $WORK/prepared.json ]]; then
    cp "$WORK/prepared.json" "$FIGURES"
    if [[ -d $WORK/live ]]; then mv "$WORK/live" "$WORK/kept/$(<"$WORK/live.side")"; fi
  else
    [[ ! -e $WORK/mirrors ]] || fail "\`$WORK\` holds a run that was interrupted too early to go on"
    prepare_repos
    keep_prepared
  fi
  install_peers
  for side in "${SIDES[@]}"; do
    if [[ ! -f $WORK/kept/$side.ready ]]; then
      rm -rf "${WORK:?}/kept/$side"
      first_job "$side"
      figures put "first_bytes.$side" "$(disk_bytes "$WORK/kept/$side")"
      keep_prepared
      touch "$WORK/kept/$side.ready"
    else
      # The interrupted run may have stopped between two sides.
      run_job "$side" before.going_on main
    fi
  done
}

# compare_peers JSON DIR: in DIR, which is kept, or in a temporary directory if it is empty.
compare_peers() {
  local json=$1 number case side
  ((RUNS <= ${#BUMPS[@]})) || fail "--runs: with --peers at most ${#BUMPS[@]}"
  if [[ -f $2/prepared.json ]]; then rm -rf "$2/workspace"; fi
  set_up small "$2"
  need_room 16000
  prepare_sides
  for ((number = 1; number <= RUNS; number++)); do
    for case in "${PEER_CASES[@]}"; do peers_round "$case" "$number"; done
  done
  for side in "${SIDES[@]}"; do
    figures put "last_bytes.$side" "$(disk_bytes "$WORK/kept/$side")"
  done

  describe_workload "crates present, page cache warm"
  printf '%s rounds; the dependency is %s\n\n' "$RUNS" "$BUMPED"
  "$REPO_ROOT/scripts/lib/peers.py" "$FIGURES"
  mkdir -p "$(dirname "$json")"
  cp "$FIGURES" "$json"
  figures plot "${json%.json}.svg"
  say "figures: $json, ${json%.json}.svg"
}
