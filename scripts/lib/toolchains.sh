# shellcheck shell=bash
# Implements `scripts/check --toolchains`: builds the tests with the pinned toolchain, and runs those that
# depend on the user's cargo with others.

CHANNELS=(stable beta nightly)

# The modules of tests/it whose results do not depend on cargo. All other modules run with each toolchain, so a
# new module need not be named here.
WITHOUT_CARGO=(
  chain chain_conditions chain_init checkouts commands concurrency crash damage filesystems git_server hostile
  installer lanes launcher old_stores runners stopping action
)

# Prints the modules of tests/it that run with each toolchain.
modules_with_cargo() {
  local all module
  mapfile -t all < <(sed -n 's/^mod \([a-z_]*\);$/\1/p' tests/it/main.rs)
  for module in "${WITHOUT_CARGO[@]}"; do
    [[ " ${all[*]} " == *" $module "* ]] || fail "WITHOUT_CARGO names \`$module\`, which tests/it/main.rs does not"
  done
  for module in "${all[@]}"; do
    [[ " ${WITHOUT_CARGO[*]} " == *" $module "* ]] || printf '%s\n' "$module"
  done
}

# Builds the tests with the pinned toolchain, and prints their programs: `it PATH` and `runner_cache PATH`.
test_programs() {
  cargo test --locked --lib --test it --no-run --message-format=json 2>>"$LOG" | python3 -c '
import json, sys
for message in map(json.loads, sys.stdin):
    if message["reason"] == "compiler-artifact" and message["profile"]["test"]:
        print(message["target"]["name"], message["executable"])'
}

# Installs the toolchain $1, and prints the directory of its programs. Some tests run clippy.
install_toolchain() {
  local program
  rustup toolchain install "$1" --profile minimal --component clippy --no-self-update >>"$LOG" 2>&1 || return 1
  program=$(rustup which --toolchain "$1" cargo) || return 1
  dirname "$program"
}

# with_toolchain BIN COMMAND...: runs a test program, which then starts the cargo and rustc in BIN.
with_toolchain() {
  local bin=$1
  shift
  # One at a time: as in `scripts/check`.
  env --unset=RUSTUP_TOOLCHAIN RUNNER_CACHE_TEST_TOOLCHAIN="$bin" PATH="$bin:$PATH" RUST_TEST_THREADS=1 "$@"
}

# Runs the tests with the toolchain $1, and sets ROW, its line in the table, and TESTS_FAILED.
test_toolchain() {
  local channel=$1 log="$CHECK_DIR/tests-$1.log" bin wanted module status=0 started passed failed filters=()
  bin=$(install_toolchain "$channel") || { tail "$LOG"; fail "rustup cannot install \`$channel\`"; }
  wanted=$("$bin/cargo" -V)
  with_toolchain "$bin" "${PROGRAMS[it]}" --nocapture --exact \
    support::tests_start_the_cargo_and_rustc_of_the_toolchain_that_was_asked_for >"$log" 2>&1 ||
    { cat "$log"; fail "the tests do not start \`$wanted\`"; }
  grep --quiet --fixed-strings "$wanted" "$log" ||
    { cat "$log"; fail "the tests do not say that they start \`$wanted\`"; }
  for module in "${MODULES[@]}"; do filters+=("$module::"); done
  started=${EPOCHREALTIME/./}
  {
    with_toolchain "$bin" "${PROGRAMS[it]}" --include-ignored "${filters[@]}" || status=1
    with_toolchain "$bin" "${PROGRAMS[runner_cache]}" cargo:: || status=1
  } >"$log" 2>&1 </dev/null
  passed=$(awk '/^test result: / { n += $4 } END { print n + 0 }' "$log")
  failed=$(awk '/^test result: / { n += $6 } END { print n + 0 }' "$log")
  TESTS_FAILED=$((status != 0 || failed != 0 || passed == 0))
  # shellcheck disable=SC2059 # The table is the format.
  ROW=$(printf "$TABLE" "$channel" "${wanted#cargo }" "$passed" "$failed" "$(seconds_since "$started")")
}

check_toolchains() {
  local channel rows=() broken=() TABLE='%-10s | %-38s | %6s | %6s | %9s' ROW TESTS_FAILED
  [[ $# -eq 0 ]] || CHANNELS=("$@")
  command -v rustup >/dev/null || fail "rustup is missing; see https://rustup.rs"
  mapfile -t MODULES < <(modules_with_cargo)
  [[ ${#MODULES[@]} -gt 0 ]] || exit 1
  declare -A PROGRAMS
  local name program
  while read -r name program; do PROGRAMS[$name]=$program; done < <(test_programs)
  [[ -n ${PROGRAMS[it]:-} && -n ${PROGRAMS[runner_cache]:-} ]] || { tail "$LOG"; fail "the tests cannot be built"; }
  say "with each toolchain: ${MODULES[*]}"
  for channel in "${CHANNELS[@]}"; do
    test_toolchain "$channel"
    say "$ROW"
    rows+=("$ROW")
    if [[ $TESTS_FAILED -ne 0 ]]; then
      broken+=("$channel")
      sed -n '/^failures:$/,/^test result:/p' "$CHECK_DIR/tests-$channel.log"
    fi
  done
  # shellcheck disable=SC2059 # The table is the format.
  printf "$TABLE\n" toolchain cargo passed failed seconds
  printf '%s\n' "${rows[@]}"
  [[ ${#broken[@]} -eq 0 ]] || fail "tests fail with: ${broken[*]}; see $CHECK_DIR/tests-<toolchain>.log"
}
