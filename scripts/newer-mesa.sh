#!/usr/bin/env bash
# Runs the tests of the kernels and of mixed precision on the software Vulkan adapter of Debian's newest Mesa,
# which has cooperative matrices (26.2 has); that of Debian 12 has none. Not a part of scripts/test.sh: Debian
# sid changes from day to day. Needs root on Debian or Ubuntu, debootstrap, and 1 GB under target/.
set -euo pipefail
cd "$(dirname "$0")/.."

if ((EUID != 0)) || ! command -v debootstrap >/dev/null; then
    echo "newer-mesa.sh needs root, and debootstrap: apt-get install debootstrap" >&2
    exit 2
fi
sid=target/sid
if [[ ! -e $sid/usr/share/vulkan/icd.d/lvp_icd.json ]]; then
    rm -rf "$sid"
    debootstrap --variant=minbase --include=libvulkan1,mesa-vulkan-drivers sid "$sid"
fi
tests=()
for name in kernels cli; do
    tests+=("$(cargo test --release --no-run --test "$name" 2>&1 | sed -n 's/.*(\(target\/.*\))$/\1/p')")
done

# In a namespace of its own, so that nothing stays mounted; the tests find their files where they are here.
unshare --mount --propagation private bash -euo pipefail -c '
    sid=$1
    shift
    mkdir -p "$sid$PWD"
    for folder in /proc /dev "$PWD"; do mount --rbind "$folder" "$sid$folder"; done
    for test in "$@"; do
        chroot "$sid" env -C "$PWD" XDG_RUNTIME_DIR=/tmp "$test" --nocapture reference:: mixed:: bench::
    done
' - "$sid" "${tests[@]}"
