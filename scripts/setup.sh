# Sourced by demo.sh and test.sh: system libraries, a virtual environment in .venv, pinned packages.
# shellcheck shell=bash

LIBRARIES="xvfb xauth libegl1 libgl1 libgl1-mesa-dri libglib2.0-0 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 \
libxcb-image0 libxcb-keysyms1 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libdbus-1-3 libfontconfig1"

say() { printf '%s\n' "$*" >&2; }

install_libraries() {
    command -v dpkg-query >/dev/null || { say "Not a Debian system: make sure that Qt 6 and Xvfb work here."; return; }
    local missing=() name
    for name in $LIBRARIES; do
        dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
    done
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" -eq 0 ]; then
        say "Installing system libraries: ${missing[*]}"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    else
        say "System libraries are missing. Run this line, then try again:"
        say "  sudo apt-get install ${missing[*]}"
        exit 1
    fi
}

find_python() {
    local name
    for name in python3.11 python3.12 python3.13 python3; do
        if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    say "Python 3.11 or newer was not found; install it first."
    exit 1
}

install_packages() { # $1: extras
    local python stamp
    [ -x .venv/bin/python ] || { python=$(find_python); "$python" -m venv .venv; }
    stamp=$(cat pyproject.toml constraints.txt | sha256sum | cut -c1-16)-$1
    if ! grep -qsx "$stamp" .venv/installed; then
        say "Installing packages into .venv (a few minutes the first time)"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "hatchling" "editables"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -c constraints.txt -e ".[$1]"
        echo "$stamp" >> .venv/installed
    fi
}
