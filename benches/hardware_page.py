#!/usr/bin/env python3
"""hardware_page.py DIR [--out FILE]   makes a page of what benches/hardware.sh has left in a folder, whatever of it is there

Measured beside predicted (results/predictions.json), where there is a prediction for the adapter."""

import argparse
import json
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def lines(path):
    """The objects of a file of JSON lines; the last may be half a line."""
    found = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                pass
    return found


def reports(folder, pattern):
    """By name, the reports of `elbo bench` that are whole."""
    found = {}
    for path in sorted(folder.glob(pattern)):
        try:
            found[path.stem] = json.loads(path.read_text())
        except json.JSONDecodeError:
            pass
    return found


def table(head, rows):
    if not rows:
        return []
    out = ["", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return out + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]


def us(seconds):
    return f"{seconds * 1e6:.1f}"


def parts(folder, log):
    """A row for each part: how long it took, and how it ended."""
    ended = {entry["part"]: entry for entry in log if "exit" in entry}
    rows = []
    for entry in log:
        name = entry.get("part")
        if "skipped" in entry:
            rows.append((name, "", entry["skipped"]))
        elif "begins" in entry:
            end = ended.get(name)
            if end is None:
                rows.append((name, "", "cut short"))
            else:
                how = {0: "done", 124: f"stopped after its {end['limit']} s", 137: f"killed after its {end['limit']} s"}
                said = (tail(folder, name, 1) or ["", "", "nothing"])[2]
                ended_so = how.get(end["exit"], f"FAILED, exit code {end['exit']}: {said}")
                if end["exit"] == 2 and said.startswith("error: "):
                    ended_so = "refused: " + said.removeprefix("error: ")
                rows.append((name, end["seconds"], ended_so))
    return table(("part", "seconds", "how it ended"), rows)


def ceilings(report, predicted):
    c = report["ceilings"]
    rows = []

    def add(name, figure, value, expected=""):
        rows.append((name, f"WRONG: {figure['wrong']}" if "wrong" in figure else value(figure["median"]), expected))

    between = {name: f"{low} to {high}" for name, (low, high) in predicted.get("ceilings", {}).items()}
    add("an empty dispatch, submitted and waited for, us", c["round_trip"], us)
    add("dispatch to dispatch, independent, us", c["independent"], us)
    add("dispatch to dispatch, dependent, us", c["dependent"], us, between.get("dependent dispatches, us", ""))
    add("copy, GB/s", c["copy"], lambda t: f"{c['copied_bytes'] / t / 1e9:.0f}", between.get("copy, GB/s", ""))
    for m in c["matmul"]:
        expected = between.get(f"matmul {m['size']}, TFLOP/s", "")
        add(f"matmul of {m['size']}, TFLOP/s", m["time"], lambda t: f"{m['flops'] / t / 1e12:.2f}", expected)
    return table(("ceiling", "measured", "predicted"), rows)


def steps(all_reports, expected, note):
    rows = []
    for name, report in all_reports.items():
        for s in report["steps"]:
            before, now = expected(s["network"], str(s["batch"]))
            figures = s["figures"]
            if "wrong" in figures:
                rows.append((s["network"], s["batch"], f"WRONG: {figures['wrong']}", "", "", before, now, name))
                continue
            device = figures["device_time"]
            rows.append(
                (s["network"], s["batch"], us(figures["time"]["median"]), us(device["median"]) if device else "", f"{figures['images_per_second']:.0f}", before, now, name)
            )
    rows.sort(key=lambda row: (row[0], row[1]))
    if not rows:
        return []
    return [f"\n{note}"] + table(("network", "batch", "step, us", "of the device, us", "images/s", "predicted at first", "predicted now", "part"), rows)


def kernels(report):
    ceiling = max((m["flops"] / m["time"]["median"] for m in report["ceilings"]["matmul"] if "median" in m["time"]), default=None)
    rows = []
    for k in report["kernels"]:
        shape = " ".join(f"{name}={value}" for name, value in k["shape"])
        if "wrong" in k["time"]:
            rows.append((k["batch"], k["kernel"], shape, k.get("variant", ""), f"WRONG: {k['time']['wrong']}", "", ""))
            continue
        t = k["time"]["median"]
        share = f"{100 * k['flops'] / t / ceiling:.0f} %" if ceiling else ""
        rows.append((k["batch"], k["kernel"], shape, k.get("variant", ""), us(t), f"{k['bytes'] / t / 1e9:.0f}", share))
    return table(("batch", "kernel", "shape", "variant", "us", "GB/s", "of the fastest matmul"), rows)


def peers(rows, own, predicted):
    """Ratios of images/s, elbo's of its own calls over each peer's."""
    cells = []
    for row in rows:
        if row["peer"] == "elbo":
            continue
        mine = own.get((row["network"], row["batch"]))
        expected = predicted.get("peers", {}).get(row["peer"], {}).get(str(row["batch"]), "")
        ratio = f"{row['median'] / mine:.2f}" if mine else ""
        cells.append((row["network"], row["batch"], row["peer"], us(row["median"]), f"{row['batch'] / row['median']:.0f}", ratio, expected))
    cells.sort(key=lambda cell: (cell[0], cell[1], cell[2]))
    return table(("network", "batch", "peer", "step, us", "images/s", "elbo / peer", "predicted, us"), cells)


def tail(folder, name, most):
    """The last lines of what a part said."""
    path = folder / f"{name}.txt"
    if not path.exists():
        return []
    said = [line.rstrip() for line in path.read_text(errors="replace").replace("\r", "\n").splitlines() if line.strip()]
    return ["", "```"] + said[-most:] + ["```"] if said else []


def slug(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    folder = arguments.folder
    log = lines(folder / "results.jsonl")
    if not log:
        sys.exit(f"hardware_page.py: {folder} has no results.jsonl")
    everything = reports(folder, "*.json")
    nothing = {"device": {"name": "No report yet", "kind": "", "backend": "", "driver": ""}, "commit": "", "date": ""}
    about = next(iter(everything.values()), nothing)
    device = about["device"]
    known = json.loads((HERE / "results/predictions.json").read_text())
    predicted = known if any(name in device["name"] for name in known["adapters"]) else {}

    def tuned(network, batch):
        figures = predicted.get("steps", {}).get(network, {}).get(batch, {})
        return figures.get("at first", ""), figures.get("now", "")

    text = [f"# {device['name']}", ""]
    if everything:
        text.append(f"{device['kind']}, {device['backend']}, driver {device['driver']}; commit {about['commit']}, {about['date']}, by `benches/hardware.sh`.")
    if predicted:
        text += ["", predicted["about"]]
    text += ["", "## What was run"] + parts(folder, log)
    if "ceilings" in everything:
        text += ["", "## Ceilings"] + ceilings(everything["ceilings"], predicted)
    text += ["", "## Training steps", "", "Medians; every result was checked in the same run."]
    text += steps(reports(folder, "steps-*.json"), tuned, "f32:")
    text += steps(reports(folder, "again-*.json"), tuned, "The same at the end, after everything else:")
    text += steps(reports(folder, "mixed-*.json"), lambda n, b: ("", predicted.get("mixed", {}).get(n, {}).get(b, "")), "Mixed precision:")
    text += steps(reports(folder, "untuned-*.json"), lambda _, b: (predicted.get("untuned", {}).get(b, ""), ""), "Without autotune:")
    if everything.get("kernels", {}).get("kernels"):
        text += ["", "## Each kernel of a step"] + kernels(everything["kernels"])
    measured = lines(folder / "peers.jsonl")
    own = {(row["network"], row["batch"]): row["median"] for row in measured if row["peer"] == "elbo"}
    if any(row["peer"] != "elbo" for row in measured):
        text += ["", "## Peers", "", "elbo's steps for the ratios were measured in the same call."] + peers(measured, own, predicted)
    pipelines = folder / "pipelines.jsonl"
    if any("kernel" in line for line in lines(pipelines)):
        made = subprocess.run([sys.executable, HERE.parent / "scripts/compilers/table.py", pipelines], capture_output=True, text=True)
        if made.returncode == 0:
            text += ["", "## What the driver says of each pipeline", "", re.sub(r"(?m)^## ", "", made.stdout.rstrip())]
    for name, most in (("devices", 12), ("tests", 12), ("verify", 8), ("train", 6), ("pipelines", 3), ("peers", 3)):
        said = tail(folder, name, most)
        if said:
            text += ["", f"## The end of what {name} printed"] + said
    page = "\n".join(text) + "\n"
    (folder / "page.md").write_text(page)
    if not everything:
        print(f"{folder / 'page.md'}: no report of elbo bench is whole yet", file=sys.stderr)
        return
    out = arguments.out or (HERE / "results" / f"{slug(device['name'])}.md")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page)
    print(f"{out} and {folder / 'page.md'}", file=sys.stderr)


main()
