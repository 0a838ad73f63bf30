"""The training step of `elbo bench` in PyTorch, timed: one line of JSON for each network and batch size.

The same work: a random minibatch of the resident bytes, dynamic binarization, forward with a sampled z,
backward, Adam. Nothing is read back in the timed loop. Modes: eager; compile (the loss and its gradient by
torch.compile, on a GPU in CUDA graphs of its own); graph (the whole step as one CUDA graph); compiled-graph (the
compiled step as one CUDA graph).
"""

import timing  # first: it takes the time
import time

import torch
from torch import nn
from torch.nn import functional as F


def mlp(widths):
    layers = []
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def convolution(c):
    return nn.Conv2d(c.inputs[2], c.outputs[2], c.kernel, c.stride, c.padding)


def transposed(c):
    return nn.ConvTranspose2d(c.outputs[2], c.inputs[2], c.kernel, c.stride, c.padding, tuple(c.beyond()))


class Vae(nn.Module):
    def __init__(self, arch):
        super().__init__()
        convolutions, widths, latent = timing.network(arch)
        self.encoder, self.decoder = mlp(widths + [2 * latent]), mlp([latent] + widths[::-1])
        if convolutions:
            first = [nn.Unflatten(1, (1, 28, 28))]
            for c in convolutions:
                first += [convolution(c), nn.ReLU()]
            height, width, channels = convolutions[-1].outputs
            last = [nn.ReLU(), nn.Unflatten(1, (channels, height, width))]
            for c in convolutions[::-1]:
                last += [transposed(c), nn.ReLU()]
            self.encoder = nn.Sequential(*first, nn.Flatten(), self.encoder)
            self.decoder = nn.Sequential(self.decoder, *last[:-1], nn.Flatten())

    def loss(self, images, rows):
        """-ELBO of a minibatch, the mean over its images."""
        grey = images[rows].float() * (1 / 255)
        x = (torch.rand_like(grey) < grey).float()
        mu, log_variance = self.encoder(x).chunk(2, dim=1)
        z = mu + (0.5 * log_variance).exp() * torch.randn_like(mu)
        reconstruction = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        kl = 0.5 * (mu.square() + log_variance.exp() - log_variance - 1).sum()
        return (reconstruction + kl) / rows.shape[0]


class Training:
    def __init__(self, arch, batch, images, arguments):
        torch.manual_seed(0)
        self.images, self.batch = images, batch
        self.model = Vae(arch).to(images.device)
        self.graph = arguments.mode.endswith("graph")
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=1e-3, fused=True, capturable=self.graph
        )
        self.loss = self.model.loss
        if arguments.mode.startswith("compile"):
            # The images stay where they are: else a graph of torch.compile's copies all of them each step.
            torch._dynamo.mark_static_address(images)
            own_graphs = arguments.device == "cuda" and not self.graph
            self.loss = torch.compile(self.loss, mode="reduce-overhead" if own_graphs else "default")
        self.total = torch.zeros((), device=images.device)
        if self.graph:
            self.capture()

    def step_once(self):
        rows = torch.randint(len(self.images), (self.batch,), device=self.images.device)
        self.optimizer.zero_grad(set_to_none=True)  # in a graph, too: the gradients are written, not added to
        loss = self.loss(self.images, rows)
        loss.backward()
        self.optimizer.step()
        self.total += loss.detach()

    def capture(self):
        """Three steps beside the run that is measured, as PyTorch asks for, and the recording of one."""
        first = [p.detach().clone() for p in self.model.parameters()]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.step_once()
        torch.cuda.current_stream().wait_stream(side)
        self.recorded = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.recorded):
            self.step_once()
        with torch.no_grad():  # back to the beginning
            for parameter, value in zip(self.model.parameters(), first):
                parameter.copy_(value)
            for state in self.optimizer.state.values():
                for value in state.values():
                    value.zero_()

    def time(self, n):
        """Seconds of n steps, to the end of the last."""
        begin = time.perf_counter()
        for _ in range(n):
            if self.graph:
                self.recorded.replay()
            else:
                self.step_once()
        if self.images.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begin


def main():
    arguments = timing.options()
    torch.set_num_threads(timing.threads())
    torch.set_flush_denormal(True)
    torch.backends.cuda.matmul.allow_tf32 = arguments.tf32
    device = torch.device(arguments.device)
    with open(arguments.data, "rb") as file:
        data = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8).view(-1, 784)
    images = data.to(device)
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    peer = f"PyTorch {arguments.mode}"
    if arguments.device == "cuda":
        peer += ", TF32" if arguments.tf32 else ", f32"
    begin = timing.BEGIN
    for arch, batch in timing.cases(arguments):
        torch.compiler.reset()
        training = Training(arch, batch, images, arguments)
        training.time(1)
        first_step = time.perf_counter() - begin
        half = arguments.warm_up // 2
        training.time(max(half - 1, 0))
        training.total.zero_()
        training.time(arguments.warm_up - half)
        elbo = -training.total.item() / (arguments.warm_up - half)
        runs = timing.runs_in(arguments.seconds, training.time(3) / 3)
        samples = timing.sample(arguments.seconds, lambda: training.time(runs) / runs)
        timing.report(
            peer,
            arch,
            batch,
            samples,
            elbo,
            first_step,
            device=name,
            threads=torch.get_num_threads(),
            images=len(images),
        )
        begin = time.perf_counter()


main()
