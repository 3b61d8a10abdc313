# shellcheck shell=bash
# Preparing the action to run without a release.

# Copies both actions and the reusable workflows to the new directory $1, with $2 as their program.
stage_action() {
  local dir=$1 program=$2
  mkdir -p "$dir/dist" "$dir/.github"
  cp "$REPO_ROOT/action.yml" "$dir"
  cp -R "$REPO_ROOT/chain" "$dir"
  cp -R "$REPO_ROOT/.github/workflows" "$dir/.github"
  find "$REPO_ROOT/dist" -maxdepth 1 -type f -exec cp --target-directory="$dir/dist" {} +
  install -D "$program" "$dir/dist/bin/runner-cache"
}
