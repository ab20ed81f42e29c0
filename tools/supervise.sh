#!/usr/bin/env bash
# Starts a run again where it was killed, hung or crashed:
#
#   bash tools/supervise.sh [-n TIMES] COMMAND...
#
# as in: bash tools/supervise.sh bash tools/quickstart.sh
#
# At most TIMES restarts, 10 by default. It ends with the command's own status
# where that says that another start would not help: 0 done, 2 refused, 3
# diverged, 130 and 143 told to end. TERM and INT go on to the command.
set -uo pipefail
set -m  # The command in a group of its own: Ctrl-C reaches it once, by us.

times=10
if [[ ${1:-} == -n ]]; then
  times=${2:?'-n wants a number'}
  shift 2
fi
: "${1:?usage: bash tools/supervise.sh [-n TIMES] COMMAND...}"

child='' told='' owed=''
forward() {
  told=$1
  if [[ $child ]]; then kill -s "$1" -- "$child" 2>/dev/null; else owed=$1; fi
}
trap 'forward TERM' TERM
trap 'forward INT' INT

for ((restarts = 0; ; restarts++)); do
  "$@" &
  child=$!
  # A signal may come when the command runs and has no name yet.
  [[ -z $owed ]] || kill -s "$owed" -- "$child" 2>/dev/null
  wait "$child"
  status=$?
  while kill -0 "$child" 2>/dev/null; do # A signal to us ends our wait early.
    wait "$child"
    status=$?
  done
  case $status in 0 | 2 | 3 | 130 | 143) exit "$status" ;; esac
  if [[ $told ]]; then exit "$status"; fi
  if ((restarts >= times)); then
    echo "supervise: status $status after $restarts restarts; giving up" >&2
    exit "$status"
  fi
  echo "supervise: status $status; restart $((restarts + 1)) of $times" >&2
  child=''
  sleep $((restarts < 60 ? restarts + 1 : 60)) &
  wait $!
  if [[ $told ]]; then exit 143; fi
done
