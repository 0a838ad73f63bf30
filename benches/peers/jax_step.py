"""The training step of `elbo bench` in JAX, timed: one line of JSON for each network and batch size.

The same work: a random minibatch of the resident bytes, dynamic binarization, forward with a sampled z,
backward, Adam. Steps run in jitted lax.scans of half the warm-up, which are sent off one behind the other: two lengths are
compiled, that one and a single step. Modes: threefry (JAX's default generator) and rbg (XLA's own, faster and weaker).
"""

import timing  # first: it takes the time
import ctypes
import functools
import math
import pathlib
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import jaxlib
from jax import lax, nn, random


def uniform(key, shape, inputs):
    """Weights of this shape and biases, uniform on ±1/sqrt(inputs)."""
    of_weight, of_bias = random.split(key)
    bound = 1 / math.sqrt(inputs)
    weight = random.uniform(of_weight, shape, minval=-bound, maxval=bound)
    return weight, random.uniform(of_bias, shape[-1:], minval=-bound, maxval=bound)


def layers(key, widths):
    keys = random.split(key, len(widths))
    return [uniform(key, pair, pair[0]) for key, pair in zip(keys, zip(widths, widths[1:]))]


def kernels(key, pairs):
    """Of convolutions from so many channels to so many: (kernel, kernel, from, to)."""
    keys = random.split(key, len(pairs) + 1)
    return [uniform(key, (k, k, a, b), fan) for key, (k, a, b, fan) in zip(keys, pairs)]


def mlp(parameters, x):
    for weight, bias in parameters[:-1]:
        x = nn.relu(x @ weight + bias)
    weight, bias = parameters[-1]
    return x @ weight + bias


def convolve(parameters, convolutions, x):
    """(B, 784) through all of them, each with its ReLU, and flat again."""
    if not convolutions:
        return x
    x = x.reshape(-1, 28, 28, 1)
    for (weight, bias), c in zip(parameters, convolutions):
        around = [(c.padding, c.padding)] * 2
        x = lax.conv_general_dilated(x, weight, [c.stride] * 2, around, dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = nn.relu(x + bias)
    return x.reshape(x.shape[0], -1)


def convolve_back(parameters, convolutions, h):
    """The way back, without a ReLU behind the last."""
    if not convolutions:
        return h
    h = nn.relu(h).reshape(-1, *convolutions[-1].outputs)
    for i, ((weight, bias), c) in enumerate(zip(parameters, convolutions[::-1])):
        edge = c.kernel - 1 - c.padding
        around = [(edge, edge + beyond) for beyond in c.beyond()]
        h = bias + lax.conv_general_dilated(
            h, weight, [1, 1], around, lhs_dilation=[c.stride] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        h = nn.relu(h) if i + 1 < len(convolutions) else h
    return h.reshape(h.shape[0], -1)


def loss(convolutions, parameters, x, key):
    """-ELBO of a minibatch, the mean over its images."""
    first, encoder, decoder, last = parameters
    mu, log_variance = jnp.split(mlp(encoder, convolve(first, convolutions, x)), 2, axis=1)
    z = mu + jnp.exp(0.5 * log_variance) * random.normal(key, mu.shape)
    eta = convolve_back(last, convolutions, mlp(decoder, z))
    reconstruction = jnp.sum(x * eta - nn.softplus(eta))
    kl = 0.5 * jnp.sum(mu**2 + jnp.exp(log_variance) - log_variance - 1)
    return (kl - reconstruction) / x.shape[0]


def step(convolutions, images, batch, state, _):
    parameters, first, second, t, key = state
    key, of_rows, of_pixels, of_noise = random.split(key, 4)
    rows = random.randint(of_rows, (batch,), 0, images.shape[0])
    grey = images[rows].astype(jnp.float32) * (1 / 255)
    x = (random.uniform(of_pixels, grey.shape) < grey).astype(jnp.float32)
    value, gradient = jax.value_and_grad(functools.partial(loss, convolutions))(parameters, x, of_noise)
    t = t + 1
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
    correction1, correction2 = 1 - 0.9**t, 1 - 0.999**t
    parameters = jax.tree.map(
        lambda p, m, v: p - 1e-3 * (m / correction1) / (jnp.sqrt(v / correction2) + 1e-8),
        parameters,
        first,
        second,
    )
    return (parameters, first, second, t, key), value


@functools.partial(jax.jit, static_argnames=("convolutions", "batch", "n"), donate_argnames="state")
def steps(convolutions, images, state, batch, n):
    return lax.scan(functools.partial(step, convolutions, images, batch), state, length=n)


def begin_state(arch, mode):
    key = random.key(0, impl="rbg" if mode == "rbg" else None)
    key, of_first, of_encoder, of_decoder, of_last = random.split(key, 5)
    convolutions, widths, latent = timing.network(arch)

    def sizes(c, inputs, outputs):
        # PyTorch counts a transposed convolution's inputs by the channels that it gives.
        return c.kernel, inputs, outputs, c.kernel**2 * c.inputs[2]

    parameters = (
        kernels(of_first, [sizes(c, c.inputs[2], c.outputs[2]) for c in convolutions]),
        layers(of_encoder, widths + [2 * latent]),
        layers(of_decoder, [latent] + widths[::-1]),
        kernels(of_last, [sizes(c, c.outputs[2], c.inputs[2]) for c in convolutions[::-1]]),
    )
    zeros = [jax.tree.map(jnp.zeros_like, parameters) for _ in range(2)]
    return tuple(convolutions), (parameters, *zeros, jnp.float32(0), key)


def hold_products_to_avx2():
    """Takes AVX-512 from the library that multiplies XLA's matrices, YNNPACK.

    It asks the processor itself, whatever --xla_cpu_max_isa says to XLA, and keeps the answer in a local variable. Its
    bits are those of arch_flag in ynnpack/base/arch.h: below 1 << 7 lies everything up to AVX2 and FMA.
    """
    library = pathlib.Path(jaxlib.__file__).parent / "libjax_common.so"
    symbols = subprocess.run(["nm", library], capture_output=True, text=True, check=True).stdout.splitlines()
    addresses = {name: int(address, 16) for address, _, name in (s.split() for s in symbols if "arch_flags" in s)}
    question, answer = "_ZN3ynn24get_supported_arch_flagsEv", "_ZZN3ynn24get_supported_arch_flagsEvE5flags"
    if not {question, answer} <= addresses.keys():
        sys.exit("JAX's products cannot be held to AVX2: this version's library does not say where it keeps what the processor has")
    maps = (line.split() for line in open("/proc/self/maps"))
    start = next(int(m[0].split("-")[0], 16) - int(m[2], 16) for m in maps if m[-1] == str(library))
    supported = ctypes.CFUNCTYPE(ctypes.c_uint64)(start + addresses[question])
    supported()
    ctypes.c_uint64.from_address(start + addresses[answer]).value &= 0x7F
    assert supported() <= 0x7F


def main():
    arguments = timing.options()
    if arguments.avx2:
        hold_products_to_avx2()
    jax.config.update("jax_platforms", arguments.device)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # where the environment names a folder for it
    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if arguments.tf32 else "highest")
    with open(arguments.data, "rb") as file:
        images = jnp.frombuffer(file.read(), dtype=jnp.uint8).reshape(-1, 784)
    images = jax.device_put(images, jax.devices()[0])
    peer = "JAX scan" if arguments.mode != "rbg" else "JAX scan, rbg"
    if arguments.device == "cuda":
        peer += ", TF32" if arguments.tf32 else ", f32"
    begin = timing.BEGIN
    for arch, batch in timing.cases(arguments):
        convolutions, state = begin_state(arch, arguments.mode)

        def run(n, times):
            """Seconds of `times` scans of n steps, to the end of the last, and the last's losses."""
            nonlocal state
            begin = time.perf_counter()
            for _ in range(times):
                state, losses = steps(convolutions, images, state, batch, n)
            losses.block_until_ready()
            return time.perf_counter() - begin, losses

        run(1, 1)
        first_step = time.perf_counter() - begin
        half = arguments.warm_up // 2
        run(1, half - 1)
        rest = arguments.warm_up - half
        _, losses = run(rest, 1)  # compiles
        elbo = -float(losses.mean())
        one = run(rest, 1)[0] / rest
        times = max(1, timing.runs_in(arguments.seconds, one) // rest)
        samples = timing.sample(arguments.seconds, lambda: run(rest, times)[0] / (rest * times))
        timing.report(
            peer,
            arch,
            batch,
            samples,
            elbo,
            first_step,
            device=jax.devices()[0].device_kind,
            threads=timing.threads(),
            images=images.shape[0],
        )
        begin = time.perf_counter()


main()
