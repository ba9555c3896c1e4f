#!/usr/bin/env bash
# Sets up everything that the tests need, then runs them all. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
# shellcheck disable=SC2086
install_libraries $BROWSER
install_packages pyqt6,test
export QT_API=pyqt6 OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}" LIBGL_ALWAYS_SOFTWARE=1 NAPARI_CONFIG=
exec xvfb-run -a -s "-screen 0 1280x800x24" .venv/bin/python -m pytest "$@"
