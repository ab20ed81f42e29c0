#!/usr/bin/env bash
# Restarts a command that was killed, hung or crashed:
#
#   bash tools/supervise.sh [-n TIMES] COMMAND...
#
# for example: bash tools/supervise.sh bash tools/quickstart.sh
#
# At most TIMES restarts, 10 by default. If a restart would not help, it exits
# with the command's status: 0 done, 2 refused, 3 diverged, 130 and 143 ended by
# a signal. It forwards TERM and INT to the command.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/help.sh"
set -m  # The command gets its own process group, so Ctrl-C reaches it once.

times=10
if [[ ${1:-} == -n ]]; then
  times=${2:-}
  shift $(($# < 2 ? $# : 2))
fi
if ! [[ $times =~ ^[0-9]+$ && $# -gt 0 ]]; then
  echo 'usage: bash tools/supervise.sh [-n TIMES] COMMAND...' >&2
  exit 2
fi

child='' received='' pending=''
forward() {
  received=$1
  if [[ $child ]]; then kill -s "$1" -- "$child" 2>/dev/null; else pending=$1; fi
}
trap 'forward TERM' TERM
trap 'forward INT' INT

for ((restarts = 0; ; restarts++)); do
  "$@" &
  child=$!
  # A signal may come after the command starts and before $child is set.
  [[ -z $pending ]] || kill -s "$pending" -- "$child" 2>/dev/null
  wait "$child"
  status=$?
  while kill -0 "$child" 2>/dev/null; do # A signal ends `wait` early.
    wait "$child"
    status=$?
  done
  case $status in 0 | 2 | 3 | 130 | 143) exit "$status" ;; esac
  if [[ $received ]]; then exit "$status"; fi
  if ((restarts >= times)); then
    echo "supervise: status $status after $restarts restarts; giving up" >&2
    exit "$status"
  fi
  echo "supervise: status $status; restart $((restarts + 1)) of $times" >&2
  child=''
  sleep $((restarts < 60 ? restarts + 1 : 60)) &
  wait $!
  if [[ $received ]]; then exit 143; fi
done
