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
    parser.add_argument("--avx2", action="store_true", help="nothing wider, on a processor that has AVX-512")
    parser.add_argument("--arch", required=True, help="784-400-20,28x28-conv 32 4/2-256-20")
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
            yield arch, int(batch)


class Convolution:
    """From maps of `inputs` (height, width, channels) to those of `outputs`."""

    def __init__(self, inputs, channels, kernel, stride):
        self.inputs, self.kernel, self.stride = inputs, kernel, stride
        self.padding = max(0, kernel + 1 - stride) // 2
        places = [(pixels + 2 * self.padding - kernel) // stride + 1 for pixels in inputs[:2]]
        self.outputs = (*places, channels)

    def beyond(self):
        """Pixels that the way back has beyond the fewest, in height and width."""
        pairs = zip(self.inputs[:2], self.outputs[:2])
        return [pixels - ((places - 1) * self.stride + self.kernel - 2 * self.padding) for pixels, places in pairs]


def network(arch):
    """Convolutions, the widths from what they give to the last hidden layer, and the latent units."""
    first, *hidden, latent = arch.split("-")
    at, convolutions, widths = (28, 28, 1), [], []
    for layer in hidden:
        if layer.startswith("conv "):
            _, channels, window = layer.split()
            convolutions.append(Convolution(at, int(channels), *map(int, window.split("/"))))
            at = convolutions[-1].outputs
        else:
            widths.append(int(layer))
    return convolutions, [at[0] * at[1] * at[2]] + widths, int(latent)


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


def report(peer, arch, batch, samples, warm_up_elbo, first_step, **more):
    row = {
        "peer": peer,
        "network": arch,
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
