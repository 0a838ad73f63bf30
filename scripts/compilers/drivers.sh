#!/usr/bin/env bash
# drivers.sh GPU COMMAND...   runs a program with Mesa's Vulkan driver for a GPU that need not be there
#
# GPU: navi31 navi21 vega10 polaris10 gfx1150 (AMD), tu102 ga100 ga102 ad102 gb202 (NVIDIA), skl tgl dg2 mtl lnl bmg
# (Intel), m1 (Apple), a630 a740 a750 (Adreno). The driver and its compiler are whole; the kernel driver under them is
# Mesa's drm-shim, which executes nothing. So pipelines are compiled as on that GPU, and whatever is computed is wrong.
# Every pipeline is told of by statistics.c, in the file that PIPELINE_STATISTICS names.
#
# The first call sets this up under target/compilers: two Debian systems by debootstrap (sid with its Vulkan drivers;
# Debian 13 with a C compiler and the source of its Mesa, of which drm-shim is built). It downloads Debian's packages
# and nothing else, takes some minutes and 2 GB, and needs root.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(realpath -m "$here/../../target/compilers")

gpu=${1:-}
case $gpu in
navi31 | navi21 | vega10 | polaris10 | gfx1150) shim=amdgpu driver=radeon chosen=AMDGPU_GPU_ID=$gpu ;;
tu102) shim=nouveau driver=nouveau chosen=NOUVEAU_CHIPSET=162 ;;
ga100) shim=nouveau driver=nouveau chosen=NOUVEAU_CHIPSET=170 ;;
ga102) shim=nouveau driver=nouveau chosen=NOUVEAU_CHIPSET=172 ;;
ad102) shim=nouveau driver=nouveau chosen=NOUVEAU_CHIPSET=192 ;;
gb202) shim=nouveau driver=nouveau chosen=NOUVEAU_CHIPSET=1b2 ;;
skl | tgl | dg2 | mtl | lnl | bmg) shim=intel driver=intel chosen=INTEL_STUB_GPU_PLATFORM=$gpu ;;
m1) shim=asahi driver=asahi chosen=FD_GPU_ID=0 ;;
a630 | a740 | a750) shim=freedreno driver=freedreno chosen=FD_GPU_ID=${gpu#a} ;;
*)
    echo "drivers.sh: no GPU is called \"$gpu\"; its head names them" >&2
    exit 2
    ;;
esac
shift

# in_system SYSTEM COMMAND...: there, in a namespace of its own, with this folder and the project's where they are here.
in_system() {
    local system=$1
    shift
    unshare --mount --propagation private bash -euo pipefail -c '
        top=$1 project=$2
        shift 2
        for folder in /proc /dev /sys "$project" "$PWD"; do
            mkdir -p "$top$folder"
            mount --rbind "$folder" "$top$folder"
        done
        exec chroot "$top" env -C "$PWD" "$@"
    ' - "$root/$system" "$(realpath "$here/../..")" "$@"
}

system() {
    [[ -e $root/$1/usr/share/vulkan/icd.d/radeon_icd.json ]] && return
    rm -rf "${root:?}/$1"
    debootstrap --variant=minbase --include=libvulkan1,mesa-vulkan-drivers,ca-certificates "$1" "$root/$1"
    # What this machine's apt needs to reach Debian, as a proxy.
    cp /etc/apt/apt.conf.d/* "$root/$1/etc/apt/apt.conf.d/" 2>/dev/null || true
}

mesa=$root/source/mesa
build=$root/source/build

# The source of Debian 13's Mesa, and what it needs to build its shims.
source_of_mesa() {
    sed -n 's/^deb /deb-src /p' "$root/trixie/etc/apt/sources.list" >"$root/trixie/etc/apt/sources.list.d/source.list"
    in_system trixie apt-get update
    in_system trixie apt-get install -y --no-install-recommends build-essential meson ninja-build pkgconf libdrm-dev \
        python3-mako python3-yaml python3-packaging bison flex zlib1g-dev libzstd-dev libexpat1-dev libvulkan-dev
    # The words of the kernel's interface to an Apple GPU, which are newer than Debian 13.
    in_system sid apt-get update
    in_system sid apt-get install -y --no-install-recommends linux-libc-dev
    rm -rf "$root/source"
    mkdir -p "$mesa"
    (cd "$root/source" && in_system trixie apt-get source --download-only mesa/trixie)
    tar xf "$root"/source/mesa_*.orig.tar.xz -C "$mesa" --strip-components 1
}

# The shims of sid's drivers are those of an older Mesa: what the drivers ask, and the shims do not know, is added.
newer_shims() {
    sed 's/version_minor = 49/version_minor = 60/' "$mesa/src/amd/drm-shim/amdgpu_noop_drm_shim.c" >"$root/shims/amdgpu.c"
    sed 's/\[DRM_MSM_SUBMITQUEUE_QUERY\] = msm_ioctl_noop,/& [13] = msm_ioctl_noop,/' \
        "$mesa/src/freedreno/drm-shim/freedreno_noop.c" >"$root/shims/freedreno.c"
    python3 "$here/newer_nvidia.py" "$mesa/src/nouveau/drm-shim/nouveau_noop.c" "$root/shims/nouveau.c"
    cp "$here/apple.c" "$root/shims/asahi.c"
    cp "$root/sid/usr/include/drm/asahi_drm.h" "$root/shims/"
}

shims() {
    in_system trixie meson setup "$build" "$mesa" -Dtools=drm-shim,intel -Dvulkan-drivers= -Dgallium-drivers= \
        -Dplatforms= -Dopengl=false -Dgles1=disabled -Dgles2=disabled -Dglx=disabled -Degl=disabled -Dgbm=disabled \
        -Dllvm=disabled -Dshared-glapi=disabled -Dvideo-codecs= -Dbuildtype=release -Dvalgrind=disabled \
        -Dlibunwind=disabled
    in_system trixie ninja -C "$build" src/intel/tools/libintel_noop_drm_shim.so src/util/libmesa_util.a \
        src/drm-shim/libdrm_shim.a src/c11/impl/libmesa_util_c11.a
    newer_shims
    local name library libraries=()
    for library in $(cd "$build" && find src -name libblake3.a -o -name libmesa_util_sse41.a); do
        libraries+=("$build/$library")
    done
    for name in amdgpu nouveau freedreno asahi; do
        local files=("$root/shims/$name.c")
        [[ $name != amdgpu ]] || files+=("$mesa/src/amd/drm-shim/amdgpu_devices.c")
        in_system trixie gcc -shared -fPIC -O2 -std=gnu11 -fvisibility=hidden -w -D_GNU_SOURCE -DNDEBUG \
            -DHAVE_PTHREAD -DHAVE_STRUCT_TIMESPEC -DHAVE_ENDIAN_H -DHAVE_DLFCN_H -DHAVE_SECURE_GETENV -DHAVE_LIBDRM \
            -DUSE_GCC_ATOMIC_BUILTINS -DHAVE___BUILTIN_FFS -DHAVE___BUILTIN_FFSLL -DUTIL_ARCH_LITTLE_ENDIAN=1 \
            -DUTIL_ARCH_BIG_ENDIAN=0 -I"$mesa/include" -I"$mesa/src" -I"$mesa/src/amd" -I"$mesa/src/amd/drm-shim" \
            -I"$mesa/src/nouveau/headers" -I"$mesa/src/nouveau/winsys" -I/usr/include/libdrm -I"$build/src" \
            -o "$root/shims/lib${name}_noop_drm_shim.so" "${files[@]}" \
            -Wl,--whole-archive "$build/src/drm-shim/libdrm_shim.a" -Wl,--no-whole-archive \
            "$build/src/util/libmesa_util.a" "$build/src/c11/impl/libmesa_util_c11.a" "${libraries[@]}" \
            -lz -lzstd -ldl -lpthread -lm -Wl,--no-undefined
    done
    cp "$build/src/intel/tools/libintel_noop_drm_shim.so" "$root/shims/"
}

if ((EUID != 0)) || ! command -v debootstrap >/dev/null; then
    echo "drivers.sh needs root, and debootstrap: apt-get install debootstrap" >&2
    exit 2
fi
if [[ ! -e $root/ready ]]; then
    echo "drivers.sh: setting up $root, log in $root/log" >&2
    mkdir -p "$root"/{shims,layer}
    {
        system sid
        system trixie
        source_of_mesa
        shims
    } >"$root/log" 2>&1 || {
        tail -n 20 "$root/log" >&2
        exit 1
    }
    touch "$root/ready"
fi
layer=$root/layer/libstatistics.so
if [[ $layer -ot $here/statistics.c ]]; then
    in_system trixie gcc -O1 -Wall -fPIC -shared -fvisibility=hidden -o "$layer" "$here/statistics.c"
    cat >"$root/layer/statistics.json" <<'END'
{
  "file_format_version": "1.1.2",
  "layer": {
    "name": "VK_LAYER_elbo_statistics", "type": "GLOBAL", "library_path": "./libstatistics.so",
    "api_version": "1.4.300", "implementation_version": "1", "description": "what drivers make of pipelines"
  }
}
END
fi

in_system sid env "$chosen" XDG_RUNTIME_DIR=/tmp HOME=/root NVK_I_WANT_A_BROKEN_VULKAN_DRIVER=1 NO_GPU=1 \
    MESA_SHADER_CACHE_DISABLE=1 VK_DRIVER_FILES="/usr/share/vulkan/icd.d/${driver}_icd.json" \
    VK_LAYER_PATH="$root/layer" VK_INSTANCE_LAYERS=VK_LAYER_elbo_statistics \
    LD_PRELOAD="$root/shims/lib${shim}_noop_drm_shim.so" "$@"
