"""Tables of what drivers say of pipelines: see table.sh.

A driver names its statistics as it likes; they are brought under five names here. Estimates of cycles are the compilers'
own, with fixed weights for loops and for waiting: they compare two texts of one kernel on one compiler, and neither two
variants nor two GPUs."""

import argparse
import json
import os
import subprocess
import sys

# What a family of drivers is known by, and its names for registers, occupancy, spills, private memory and cycles.
FAMILIES = {
    "VGPRs": ("VGPRs", "Subgroups per SIMD", ("Spilled VGPRs", "Spilled SGPRs"), "Scratch size", "Inverse Throughput"),
    "Number of GPRs": ("Number of GPRs", "Max warps/SM", ("Spills to memory",), "SLM size", "Static cycle count"),
    "SENDs": ("Max live registers", "Max dispatch width", ("Spills",), "Scratch Memory Size", "Cycles"),
    "FSCIB": ("GPRs", "Threads", ("Spills",), "Scratch", "ALU"),
    "Registers used": (
        "Registers used",
        "Max Waves Per Core",
        ("STP Count",),
        "LDP Count",
        "Estimated cycles stalled on SY",
    ),
}
MEANING = {
    "VGPRs": "occupancy is wavefronts a SIMD, cycles are of throughput",
    "Number of GPRs": "occupancy is warps a multiprocessor, of 48",
    "SENDs": "registers are the most that live at once, occupancy is lanes a thread",
    "FSCIB": "occupancy is threads a core, cycles are of arithmetic alone",
    "Registers used": "occupancy is waves a core, cycles are those of waiting for memory",
}
# The least occupancy of any variant on a GPU, and what is known to spill there: variants, or a kernel's.
LIMITS = {
    "ga102": (12, ()),
    "navi31": (4, ()),
    "bmg": (16, ("large", "tall", "linear.update_all split")),
    "m1": (384, ("posterior.sample_forward tall", "linear.update_all tall", "linear.update_all large")),
    "a740": (4, ()),
}
COLUMNS = ["kernel", "sizes", "variant", "instructions", "registers", "occupancy", "spills", "private", "cycles"]
# Constants of a place that tell no size of a product.
NO_SIZES = ("ACTIVATION", "BETA1", "BETA2", "DECAY", "EPSILON", "K", "OPTIMIZER", "PLANES", "STREAM", "N")
# Those of the packed tensors of linear.update_all.
NO_SIZES += ("D_EVEN", "D_ODD", "EVEN", "ODD", "M", "P", "ALL_INPUTS", "ALL_OUTPUTS")


def read(path):
    """The lines of a file: the adapter, and pairs of a pipeline and its statistics, or None where it has none: it was
    refused, which is said on stderr, or the driver tells nothing of it."""
    adapter, now, pairs = None, None, []
    with open(path, encoding="utf-8") as file:
        for line in map(json.loads, file):
            if "adapter" in line:
                adapter = line
            elif "kernel" in line:
                now = line
                pairs.append((now, None))
            elif now and "failed" in line:
                print(f"{path}: {now['kernel']} {now['variant']}: {line['failed']}", file=sys.stderr)
            elif now and pairs[-1][1] is None:
                pairs[-1] = (now, line)
    return adapter, pairs


def family(statistics):
    return next(known for known in FAMILIES if known in statistics)


def row(pipeline, statistics):
    registers, occupancy, spills, private, cycles = FAMILIES[family(statistics)]
    instructions = next(v for k, v in statistics.items() if k.lower() in ("instructions", "instruction count"))
    constants = (word for word in pipeline["place"].split()[1:] if word.split("=")[0] not in NO_SIZES)
    return [
        pipeline["kernel"],
        " ".join(constants) if pipeline["variant"] != "single" else "",
        pipeline["variant"],
        instructions,
        statistics[registers],
        statistics[occupancy],
        sum(statistics[name] for name in spills),
        statistics[private],
        statistics[cycles],
    ]


def key(of_row):
    return tuple(of_row[:3])


def table(path, before):
    """Of a file; `before` is another folder's, whose cycles stand beside these, or None."""
    adapter, pairs = read(path)
    compiled = [(pipeline, statistics) for pipeline, statistics in pairs if statistics]
    if not compiled:
        sys.exit(f"{path}: no pipeline was compiled")
    seconds = sum(statistics["milliseconds"] for _, statistics in compiled) / 1000
    rows = [row(*pair) for pair in compiled]
    bad = sum(1 for r in rows if r[6] or r[7])
    columns = list(COLUMNS)
    if before:
        _, earlier = read(os.path.join(before, os.path.basename(path)))
        cycles = {key(r): r[-1] for r in (row(*pair) for pair in earlier if pair[1])}
        columns.append("before")
        rows = [r + [cycles.get(key(r), "")] for r in rows]
    gpu = os.path.splitext(os.path.basename(path))[0]
    head = f"{gpu}: {adapter['adapter'].strip()} ({adapter['driver']})"
    lines = [
        f"## {head}",
        "",
        f"{len(pairs)} pipelines, {len(pairs) - len(compiled)} without statistics, {bad} with spills or private memory; "
        f"{seconds:.1f} s of compilation. Here {MEANING[family(compiled[0][1])]}.",
        "",
        "| " + " | ".join(columns) + " |",
        "|" + "|".join(["---"] * 3 + ["--:"] * (len(columns) - 3)) + "|",
    ]
    lines += ["| " + " | ".join(map(str, r)) + " |" for r in rows]
    return "\n".join(lines)


def beyond_limits(path):
    """What is wrong with each pipeline of a file that spills, has private memory or too low an occupancy."""
    gpu = os.path.splitext(os.path.basename(path))[0]
    least, may_spill = LIMITS.get(gpu, (0, ()))
    _, pairs = read(path)
    for kernel, sizes, variant, _, _, occupancy, spills, private, _ in (row(*pair) for pair in pairs if pair[1]):
        name = f"{gpu}: {kernel} {sizes} {variant}"
        if (spills or private) and not {variant, f"{kernel} {variant}"} & set(may_spill):
            yield f"{name}: {spills} spills, {private} of private memory"
        if occupancy < least:
            yield f"{name}: an occupancy of {occupancy}, below {least}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+")
    parser.add_argument("--batch", default="128")
    parser.add_argument("--page", help="write the tables to this file too")
    parser.add_argument("--before", help="a folder of such files, whose cycles stand in the last column")
    parser.add_argument("--before-commit", default="", help="of that folder")
    options = parser.parse_args()
    text = "\n\n".join(table(path, options.before) for path in options.files)
    print(text)
    if options.page:
        commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True)
        head = (
            "# The default step, by the compilers of five GPUs\n\n"
            f"Minibatch {options.batch}, commit {commit.stdout.strip()}, by `bash scripts/compilers/table.sh`, without a "
            "GPU. Estimates of cycles are the compilers' own: they compare two texts of a kernel on one compiler, and "
            "neither variants nor GPUs; a loop that is unrolled in one text and not in the other is not comparable either.\n\n"
        )
        if options.before:
            head += f"The column \"before\" has the cycles of commit {options.before_commit}.\n\n"
        with open(options.page, "w", encoding="utf-8") as file:
            file.write(head + text + "\n")
    wrong = [line for path in options.files for line in beyond_limits(path)]
    if wrong:
        sys.exit("\n".join(wrong))


main()
