#!/usr/bin/env python3
"""Checks the table of `elbo gaps` by another program: NumPy, its own random numbers, binarization, chains and Adam.

    elbo gaps RUN --data images.npz --images 100 --per-image gaps.csv
    python benches/check_gaps.py RUN images.npz gaps.csv

RUN is a run of a multilayer perceptron with ReLU, a diagonal Gaussian and Bernoulli pixels; images.npz has x_test and x_train, bytes
(N, 28, 28), as `elbo gaps --data` takes them. Of bytes that are all 0 or 255 both programs see the same images. Every row has the
mean over images of both programs and that of the difference, image by image, with its standard error. Nothing of the project is
used but the run's parameters and the images.
"""

import argparse
import csv
import json
import struct
from pathlib import Path

import numpy as np

DRAWS, SCORED = 5000, 500  # K, and the draws by which ELBOs are estimated
STEPS, SAMPLES, RATE = 500, 5, 0.03  # of Adam
TEMPERATURES, CHAINS, LEAPFROGS, SIZE = 100, 10, 10, 0.2  # of annealing; one step size, in standard deviations of q


def parameters(run):
    raw = (Path(run) / "model.safetensors").read_bytes()
    (n,) = struct.unpack("<Q", raw[:8])
    head = json.loads(raw[8 : 8 + n])
    tensors = {}
    for name, at in head.items():
        if name != "__metadata__":
            a, b = at["data_offsets"]
            tensors[name] = np.frombuffer(raw[8 + n + a : 8 + n + b], np.float32).reshape(at["shape"])
    return tensors


class Model:
    def __init__(self, run):
        p = parameters(run)
        layer = lambda name: (np.ascontiguousarray(p[name + ".weight"].T), p[name + ".bias"])
        self.hidden, self.mean, self.log_variance = layer("fc1"), layer("fc21"), layer("fc22")
        self.decoder, self.out = layer("fc3"), layer("fc4")

    def encode(self, x):
        h = np.maximum(x @ self.hidden[0] + self.hidden[1], 0)
        return [h @ w + b for w, b in (self.mean, self.log_variance)]

    def log_px(self, x, z, gradient=False):
        """log p(x|z) of rows, and its gradient at z."""
        h = np.maximum(z @ self.decoder[0] + self.decoder[1], 0)
        eta = h @ self.out[0] + self.out[1]
        value = (x * eta - np.logaddexp(0, eta)).sum(1, dtype=np.float64)
        if not gradient:
            return value
        d = ((x - 1 / (1 + np.exp(-eta))) @ self.out[0].T) * (h > 0)
        return value, d @ self.decoder[0].T


def normal_log(z, mean, log_variance):
    return -0.5 * ((z - mean) ** 2 * np.exp(-log_variance) + log_variance + np.log(2 * np.pi)).sum(-1, dtype=np.float64)


def log_mean_exp(w, axis):
    top = w.max(axis, keepdims=True)
    return np.squeeze(top, axis) + np.log(np.exp(w - top).mean(axis))


def kl(mean, log_variance):
    return 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(1)


def noise(rng, *shape):
    return rng.standard_normal(shape, np.float32)


def elbo(model, rng, x, q):
    total = np.zeros(len(x))
    for _ in range(SCORED):
        total += model.log_px(x, q[0] + np.exp(q[1] / 2) * noise(rng, *q[0].shape))
    return total / SCORED - kl(*q)


def importance(model, rng, x, q):
    weights = []
    for _ in range(DRAWS):
        z = q[0] + np.exp(q[1] / 2) * noise(rng, *q[0].shape)
        weights.append(model.log_px(x, z) + normal_log(z, 0, np.zeros_like(z)) - normal_log(z, *q))
    return log_mean_exp(np.array(weights), 0)


def best(model, rng, x, q):
    """Adam on mean and log variance of each image."""
    q = [v.astype(np.float32).copy() for v in q]
    first, second = [np.zeros_like(v) for v in q], [np.zeros_like(v) for v in q]
    rows = np.repeat(x, SAMPLES, 0)
    for step in range(STEPS):
        eps = noise(rng, len(x), SAMPLES, q[0].shape[1])
        sigma = np.exp(q[1] / 2)[:, None]
        z = (q[0][:, None] + sigma * eps).reshape(len(rows), -1)
        d = model.log_px(rows, z, gradient=True)[1].reshape(eps.shape)
        of = [d.mean(1) - q[0], (d * eps * sigma).mean(1) / 2 - (np.exp(q[1]) - 1) / 2]
        rate = RATE * 0.5 * (1 + np.cos(np.pi * step / STEPS))
        for v, g, m, s in zip(q, of, first, second):
            m += 0.1 * (g - m)
            s += 0.001 * (g * g - s)
            v += rate * (m / (1 - 0.9 ** (step + 1))) / (np.sqrt(s / (1 - 0.999 ** (step + 1))) + 1e-8)
    return q


def annealing(model, rng, x, q):
    """log of the mean weight of chains from q to the posterior, by Hamiltonian Monte Carlo."""
    x, mean, l = [np.repeat(v, CHAINS, 0) for v in (x, *q)]
    sigma = np.exp(l / 2)
    z = mean + sigma * noise(rng, *mean.shape)

    def at(z):
        """log p(x|z) p(z), log q(z), and their gradients."""
        value, d = model.log_px(x, z, gradient=True)
        return value + normal_log(z, 0, np.zeros_like(z)), normal_log(z, mean, l), d - z, (mean - z) * np.exp(-l)

    along = 1 / (1 + np.exp(-4 * (2 * np.arange(TEMPERATURES + 1) / TEMPERATURES - 1)))
    betas = (along - along[0]) / (along[-1] - along[0])
    here, log_w, accepted = at(z), np.zeros(len(z)), []
    for before, beta in zip(betas, betas[1:]):
        log_w += (beta - before) * (here[0] - here[1])
        if beta == betas[-1]:
            break
        log_f = lambda a: beta * a[0] + (1 - beta) * a[1]
        slope = lambda a: (beta * a[2] + (1 - beta) * a[3]) * sigma
        v = noise(rng, *z.shape)
        energy = 0.5 * (v**2).sum(1) - log_f(here)
        new, there = z, here
        for i in range(LEAPFROGS):
            v = v + SIZE * (0.5 if i == 0 else 1) * slope(there)
            new = (new + SIZE * sigma * v).astype(np.float32)
            there = at(new)
        v = v + 0.5 * SIZE * slope(there)
        change = energy - (0.5 * (v**2).sum(1) - log_f(there))
        yes = np.log(rng.random(len(z))) < change
        accepted.append(yes.mean())
        z = np.where(yes[:, None], new, z)
        here = [np.where(yes if a.ndim == 1 else yes[:, None], b, a) for a, b in zip(here, there)]
    print(f"  {np.mean(accepted):.0%} of the proposals were accepted")
    return log_mean_exp(log_w.reshape(-1, CHAINS), 1)


def found(model, rng, images):
    x = (rng.random(images.shape) * 255 < images).astype(np.float32)
    q = model.encode(x)
    ends = [best(model, rng, x, start) for start in (q, [np.zeros_like(v) for v in q])]
    elbos = [elbo(model, rng, x, end) for end in ends]
    higher = elbos[0] >= elbos[1]
    top = [np.where(higher[:, None], a, b) for a, b in zip(*ends)]
    rows = {
        "importance_5000": importance(model, rng, x, q),
        "importance_from_best_q": importance(model, rng, x, top),
        "annealing": annealing(model, rng, x, top),
        "elbo": elbo(model, rng, x, q),
        "best_elbo_from_encoder": elbos[0],
        "best_elbo_from_prior": elbos[1],
        "best_elbo": np.maximum(*elbos),
    }
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("images")
    parser.add_argument("gaps", help="what elbo gaps --per-image has written")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    model, rng, data = Model(args.run), np.random.default_rng(args.seed), np.load(args.images)
    theirs = list(csv.DictReader(open(args.gaps)))
    wrong = 0
    for part in ("test", "train"):
        lines = [line for line in theirs if line["set"] == part]
        images = data["x_" + part][: len(lines)].reshape(len(lines), -1)
        print(f"{len(lines)} {part} images")
        own = found(model, rng, images)
        of = {name: np.array([float(line[name]) for line in lines]) for name in own}
        for rows in (own, of):
            bound = max(("importance_5000", "importance_from_best_q", "annealing"), key=lambda name: of[name].mean())
            rows["approximation gap"] = rows[bound] - rows["best_elbo"]
            rows["amortization gap"] = rows["best_elbo"] - rows["elbo"]
            rows["inference gap"] = rows[bound] - rows["elbo"]
        print(f"  {'':<24} {'elbo gaps':>18} {'this program':>18} {'difference':>18}")
        for name in own:
            mean = lambda v: (v.mean(), v.std(ddof=1) / len(v) ** 0.5)
            cells = [mean(v) for v in (of[name], own[name], own[name] - of[name])]
            near = abs(cells[2][0]) <= 2 * cells[2][1]
            wrong += not near
            shown = " ".join(f"{m:>10.3f} ± {e:5.3f}" for m, e in cells)
            print(f"  {name:<24} {shown}  {'' if near else 'more than two standard errors'}")
    print(f"{wrong} rows differ by more than two standard errors of the difference")


if __name__ == "__main__":
    main()
