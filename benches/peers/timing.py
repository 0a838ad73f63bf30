"""What the Python peers share: their options, and how they are timed."""

import argparse
import json
import os
import time

BEGIN = time.perf_counter()  # imported first, so close to the start of the process


def options():
    parser = argparse.ArgumentParser(description="Run by benches/compare.py; prints one line of JSON a case.")
    parser.add_argument("--data", required=True, help="raw bytes of N images of 784 pixels")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--mode", default="eager")
    parser.add_argument("--tf32", action="store_true")
    parser.add_argument("--arch", required=True, help="784-400-20,784-200-200-50")
    parser.add_argument("--batch", required=True, help="20,128")
    parser.add_argument("--warm-up", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    return parser.parse_args()


def threads():
    """The processors that this process may use, as elbo counts them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def cases(arguments):
    for arch in arguments.arch.split(","):
        for batch in arguments.batch.split(","):
            yield [int(width) for width in arch.split("-")], int(batch)


def percentile(ordered, share):
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def runs_in(seconds, one):
    """How many steps of `one` second make a sample of a tenth of the time."""
    return max(1, min(4096, int(seconds / 10 / one)))


def sample(seconds, run):
    """Samples `run()`, which returns the seconds of a step, until they have taken `seconds`: five at least."""
    samples = []
    begin = time.perf_counter()
    while len(samples) < 5 or time.perf_counter() - begin < seconds:
        samples.append(run())
    return sorted(samples)


def report(peer, widths, batch, samples, warm_up_elbo, first_step, **more):
    row = {
        "peer": peer,
        "network": "-".join(map(str, widths)),
        "batch": batch,
        "median": percentile(samples, 0.5),
        "p10": percentile(samples, 0.1),
        "p90": percentile(samples, 0.9),
        "n": len(samples),
        "warm_up_elbo": warm_up_elbo,
        "first_step": first_step,
        **more,
    }
    print(json.dumps(row), flush=True)
