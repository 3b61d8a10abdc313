# shellcheck shell=bash
# The action, ready to be run without a release.

# Copies the action to the new directory $1, with $2 as its program.
stage_action() {
  local dir=$1 program=$2
  mkdir -p "$dir/dist"
  cp "$REPO_ROOT/action.yml" "$dir"
  find "$REPO_ROOT/dist" -maxdepth 1 -type f -exec cp --target-directory="$dir/dist" {} +
  install -D "$program" "$dir/dist/bin/runner-cache"
}
