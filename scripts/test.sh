#!/usr/bin/env bash
# bash scripts/test.sh          installs what the tests need on Debian or Ubuntu, then runs all of them
# bash scripts/test.sh quick    runs those that need a C linker and nothing else, in less than a minute once they
#                               are compiled
# Other arguments go to `cargo test --release`.
#
# All of them need a Vulkan adapter (Mesa's software one, lavapipe, does), Chromium, and Python with numpy,
# safetensors, onnxruntime, onnx, maturin, optuna and ray, which go into target/python.
#
# The quick ones are the unit tests; every kernel's CPU code against the reference, by itself and with planted
# faults; every shader by itself, by naga; plans, their documents, fusions and noise; the gradient of a step against finite
# differences; settings, file formats and licences. They leave out whatever runs on an adapter (each shader against
# the reference, the faults planted in shaders, autotune, mixed precision), runs of training from begin to end with
# their checkpoints, the estimates, models for other programs, the command line, and the page in a browser.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ ${1:-} == quick ]]; then
    cargo test --release --lib
    cargo test --release --test kernels -- cpu faults:: noise:: plan:: shaders:: \
        --skip every_fault_of_a_shader --skip parts_are_places --skip loading_writes
    cargo test --release --test training -- fusions:: gradients:: layers:: settings:: \
        --skip gpu --skip every_fusion_computes
    cargo test --release --test data -- formats:: loaders::
    cargo test --release --test cli -- dependencies::
    cargo test --release --test web -- documents:: forged:: --skip what_is_read_back
    exit
fi

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
if [[ $(uname) == Linux ]]; then
    ls /usr/share/vulkan/icd.d/lvp_icd.*.json >/dev/null 2>&1 || missing+=(mesa-vulkan-drivers)
    libraries=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p)
    [[ $libraries == *libvulkan.so.1* ]] || missing+=(libvulkan1)
fi
command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null || missing+=(chromium)
if ((${#missing[@]})); then
    if ! command -v apt-get >/dev/null; then
        echo "the tests need: ${missing[*]} (names of Debian packages); install them and run again" >&2
        exit 1
    fi
    as_root=()
    ((EUID == 0)) || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
if ! target/python/bin/python -c 'import maturin, numpy, onnx, onnxruntime, optuna, ray.tune, safetensors' 2>/dev/null; then
    python3 -m venv --clear target/python
    target/python/bin/pip install --quiet --disable-pip-version-check numpy safetensors onnxruntime onnx maturin optuna "ray[tune]"
fi

# Mesa's device selection complains on stderr where there is no desktop session.
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-${TMPDIR:-/tmp}}"

cargo test --release "$@"
