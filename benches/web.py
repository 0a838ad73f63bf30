#!/usr/bin/env python3
"""Takes in what the page of `elbo web` has measured, as its button "Copy as JSON" gives it.

    python3 benches/web.py result.json [more.json ...] [--out benches/results/web.md]

Writes one table of all devices: the ceilings, and images/s at each batch size with the share of the best product. What is in the
table already stays, but for the same device, browser and network, whose rows are replaced. Only the standard library is needed.
"""

import argparse
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
HEAD = "| device | browser | date | network | batch | images/s | step, ms | of the best product | best product, GFLOP/s | copy, GB/s | gap, µs |"
RULE = "|---|---|---|---|---|---|---|---|---|---|---|"
TITLE = "# In browsers\n\nWhat the page of `elbo web` has measured, on the visitors' own GPUs; taken in by benches/web.py.\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results" / "web.md")
    arguments = parser.parse_args()
    rows = before(arguments.out)
    for path in arguments.results:
        new = taken_in(path)
        keys = {key(row) for row in new}
        rows = [row for row in rows if key(row) not in keys] + new
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text("\n".join([TITLE, HEAD, RULE, *lines]) + "\n")
    print(f"{arguments.out}: {len(rows)} rows")


def key(row):
    """Device, browser, network and batch."""
    return row[0], row[1], row[3], row[4]


def before(path):
    if not path.exists():
        return []
    lines = path.read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ") and line != HEAD]


def taken_in(path):
    try:
        result = json.loads(path.read_text())
        return rows_of(result)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        sys.exit(f"{path}: not what the page of elbo web copies as JSON: {error!r}")


def rows_of(result):
    if result["format"] != "elbo web benchmark" or result["version"] != 1:
        raise ValueError(f"its format is {result['format']!r}, version {result['version']!r}")
    if result["away"]:
        raise ValueError("the tab was in the background while it was measured: measure again")
    ceilings = result["ceilings"]
    best = max(product["flops"] / product["time"]["median"] for product in ceilings["matmul"])
    device = plain(result["device"]["name"]) + (" (software)" if result["device"]["software"] else "")
    rows = []
    for step in result["steps"]:
        if step.get("stopped"):
            continue
        median = step["time"]["median"]
        share = step["flops"] / median / best
        rows.append(
            [
                device,
                browser(result["agent"]),
                plain(result["date"])[:10],
                plain(step["network"]),
                str(int(step["batch"])),
                f"{step['images_per_second']:.0f}",
                f"{1e3 * median:.3f}",
                f"{100 * share:.0f} %",
                f"{best / 1e9:.2f}",
                f"{ceilings['copied_bytes'] / ceilings['copy']['median'] / 1e9:.1f}",
                f"{1e6 * ceilings['dependent']['median']:.1f}",
            ]
        )
    return rows


def browser(agent):
    """Name and version, as far as an agent tells them."""
    for name in ["Edg", "Firefox", "HeadlessChrome", "Chrome", "Version"]:
        found = re.search(rf"{name}/(\d+)", agent)
        if found:
            return {"Edg": "Edge", "Version": "Safari"}.get(name, name) + " " + found.group(1)
    return plain(agent)[:40]


def plain(text):
    """What cannot break a table."""
    return re.sub(r"[|\s]+", " ", str(text)).strip()


if __name__ == "__main__":
    main()
