# Sourced by demo.sh and test.sh: system libraries, a virtual environment in .venv, pinned packages.
# shellcheck shell=bash

LIBRARIES="xvfb xauth libegl1 libgl1 libgl1-mesa-dri libglib2.0-0 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 \
libxcb-image0 libxcb-keysyms1 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libdbus-1-3 libfontconfig1"

# the page of the report is tested in a browser; nothing else needs one
BROWSER="chromium chromium-driver"

say() { printf '%s\n' "$*" >&2; }

install_libraries() { # $@: more packages, where the system has them
    command -v dpkg-query >/dev/null || { say "Not a Debian system: make sure that Qt 6 and Xvfb work here."; return; }
    local missing=() optional=() name
    for name in $LIBRARIES; do
        is_installed "$name" || missing+=("$name")
    done
    for name in "$@"; do
        is_installed "$name" || optional+=("$name")
    done
    if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" -ne 0 ]; then
        say "System libraries are missing. Run this line, then try again:"
        say "  sudo apt-get install ${missing[*]} ${optional[*]}"
        exit 1
    fi
    [ $((${#missing[@]} + ${#optional[@]})) -eq 0 ] && return
    if [ "$(id -u)" -ne 0 ]; then
        say "Tests that need ${optional[*]} will be skipped; sudo apt-get install ${optional[*]} lets them run."
        return
    fi
    apt-get update -qq
    for name in "${optional[@]}"; do
        if has_candidate "$name"; then missing+=("$name"); else say "This system has no package $name."; fi
    done
    [ ${#missing[@]} -eq 0 ] && return
    say "Installing system libraries: ${missing[*]}"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

is_installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

has_candidate() { [ -n "$(LC_ALL=C apt-cache policy "$1" | sed -n 's/ *Candidate: [^(]/&/p')" ]; }

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
