#!/usr/bin/env bash
# Sets up, then runs the main job on sample data: with a screen it opens napari, without one it plays the whole loop
# and leaves screenshots and cleaned masks in demo-output/. Arguments go to `metadcseg demo`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
install_libraries
install_packages pyqt6
export QT_API=pyqt6
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    exec .venv/bin/metadcseg demo "$@"
fi
export LIBGL_ALWAYS_SOFTWARE=1
exec xvfb-run -a -s "-screen 0 1280x800x24" .venv/bin/metadcseg demo --headless "$@"
