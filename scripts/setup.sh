#!/bin/sh
# Makes .venv from requirements.lock, once: needs a Python of 3.11 or later with pip, and the network the first time.
# A second call costs one start of Python. PYTHON=/path/to/python3 chooses another Python.
set -eu

cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

say() { printf 'AII: %s\n' "$*" >&2; }

refuse() {
    say "$*"
    exit 1
}

# Runs a command quietly; when it fails, says what to do by what it printed.
attempt() {
    what=$1
    shift
    if output=$("$@" 2>&1); then
        return 0
    fi
    printf '%s\n' "$output" | tail -n 12 >&2
    case $output in
    *"No space left on device"* | *"os error 28"* | *"Disk quota exceeded"*)
        refuse "$what failed: the disk that holds $(pwd) or the package cache is full. Free about 1 GB and try again."
        ;;
    *"Permission denied"* | *"Read-only file system"*)
        refuse "$what failed: $(pwd) or the package cache is not writable for $(id -un 2>/dev/null || id -u)."
        ;;
    *"hash"*"mismatch"* | *"Hash mismatch"* | *"DO NOT MATCH THE HASHES"*)
        refuse "$what failed: a downloaded package is not the one that the lock file names. Nothing was installed."
        ;;
    *"certificate"* | *"CERTIFICATE"*)
        refuse "$what failed: the package index shows a certificate that this machine does not trust. Set SSL_CERT_FILE to your proxy's."
        ;;
    *"error sending request"* | *"onnection"* | *"dns error"* | *"resolve"*"host"* | *"timed out"* | *"Failed to fetch"* | *"No matching distribution"*)
        refuse "$what failed: the package index was not reached. Check the network (or PIP_INDEX_URL, UV_DEFAULT_INDEX, HTTPS_PROXY) and try again."
        ;;
    *) refuse "$what failed; the reason is above." ;;
    esac
}

command -v "$python" >/dev/null 2>&1 ||
    refuse "$python was not found. Install Python 3.11 or later, or name one: make up PYTHON=/path/to/python3."

# One start of Python answers all: its version, and what an environment made from it and this lock would be.
facts=$("$python" -c '
import hashlib, sys
print("%d.%d" % sys.version_info[:2])
print("%s %s" % (hashlib.sha256(open("requirements.lock", "rb").read()).hexdigest(), sys.version.split()[0]))
') || refuse "$python does not run. Install Python 3.11 or later, or name one: make up PYTHON=/path/to/python3."
version=$(printf '%s\n' "$facts" | sed -n 1p)
stamp=$(printf '%s\n' "$facts" | sed -n 2p)

major=${version%%.*}
minor=${version#*.}
if [ "$major" -lt 3 ] || { [ "$major" -eq 3 ] && [ "$minor" -lt 11 ]; }; then
    refuse "$python is Python $version, and AII needs 3.11 or later. Install one, or name it: make up PYTHON=/path/to/python3.12."
fi

# Written last, so an interrupted installation is taken up again.
if [ "$(cat .venv/aii-stamp 2>/dev/null || true)" = "$stamp" ] && [ -x .venv/bin/python ]; then
    exit 0
fi

mkdir -p .boot 2>/dev/null || refuse "$(pwd) is not writable for $(id -un 2>/dev/null || id -u)."
if command -v flock >/dev/null 2>&1; then
    # Two first calls at once (make up and make test): the second waits, then finds the work done.
    exec 9>.boot/lock
    flock 9
    if [ "$(cat .venv/aii-stamp 2>/dev/null || true)" = "$stamp" ] && [ -x .venv/bin/python ]; then
        exit 0
    fi
fi

started=$(date +%s)
export PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
export UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1
cache=${UV_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}}
if ! mkdir -p "$cache" 2>/dev/null || [ ! -w "$cache" ]; then
    # An account without a home folder.
    export UV_CACHE_DIR="$(pwd)/.boot/cache" PIP_NO_CACHE_DIR=1
fi

if [ -s /etc/ssl/certs/ca-certificates.crt ]; then
    # The machine's certificates, which a company's proxy may need; where there are none, uv has its own.
    export UV_SYSTEM_CERTS=true
fi

uv=.boot/bin/uv
wanted=$(sed -n 's/^uv==\([^ ]*\).*/\1/p' scripts/uv.lock)
case "$($uv --version 2>/dev/null || true)" in
"uv $wanted"*) ;;
*)
    say "Installing uv $wanted"
    installer=$python
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv --clear .boot/venv >/dev/null 2>&1 || refuse \
            "$python has neither pip nor a working venv module. Install them (Debian, Ubuntu: apt-get install python3-pip python3-venv)."
        installer=.boot/venv/bin/python
    fi
    # --target needs no virtual environment and is allowed where the system's Python is "externally managed".
    attempt "Installing uv" "$installer" -m pip install --quiet --upgrade --target .boot \
        --require-hashes -r scripts/uv.lock
    ;;
esac

# Broken by an interruption, or made from another Python: begin anew.
if [ "$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true)" != "$version" ]; then
    attempt "Making .venv" "$uv" venv --quiet --clear --python "$(command -v "$python")" .venv
fi
say "Installing $(grep -c '^[a-z]' requirements.lock) packages into .venv"
rm -f .venv/aii-stamp
attempt "Installing the packages" "$uv" pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock
printf '%s\n' "$stamp" >.venv/aii-stamp.new
mv .venv/aii-stamp.new .venv/aii-stamp
say "Installed in $(($(date +%s) - started)) s"
