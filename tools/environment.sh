# Changes to the checkout and makes one of its environments. To be sourced:
#
#   source tools/environment.sh .venv requirements-cpu.txt
#
# It sets $python to the interpreter of that environment.

unset CDPATH
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Prints the first Python 3.11 to 3.13 that can make an environment. Each
# candidate is run, because a name on the PATH may be a broken shim.
find_python() {
  local candidate answer tried=''
  local check='
import sys
version = "%d.%d" % sys.version_info[:2]
if version not in ("3.11", "3.12", "3.13"):
  sys.exit("Python " + version)
try:
  import ensurepip, venv
except ImportError:
  sys.exit("no venv module (install python%s-venv)" % version)'
  for candidate in ${PYTHON:+"$PYTHON"} python3.12 python3.13 python3.11 python3 python; do
    if answer=$("$candidate" -c "$check" 2>&1 </dev/null); then
      printf '%s\n' "$candidate"
      return
    fi
    answer=${answer%%$'\n'*}
    tried+=$'\n'"  $candidate: ${answer##*: }"
  done
  cat >&2 <<END
No Python 3.11, 3.12 or 3.13 that can make an environment was found:$tried
Install one, for example
  Debian, Ubuntu:  sudo apt-get install python3 python3-venv
  macOS:           brew install python@3.12
  any system:      uv python install 3.12
or give its path: PYTHON=/path/to/python3.12 bash tools/${0##*/}
END
  return 1
}

python=$(find_python)
"$python" tools/environment.py "$1" "$2"
python=$1/bin/python
