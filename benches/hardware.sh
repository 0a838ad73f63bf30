#!/usr/bin/env bash
# benches/hardware.sh            all that a first run on a new GPU needs, in at most eight minutes
# benches/hardware.sh --pack DIR first, here, what a machine without Rust needs for it: then run DIR/benches/hardware.sh there
# benches/hardware.sh --page DIR writes the page of results that are there
#
# In the order of their worth: the devices, the ceilings, training steps, the kernels' tests, `elbo verify`, each kernel of a step,
# steps in mixed precision and without autotune, what the driver says of each pipeline, a training run, then PyTorch and
# JAX where Python has them, and the steps once more, so that a clock that changed meanwhile shows.
#
# Each part has a limit of its own, and what it says goes to a file as it comes; results.jsonl has a line when a part
# begins and one when it ends. Whatever ends the script, what was measured until then is there, and --page makes a page of it.
#
#   --device WHICH    as elbo's own option [gpu]
#   --peers WHICH     cpu, gpu or none: where PyTorch and JAX are run [gpu]
#   --limit SECONDS   of all together [460]
#   --out DIR         results [target/hardware]
#   --page-to FILE    the page [benches/results/<adapter>.md, and with --out DIR/page.md too]
#   --python FILE     which has PyTorch and JAX [python3]
#   --seconds S       each step is measured for [0.5]
#   --parts A,B       only these
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")

die() {
    echo "hardware.sh: $1" >&2
    exit 2
}

device=gpu peers=gpu limit=460 out=$root/target/hardware page_to='' python=python3 seconds=0.5 only='' pack='' page=''
while (($#)); do
    (($# > 1)) || die "$1 needs a value; the head of the script explains the options"
    case $1 in
    --device) device=$2 ;;
    --peers) peers=$2 ;;
    --limit) limit=$2 ;;
    --out) out=$2 ;;
    --page-to) page_to=$2 ;;
    --python) python=$2 ;;
    --seconds) seconds=$2 ;;
    --parts) only=$2 ;;
    --pack) pack=$2 ;;
    --page) page=$2 ;;
    *) die "there is no option $1; the head of the script explains them" ;;
    esac
    shift 2
done
[[ $limit =~ ^[1-9][0-9]*$ ]] || die "--limit: $limit is no number of seconds"
[[ $peers =~ ^(cpu|gpu|none)$ ]] || die "--peers: $peers is none of cpu, gpu and none"

if [[ $page ]]; then
    exec python3 "$here/hardware_page.py" "$page" ${page_to:+--out "$page_to"}
fi

# The program, the kernels' tests and the list of pipelines, and the layer where there is a C compiler with Vulkan's headers.
build() {
    (cd "$root" && cargo build --release --bin elbo --example pipelines) || exit 1
    tests=$(cd "$root" && cargo test --release --test kernels --no-run --message-format=json-render-diagnostics |
        python3 -c 'import json, sys
for line in map(json.loads, sys.stdin):
    if line.get("executable") and line["target"]["name"] == "kernels":
        print(line["executable"])') || exit 1
    layer=$root/target/hardware-layer
    mkdir -p "$layer"
    if cc -O1 -fPIC -shared -fvisibility=hidden -o "$layer/libstatistics.so" "$root/scripts/compilers/statistics.c" 2>"$layer/log"; then
        sed -n '/^{$/,/^}$/p' "$root/scripts/compilers/drivers.sh" >"$layer/statistics.json"
    else
        rm -f "$layer/libstatistics.so"
        echo "hardware.sh: no statistics of pipelines: a C compiler and Vulkan's headers (libvulkan-dev) would give them" >&2
    fi
}

if [[ $pack ]]; then
    build
    mkdir -p "$pack"/{benches/peers,benches/results,bin,assets/mnist-train,scripts/compilers} || exit 1
    cp "$here"/{hardware.sh,hardware_page.py,compare.py} "$pack/benches/"
    cp "$here"/results/predictions.json "$pack/benches/results/"
    cp "$here"/peers/*.py "$pack/benches/peers/"
    cp "$root/scripts/compilers/table.py" "$pack/scripts/compilers/"
    cp "$root/assets/mnist-train/train-images-idx3-ubyte.gz" "$pack/assets/mnist-train/"
    cp "$root/target/release/elbo" "$root/target/release/examples/pipelines" "$pack/bin/"
    cp "$tests" "$pack/bin/kernels"
    cp "$layer"/*statistics* "$pack/bin/" 2>/dev/null
    strip "$pack"/bin/{elbo,pipelines,kernels}
    du -sh "$pack"
    exit
fi

if [[ -x $root/bin/elbo ]]; then
    elbo=$root/bin/elbo tests=$root/bin/kernels pipelines=$root/bin/pipelines layer=$root/bin
else
    build
    elbo=$root/target/release/elbo pipelines=$root/target/release/examples/pipelines
fi

mkdir -p "$out" || die "--out: $out cannot be made"
[[ ! -e $out/results.jsonl ]] || mv "$out/results.jsonl" "$out/results.$(date +%s).jsonl"
begin=$SECONDS
left() { echo $((limit - (SECONDS - begin))); }
line() { printf '%s\n' "$1" >>"$out/results.jsonl"; }

finish() {
    trap - EXIT
    kill $(jobs -p) 2>/dev/null
    python3 "$here/hardware_page.py" "$out" ${page_to:+--out "$page_to"}
    exit
}
trap finish EXIT
trap 'exit 143' TERM INT HUP

# part NAME SECONDS COMMAND...: what it prints goes to NAME.txt.
part() {
    local name=$1 most=$2 code started=$SECONDS
    shift 2
    [[ -z $only || ,$only, == *,$name,* ]] || return 0
    local time=$(($(left) < most ? $(left) : most))
    if ((time < 5)); then
        line "{\"part\": \"$name\", \"skipped\": \"no time was left\"}"
        return 0
    fi
    echo "$name, at most $time s" >&2
    line "{\"part\": \"$name\", \"begins\": $((SECONDS - begin))}"
    timeout --kill-after=5 "$time" "$@" >"$out/$name.txt" 2>&1 &
    wait $!
    code=$?
    line "{\"part\": \"$name\", \"seconds\": $((SECONDS - started)), \"limit\": $time, \"exit\": $code}"
}

bench() { # NAME SECONDS OPTIONS...
    local name=$1 most=$2
    shift 2
    part "$name" "$most" "$elbo" bench --device "$device" --seconds "$seconds" --json "$out/$name.json" "$@"
}

rm -f "$out"/*.json "$out"/*.txt "$out/pipelines.jsonl" "$out/peers.jsonl"
line "{\"began\": \"$(date -u +%Y-%m-%dT%H:%M:%SZ)\", \"device\": \"$device\", \"limit\": $limit, \"host\": \"$(uname -sm)\"}"
part devices 20 "$elbo" devices
bench ceilings 30 --only ceilings
for batch in 128 4096 20 512; do # a call each, so that each is kept
    bench "steps-$batch" 25 --only steps --batch "$batch"
done
part tests 100 "$tests" --exact --nocapture \
    reference::gpu_agrees_with_the_oracle reference::the_gpu_keeps_a_nan reference::mixed_precision_agrees_with_the_oracle \
    reference::gpu_agrees_with_the_oracle_in_checked_mode edges::a_nan_at_the_edge_stays_in_its_row_or_column \
    mixed::an_adapter_is_tested_before_it_is_used
part verify 60 "$elbo" verify --device "$device"
bench kernels 40 --only ceilings,kernels --arch 784-400-20 --batch 128,4096
for batch in 128 4096; do
    bench "mixed-$batch" 25 --only steps --precision mixed --batch "$batch"
    bench "untuned-$batch" 25 --only steps --no-autotune --arch 784-400-20 --batch "$batch"
done
if [[ -e $layer/libstatistics.so ]]; then
    which=$([[ $device == gpu ]] && echo 0 || echo "$device")
    part pipelines 40 env PIPELINE_STATISTICS="$out/pipelines.jsonl" VK_LAYER_PATH="$layer" \
        VK_INSTANCE_LAYERS=VK_LAYER_elbo_statistics "$pipelines" --batch 128 "$which"
fi
rm -rf "$out/run"
part train 40 "$elbo" train --device "$device" --epochs 3 --run "$out/run"
if [[ $peers != none ]]; then
    where=$([[ $peers == cpu ]] && echo cpu || echo "$device")
    part peers $(($(left) - 35)) "$python" "$here/compare.py" --device "$where" --elbo "$elbo" --only pytorch,jax --rounds 1 \
        --arch 784-400-20 --batch 128,4096,20,512 --seconds "$seconds" --rows "$out/peers.jsonl" --out "$out/peers.md"
fi
for batch in 128 4096; do
    bench "again-$batch" 15 --only steps --arch 784-400-20 --batch "$batch"
done
