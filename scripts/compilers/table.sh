#!/usr/bin/env bash
# table.sh [GPU...]   what the compilers of several GPUs make of the default training step, in every variant
#
# Prints a table for each GPU; without arguments one of each vendor's, and writes benches/results/compilers.md.
# Fails where a kernel spills, uses private memory or falls below an occupancy (LIMITS in table.py says how far it may), or
# where a GPU's pipelines take longer than ten minutes.
# GPUs, and what the first call downloads: see drivers.sh. BATCH=N is another minibatch than 128.
# BEFORE=FOLDER, with BEFORE_COMMIT=NAME, is target/compilers/tables as an earlier call left it: its cycles stand beside.
# SHADERS=FOLDER compiles the shaders of another folder under this project, as those of another commit.
set -euo pipefail
cd "$(dirname "$0")/../.."

page=
gpus=("$@")
if (($# == 0)); then
    gpus=(ga102 navi31 bmg m1 a740)
    page=benches/results/compilers.md
fi
cargo build --release --example pipelines
folder=target/compilers/tables
mkdir -p "$folder"
files=()
for gpu in "${gpus[@]}"; do
    file=$folder/$gpu.jsonl
    rm -f "$file"
    PIPELINE_STATISTICS=$PWD/$file timeout 600 bash scripts/compilers/drivers.sh "$gpu" target/release/examples/pipelines \
        --batch "${BATCH:-128}" ${SHADERS:+--shaders "$SHADERS"} 0 2>"$folder/$gpu.log" ||
        {
            tail -n 5 "$folder/$gpu.log" >&2
            exit 1
        }
    files+=("$file")
done
python3 scripts/compilers/table.py --batch "${BATCH:-128}" "${files[@]}" ${page:+--page "$page"} \
    ${BEFORE:+--before "$BEFORE" --before-commit "${BEFORE_COMMIT:-}"}
