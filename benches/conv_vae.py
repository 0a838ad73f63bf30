#!/usr/bin/env python3
"""Trains the network of `elbo train --network conv` in PyTorch, on the same images, with the same likelihood and optimizer.

    python benches/conv_vae.py FOLDER [--batch 128] [--steps 470] [--seed 0] [--threads 2]

FOLDER has train.npy and test.npy, (N, height, width, 3) bytes, as benches/sprites.py writes them. The likelihood is Gaussian,
its variance the optimum of each minibatch; for the test set, the optimum of that. Prints images/s and the test ELBO. Needs
NumPy and PyTorch.
"""

import argparse
import math
import pathlib
import time

import numpy as np
import torch
from torch import nn


class Vae(nn.Module):
    """Convolutions that halve the image as long as it has 8 pixels, at most four; 256 units; 20 latent units."""

    def __init__(self, channels, height, width):
        super().__init__()
        widths, least = [channels], min(height, width)
        encoder, decoder = [], []
        while least >= 8 and len(widths) < 5:
            widths.append(min(32 * 2 ** (len(widths) - 1), 256))
            encoder += [nn.Conv2d(widths[-2], widths[-1], 4, 2, 1), nn.ReLU()]
            height, width, least = height // 2, width // 2, least // 2
        flat = widths[-1] * height * width
        self.encoder = nn.Sequential(*encoder, nn.Flatten(), nn.Linear(flat, 256), nn.ReLU())
        self.mu, self.log_variance = nn.Linear(256, 20), nn.Linear(256, 20)
        for i in range(len(widths) - 1, 0, -1):
            decoder.append(nn.ConvTranspose2d(widths[i], widths[i - 1], 4, 2, 1))
            decoder += [nn.ReLU()] if i > 1 else []
        shape = (widths[-1], height, width)
        self.decoder = nn.Sequential(
            nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, flat), nn.ReLU(), nn.Unflatten(1, shape), *decoder
        )

    def forward(self, x):
        """KL of each image, and squared errors, both summed over their units and pixels."""
        h = self.encoder(x)
        mu, log_variance = self.mu(h), self.log_variance(h)
        z = mu + torch.exp(0.5 * log_variance) * torch.randn_like(mu)
        kl = 0.5 * (mu * mu + log_variance.exp() - 1 - log_variance).sum(1)
        return kl, ((self.decoder(z) - x) ** 2).flatten(1).sum(1)


def elbo(kl, squares, values):
    """Mean over the images where the variance is what makes it largest: the mean squared error."""
    variance = squares.mean() / values
    return -0.5 * values * (torch.log(2 * math.pi * variance) + 1) - kl.mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    for name, default in [("batch", 128), ("steps", 470), ("seed", 0), ("threads", 2)]:
        parser.add_argument(f"--{name}", type=int, default=default, help="[%(default)s]")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)

    def images(name):
        bytes = np.load(arguments.folder / f"{name}.npy")
        return torch.tensor(bytes).permute(0, 3, 1, 2).float().contiguous() / 255

    train, test = images("train"), images("test")
    model, values = Vae(*train.shape[1:]), train[0].numel()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    order, at, untimed, began = torch.randperm(len(train)), 0, 5, 0.0
    for step in range(arguments.steps):
        if step == untimed:
            began = time.perf_counter()
        if at + arguments.batch > len(train):
            order, at = torch.randperm(len(train)), 0
        minibatch = train[order[at : at + arguments.batch]]
        at += arguments.batch
        optimizer.zero_grad(set_to_none=True)
        (-elbo(*model(minibatch), values)).backward()
        optimizer.step()
    seconds = time.perf_counter() - began
    rate = (arguments.steps - untimed) * arguments.batch / seconds
    with torch.no_grad():
        kl, squares = model(test)
    print(
        f"PyTorch {torch.__version__}: {rate:.0f} images/s, test ELBO {elbo(kl, squares, values):.1f} after "
        f"{arguments.steps} steps, seed {arguments.seed}"
    )


if __name__ == "__main__":
    main()
