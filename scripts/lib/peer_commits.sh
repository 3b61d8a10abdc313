# shellcheck shell=bash
# The repos of `scripts/bench --peers`, and the commits that its jobs build. `before_CASE` makes the commit of a case.
#
#   $WORK/author/<name>   where commits are made, as a developer does

# The repo that all others depend on.
LOWEST=blvm-primitives

# A registry crate below two others and all repos, in versions that any lock file may name. Each round takes the next.
BUMPED=itoa
BUMPS=(1.0.18 1.0.17 1.0.16 1.0.15 1.0.14 1.0.13 1.0.12 1.0.11 1.0.10)

# The commits of a case.
before_unchanged() { :; }
before_lowest_edit() {
  edit "$LOWEST"
  push "$LOWEST" main
}
before_own_edit() {
  edit "$REPO"
  push "$REPO" main
}
before_bump() {
  local last next
  last=$(grep --after-context=1 "^name = \"$BUMPED\"$" "$WORK/author/$REPO/Cargo.lock" | sed -n 's/^version = "\(.*\)"$/\1/p')
  next=$(printf '%s\n' "${BUMPS[@]}" | awk -v last="$last" 'found { print; exit } $0 == last { found = 1 }')
  bump "${next:-${BUMPS[0]}}"
  push "$REPO" main
}
before_branch_and_back() {
  git -C "$WORK/author/$REPO" switch --quiet --force-create topic
  edit "$REPO"
  push "$REPO" topic
  git -C "$WORK/author/$REPO" switch --quiet main
}
before_test() { :; }

# Clones as `check_out`; a repo without that branch is checked out at its main one.
check_out_branch() {
  local name branch
  mkdir -p "$WORKSPACE"
  for name in "${!VERSIONS[@]}"; do
    branch=main
    if git -C "$MIRRORS/$name.git" show-ref --quiet --verify "refs/heads/$1"; then branch=$1; fi
    git clone --quiet --branch "$branch" "$MIRRORS/$name.git" "$WORKSPACE/$name"
  done
}

# Commits and pushes what is changed in a repo of the author's.
push() {
  local name=$1 branch=$2 dir="$WORK/author/$1"
  git -C "$dir" add --all
  git -C "$dir" -c user.name=bench -c user.email=bench@example.invalid commit --quiet --message="$branch"
  git -C "$dir" push --quiet --force origin "HEAD:refs/heads/$branch"
}

# edit NAME: changes the body of one function of a repo.
edit() {
  local file="$WORK/author/$1/src/lib.rs"
  if ! grep --quiet '^pub fn bench_edit' "$file"; then
    printf '\n/// Added by the bench.\npub fn bench_edit() -> u64 {\n    0\n}\n' >>"$file"
  fi
  sed --in-place "/^pub fn bench_edit/,/^}/s/^    [0-9]*$/    ${EPOCHREALTIME/[.,]/}/" "$file"
}

# bump VERSION: moves one dependency in the lock file of the repo.
bump() {
  env --chdir="$WORK/author/$REPO" cargo update --quiet --package "$BUMPED" --precise "$1" >>"$LOG" 2>&1 ||
    fail "cannot move $BUMPED to $1; see $LOG"
}

# Makes the repos as jobs find them: with a lock file, and with every crate that a round needs in CARGO_HOME.
prepare_repos() {
  local name version
  fetch_sources
  mkdir -p "$WORK/author"
  for name in "${!VERSIONS[@]}"; do
    git clone --quiet "$MIRRORS/$name.git" "$WORK/author/$name"
  done
  sed --in-place '/^Cargo.lock$/d' "$WORK/author/$REPO/.gitignore"
  for name in "$LOWEST" "$REPO"; do edit "$name"; done
  WORKSPACE="$WORK/author" REPO_DIR="$WORK/author/$REPO" fetch_crates prepare.fetch "cargo fetch"
  WORKSPACE="$WORK/author" REPO_DIR="$WORK/author/$REPO" prove_patch
  cp "$WORK/author/$REPO/Cargo.lock" "$WORK/Cargo.lock"
  for version in "${BUMPS[@]}"; do
    bump "$version"
    WORKSPACE="$WORK/author" REPO_DIR="$WORK/author/$REPO" fetch_crates prepare.fetch "cargo fetch, $BUMPED $version"
  done
  cp "$WORK/Cargo.lock" "$WORK/author/$REPO/Cargo.lock"
  for name in "$LOWEST" "$REPO"; do push "$name" main; done
}
