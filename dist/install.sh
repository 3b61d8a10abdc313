#!/bin/sh
# shellcheck shell=dash # Debian's /bin/sh; busybox's and bash read the same.
#
# Installs the program of this version of the action into the runner's tool cache, and reports the path or the error.
#
#   <tool cache>/runner-cache/<version>/x64/runner-cache
#   <tool cache>/runner-cache/<version>/x64.complete
#
# The launcher runs this script if these files are missing. The script makes no request if they exist, or if the right
# program exists without the marker: a person may have put it there by hand. Any number of copies may run at once, and
# each may be killed at any time: each downloads into its own directory, and only a file with the SHA-256 in SHA256SUMS,
# beside this script, gets the program's name. All trust rests on that sum, so no token is ever sent.
# RUNNER_CACHE_DOWNLOAD_URL replaces the addresses to download from; curl and wget read http_proxy and the like by
# themselves.
#
# The argument `optional` says that the job can do without the program: then a release that cannot be downloaded is a
# warning, and the exit status is 75. Any other error is an error.
set -eu
export LC_ALL=C
umask 022

REPOSITORY=btcdecoded/runner-cache
case $0 in
  */*) DIST=${0%/*} ;;
  *) DIST=. ;;
esac
TRIES=3
OPTIONAL=${1:-}
# The failure of the first address.
BEFORE=
CHILD=
STAGING=

# Shows a message of any number of lines in the job: $1 is `error` or `warning`.
annotate() {
  printf '::%s title=runner-cache::' "$1"
  shift
  printf '%s\n' "$*" | sed -e 's/%/%25/g' -e "s/$(printf '\r')/%0D/g" -e '$!s/$/%0A/' | tr -d '\n'
  printf '\n'
}

# Shows an error, and exits.
fail() {
  annotate error "$*"
  exit 1
}

# Shows that the release cannot be downloaded, and exits.
fail_download() {
  [ "$OPTIONAL" = optional ] || fail "$*"
  annotate warning "nothing is restored or saved: $*"
  [ -z "${GITHUB_OUTPUT:-}" ] || echo cache-hit=false >>"$GITHUB_OUTPUT" || :
  exit 75
}

# Ends the child and removes the staging directory, however the script ends.
clean_up() {
  if [ -n "$CHILD" ]; then
    kill "$CHILD" 2>/dev/null || :
    wait "$CHILD" 2>/dev/null || :
  fi
  [ -z "$STAGING" ] || rm -rf "$STAGING"
}

# Runs a command that a signal to this script ends too: a shell handles signals while it waits, not while a command
# runs.
interruptibly() {
  local status=0
  "$@" &
  CHILD=$!
  wait "$CHILD" || status=$?
  CHILD=
  return "$status"
}

# Does the same for a program without its own limit on the total time.
limited() {
  # Old versions of busybox's timeout take other arguments.
  if timeout 5 sh -c : 2>/dev/null; then
    set -- timeout 600 "$@"
  fi
  interruptibly "$@"
}

has() { command -v "$1" >/dev/null 2>&1; }

# Prints the text after the last ": ", which is the reason in the messages of most tools.
reason() { printf '%s\n' "$1" | sed -n -e 's/.*: //' -e '$p'; }

# Prints an address without its password.
shown() { printf '%s\n' "$1" | sed 's|://[^/@]*@|://***@|g'; }

sum_of() {
  case $SUM_TOOL in
    sha256sum) sha256sum <"$1" ;;
    shasum) shasum -a 256 <"$1" ;;
    openssl) openssl dgst -sha256 <"$1" | sed 's/.* //' ;;
  esac | sed 's/[^0-9a-f].*//'
}

# Sets SUM, VERSION and ASSET: the release that this version of the action needs.
read_release() {
  local name
  SUM='' name=''
  if [ -f "$DIST/SHA256SUMS" ]; then
    read -r SUM name <"$DIST/SHA256SUMS" || :
  fi
  VERSION=${name#runner-cache-}
  VERSION=${VERSION%-x86_64-linux}
  ASSET=runner-cache-$VERSION-x86_64-linux
  case $VERSION in
    '' | *[!0-9A-Za-z.+-]*) name= ;;
  esac
  if [ "${#SUM}" -ne 64 ] || [ "$name" != "$ASSET" ]; then
    fail "\`$DIST/SHA256SUMS\` names no program: this commit of the action is no release.
Use a release, as in \`uses: $REPOSITORY@v1\`, or put your own build at \`$DIST/bin/runner-cache\`."
  fi
}

check_machine() {
  local kernel machine
  kernel=$(uname -s) machine=$(uname -m)
  case $kernel-$machine in
    Linux-x86_64 | Linux-amd64) ;;
    *)
      fail "runs on Linux X64 only, and this is $kernel $machine.
Send the job to another runner, as with \`runs-on: [self-hosted, linux, x64]\`, or give the step \`if: runner.os == 'Linux' && runner.arch == 'X64'\`."
      ;;
  esac
}

# Sets HOME_DIR (this action's directory in the tool cache), PROGRAM and MARKER.
choose_place() {
  local tool
  tool=${RUNNER_TOOL_CACHE:-${HOME:+$HOME/.cache/runner-cache/tool}}
  case $tool in
    /*) ;;
    *) fail "knows no folder to install to: RUNNER_TOOL_CACHE is \`${RUNNER_TOOL_CACHE:-}\` and HOME is \`${HOME:-}\`.
Set RUNNER_TOOL_CACHE to an absolute path in the runner's \`.env\` file." ;;
  esac
  HOME_DIR=${tool%/}/runner-cache
  PROGRAM=$HOME_DIR/$VERSION/x64/runner-cache
  MARKER=$HOME_DIR/$VERSION/x64.complete
}

is_installed() { [ -e "$MARKER" ] && [ -f "$PROGRAM" ] && [ -x "$PROGRAM" ]; }

choose_sum_tool() {
  for SUM_TOOL in sha256sum shasum openssl; do
    if has "$SUM_TOOL"; then
      return
    fi
  done
  fail "cannot check a SHA-256: there is none of sha256sum, shasum and openssl.
Install one of them, as with \`apt-get install coreutils\`."
}

# Tells whether the disk with the staging directory is full. Tools do not always say so: their messages may need space
# too.
is_full() {
  local free
  [ -n "$STAGING" ] || return 1
  free=$(df -Pk "$STAGING" | sed -n '2s/.* \([0-9][0-9]*\)  *[0-9-]*%* \/.*/\1/p')
  [ "${free:-1024}" -lt 64 ]
}

# Fails because the disk refused: $1 is the action, $2 the message of the tool.
refuse() {
  local why
  why=$(reason "$2")
  if is_full; then
    why='No space left on device'
  fi
  case $why in
    *'No space left'* | *quota*)
      fail "$1: $why.
Free space on that filesystem, or set RUNNER_TOOL_CACHE in the runner's \`.env\` file to a folder on another disk."
      ;;
    *)
      fail "$1: $why.
The runner's user, $(id -un 2>/dev/null || id -u), needs to write there: \`sudo chown -R USER FOLDER\`. Or set RUNNER_TOOL_CACHE in the runner's \`.env\` file to a folder of its own."
      ;;
  esac
}

# Sets STAGING, a new directory beside the versions, and removes those left over for more than a day.
make_staging() {
  local said
  said=$(mkdir -p "${PROGRAM%/*}" 2>&1) || refuse "cannot make the folder \`${PROGRAM%/*}\`" "$said"
  said=$(mktemp -d "$HOME_DIR/.staging-XXXXXX" 2>&1) || refuse "cannot write to \`$HOME_DIR\`" "$said"
  STAGING=$said
  find "$HOME_DIR/." ! -name . -prune -name '.staging-*' -mtime +0 -exec rm -rf {} + 2>/dev/null || :
}

# Checks before the download whether the tool cache is mounted with noexec.
check_exec() {
  local said mount
  said=$(printf '#!/bin/sh\n' 2>&1 >"$STAGING/probe") || refuse "cannot write to \`$HOME_DIR\`" "$said"
  chmod 755 "$STAGING/probe"
  if ! "$STAGING/probe" 2>/dev/null; then
    mount=$(df -P "$STAGING" | sed -n '2s/^.* [0-9-]*%* \//\//p')
    fail "cannot run programs in \`$HOME_DIR\`: \`${mount:-its filesystem}\` is mounted with noexec.
Mount it without (\`mount -o remount,exec ${mount:-FOLDER}\`), or set RUNNER_TOOL_CACHE in the runner's \`.env\` file to a folder on another disk."
  fi
}

# Sets URL, NEXT_URL (empty if there is none) and DOWNLOADER.
#
# The release is that of the action's own repository. A fork need not have releases, and a server of GitHub Enterprise
# may take the action from github.com: so upstream's release is next. The sum protects both.
choose_source() {
  local base
  NEXT_URL=
  base=${RUNNER_CACHE_DOWNLOAD_URL:-}
  if [ -z "$base" ]; then
    base=${GITHUB_SERVER_URL:-https://github.com}/${GITHUB_ACTION_REPOSITORY:-$REPOSITORY}/releases/download/v$VERSION
    NEXT_URL=https://github.com/$REPOSITORY/releases/download/v$VERSION/$ASSET
  fi
  URL=${base%/}/$ASSET
  if [ "$URL" = "$NEXT_URL" ]; then
    NEXT_URL=
  fi
  case $URL in
    http://* | https://*) ;;
    *) fail "cannot download from \`$(shown "$URL")\`: it is not an address.
RUNNER_CACHE_DOWNLOAD_URL has to begin with \`https://\` or \`http://\`." ;;
  esac
  if has curl; then
    DOWNLOADER=curl
  elif has wget; then
    DOWNLOADER=wget
    case $(wget --version 2>&1) in
      'GNU Wget'*) DOWNLOADER=gnu-wget ;;
    esac
  else
    fail "cannot download \`$(shown "$URL")\`: there is neither curl nor wget.
Install one of them, as with \`apt-get install curl ca-certificates\`$(by_hand)"
  fi
}

# Prints a remedy that needs no network on the runner.
by_hand() {
  printf '%s\n' ", or put the program there by hand:" \
    "  mkdir -p '${PROGRAM%/*}'" \
    "  cp $ASSET '$PROGRAM'"
}

# Downloads once. The file `said` gets the tool's output.
fetch() {
  case $DOWNLOADER in
    curl)
      interruptibly curl --silent --show-error --fail --location --connect-timeout 10 \
        --speed-limit 1024 --speed-time 30 --max-time 600 --output "$STAGING/program" "$URL"
      ;;
    gnu-wget)
      limited wget --no-verbose --tries=1 --connect-timeout=10 --read-timeout=30 \
        --output-document="$STAGING/program" "$URL"
      ;;
    # No -T: busybox 1.35's wget in Debian 12 crashes with it.
    wget) limited wget -q -O "$STAGING/program" "$URL" ;;
  esac </dev/null >"$STAGING/said" 2>&1
}

# Prints the HTTP status in the output of curl, GNU wget, wget2 or busybox's wget; nothing if there is none.
http_status() {
  sed -n -e 's/.*returned error: \([45][0-9][0-9]\).*/\1/p' -e 's/.*ERROR \([45][0-9][0-9]\):.*/\1/p' \
    -e 's/.*ERROR response \([45][0-9][0-9]\).*/\1/p' -e 's|.*HTTP/[0-9.]* \([45][0-9][0-9]\).*|\1|p' \
    "$STAGING/said" | tail -n 1
}

# Goes on to the next address, because of $1; fails if there is none.
try_next_url() {
  [ -n "$NEXT_URL" ] || return 1
  BEFORE="; before, \`$(shown "$URL")\`: $1"
  URL=$NEXT_URL NEXT_URL=
  printf 'runner-cache: %s; downloading %s\n' "$1" "$(shown "$URL")"
}

# Downloads, and tries again if that may help.
download() {
  local try=1 pause=2 status why
  printf 'runner-cache: downloading %s\n' "$(shown "$URL")"
  while ! fetch || [ ! -s "$STAGING/program" ]; do
    status=$(http_status)
    why=$(shown "$(sed '/^$/d' "$STAGING/said" | tail -n 1)")
    if is_full; then
      refuse "cannot write to \`$HOME_DIR\`" "$why"
    fi
    case $status in
      408 | 429 | 5?? | '') ;;
      *)
        try_next_url "HTTP $status" || refuse_url "HTTP $status"
        try=1 pause=2
        continue
        ;;
    esac
    if [ "$try" -ge "$TRIES" ]; then
      why="${status:+HTTP $status: }${why:-it is empty}"
      if try_next_url "tried $TRIES times: $why"; then
        try=1 pause=2
        continue
      fi
      fail_download "cannot download \`$(shown "$URL")\`, tried $TRIES times: $why$BEFORE.
See whether this runner reaches that host, and whether http_proxy, https_proxy and no_proxy are right in its \`.env\` file. Set RUNNER_CACHE_DOWNLOAD_URL to a copy that it reaches$(by_hand)"
    fi
    printf 'runner-cache: try %s of %s failed: %s; trying again in %s s\n' \
      "$try" "$TRIES" "${why:-nothing came}" "$pause"
    interruptibly sleep "$pause"
    try=$((try + 1)) pause=$((pause * 4))
  done
}

# Fails for good: trying again would get the same answer from the server.
refuse_url() {
  fail_download "cannot download \`$(shown "$URL")\`: $1$BEFORE.
Version $VERSION has no such release there, or it is private (no token is sent). Set RUNNER_CACHE_DOWNLOAD_URL to the folder of a copy$(by_hand)"
}

# Compares what came with the SHA-256 in this repository. A server that wants a login answers with a page of its own, so
# the next address may still have the program.
check_sum() {
  local sum bytes
  sum=$(sum_of "$STAGING/program")
  if [ "$sum" != "$SUM" ]; then
    if try_next_url "its SHA-256 is $sum, not $SUM"; then
      download
      check_sum
      return
    fi
    if [ -n "$BEFORE" ]; then
      fail_download "\`$(shown "$URL")\` has the SHA-256 $sum, and this version of the action wants $SUM$BEFORE.
Nothing was installed. Set RUNNER_CACHE_DOWNLOAD_URL to the folder of a copy$(by_hand)"
    fi
    bytes=$(wc -c <"$STAGING/program")
    fail "\`$(shown "$URL")\` is not what was released: its SHA-256 is $sum (of $((bytes)) bytes), and this version of the action wants $SUM.
Somebody changed the release, or a proxy on the way changed it. Nothing was installed. Compare with the release's own SHA256SUMS before you use this version."
  fi
}

# Runs the program $1: the sum shows that it is the right program, not that it runs here.
check_runs() {
  local said status=0
  said=$("$1" --version 2>&1) || status=$?
  if [ "$status" -ne 0 ] || [ "$said" != "runner-cache $VERSION" ]; then
    fail "the program does not run here (status $status): $(printf '%s\n' "$said" | head -n 1)
It needs glibc 2.17 or newer, and Alpine has another C library: \`apk add gcompat\` in its image may be enough. Otherwise use an image with glibc, such as Debian's, or put your own build at \`$DIST/bin/runner-cache\`."
  fi
}

# Gives the program its name; the marker comes later, so that it always means a whole program.
publish() {
  local said
  # Without this, a power failure could leave the name without the bytes.
  sync "$STAGING/program" 2>/dev/null || sync
  if [ -d "$PROGRAM" ]; then
    fail "\`$PROGRAM\` is a folder, where the program belongs. Remove it."
  fi
  said=$(mv -f "$STAGING/program" "$PROGRAM" 2>&1) || refuse "cannot install \`$PROGRAM\`" "$said"
}

mark() {
  local said
  said=$(touch "$MARKER" 2>&1) || refuse "cannot write \`$MARKER\`" "$said"
  printf 'runner-cache: installed %s\n' "$PROGRAM"
}

main() {
  trap clean_up EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM

  check_machine
  read_release
  choose_place
  if is_installed; then
    return
  fi
  choose_sum_tool
  make_staging
  check_exec
  if [ -f "$PROGRAM" ] && [ "$(sum_of "$PROGRAM")" = "$SUM" ]; then
    chmod 755 "$PROGRAM" 2>/dev/null || :
    check_runs "$PROGRAM"
  else
    choose_source
    download
    check_sum
    chmod 755 "$STAGING/program"
    check_runs "$STAGING/program"
    publish
  fi
  mark
}

main
