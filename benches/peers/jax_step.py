"""The training step of `elbo bench` in JAX, timed: one line of JSON for each network and batch size.

The same work: a random minibatch of the resident bytes, dynamic binarization, forward with a sampled z,
backward, Adam. Steps run in one jitted lax.scan, an epoch at most. Modes: threefry (JAX's default
generator) and rbg (XLA's own, faster and weaker).
"""

import timing  # first: it takes the time
import functools
import math
import time

import jax
import jax.numpy as jnp
from jax import lax, nn, random


def layers(key, widths):
    """Weights and biases uniform on ±1/sqrt(inputs)."""
    made = []
    for inputs, outputs in zip(widths, widths[1:]):
        key, of_weight, of_bias = random.split(key, 3)
        bound = 1 / math.sqrt(inputs)
        weight = random.uniform(of_weight, (inputs, outputs), minval=-bound, maxval=bound)
        made.append((weight, random.uniform(of_bias, (outputs,), minval=-bound, maxval=bound)))
    return made


def mlp(parameters, x):
    for weight, bias in parameters[:-1]:
        x = nn.relu(x @ weight + bias)
    weight, bias = parameters[-1]
    return x @ weight + bias


def loss(parameters, x, key):
    """-ELBO of a minibatch, the mean over its images."""
    encoder, decoder = parameters
    mu, log_variance = jnp.split(mlp(encoder, x), 2, axis=1)
    z = mu + jnp.exp(0.5 * log_variance) * random.normal(key, mu.shape)
    eta = mlp(decoder, z)
    reconstruction = jnp.sum(x * eta - nn.softplus(eta))
    kl = 0.5 * jnp.sum(mu**2 + jnp.exp(log_variance) - log_variance - 1)
    return (kl - reconstruction) / x.shape[0]


def step(images, batch, state, _):
    parameters, first, second, t, key = state
    key, of_rows, of_pixels, of_noise = random.split(key, 4)
    rows = random.randint(of_rows, (batch,), 0, images.shape[0])
    grey = images[rows].astype(jnp.float32) * (1 / 255)
    x = (random.uniform(of_pixels, grey.shape) < grey).astype(jnp.float32)
    value, gradient = jax.value_and_grad(loss)(parameters, x, of_noise)
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


@functools.partial(jax.jit, static_argnames=("batch", "n"), donate_argnames="state")
def steps(images, state, batch, n):
    return lax.scan(functools.partial(step, images, batch), state, length=n)


def begin_state(widths, mode):
    key = random.key(0, impl="rbg" if mode == "rbg" else None)
    key, of_encoder, of_decoder = random.split(key, 3)
    *hidden, latent = widths
    parameters = (
        layers(of_encoder, hidden + [2 * latent]),
        layers(of_decoder, [latent] + hidden[::-1]),
    )
    zeros = [jax.tree.map(jnp.zeros_like, parameters) for _ in range(2)]
    return (parameters, *zeros, jnp.float32(0), key)


def main():
    arguments = timing.options()
    jax.config.update("jax_platforms", arguments.device)
    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if arguments.tf32 else "highest")
    with open(arguments.data, "rb") as file:
        images = jnp.frombuffer(file.read(), dtype=jnp.uint8).reshape(-1, 784)
    images = jax.device_put(images, jax.devices()[0])
    peer = "JAX scan" if arguments.mode != "rbg" else "JAX scan, rbg"
    if arguments.device == "cuda":
        peer += ", TF32" if arguments.tf32 else ", f32"
    begin = timing.BEGIN
    for widths, batch in timing.cases(arguments):
        state = begin_state(widths, arguments.mode)

        def run(n):
            """Seconds of n steps, to the end of the last."""
            nonlocal state
            begin = time.perf_counter()
            state, losses = steps(images, state, batch, n)
            losses.block_until_ready()
            return time.perf_counter() - begin, losses

        run(1)
        first_step = time.perf_counter() - begin
        half = arguments.warm_up // 2
        if half > 1:
            run(half - 1)
        rest = arguments.warm_up - half
        _, losses = run(rest)
        elbo = -float(losses.mean())
        one = run(rest)[0] / rest
        n = min(timing.runs_in(arguments.seconds, one), math.ceil(images.shape[0] / batch))
        run(n)  # compiles
        samples = timing.sample(arguments.seconds, lambda: run(n)[0] / n)
        timing.report(
            peer,
            widths,
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
