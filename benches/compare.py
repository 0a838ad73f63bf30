#!/usr/bin/env python3
"""Compares `elbo bench` with PyTorch, JAX and burn on this machine: one table of ratios.

Every program takes the same training step (a random minibatch of the resident MNIST, dynamic
binarization, forward with a sampled z, backward, Adam; nothing read back) with the same networks and batch
sizes, on all cores or on the same GPU, one program after the other, several rounds. A ratio is
elbo's images/s over the peer's in the same round; the table has its median and its range over the rounds.
A peer whose ELBO after the same number of steps is another one has not done the same work, and is
refused; a step of elbo's whose result is wrong has no figure. Each row is written to --rows as it comes.
Only the standard library is needed; PyTorch and JAX are found by the Python that runs this, burn
where cargo builds it. What is not found is named and skipped.
"""

import argparse
import datetime
import gzip
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
BURN = HERE / "peers" / "burn"
# How far the ELBO after the warm-up may differ, relative to itself: seeds differ, and early in training
# two runs are apart by up to 3 %.
LOSS_TOLERANCE = 0.05
# How PyTorch (the first four) and JAX can be run; see benches/peers.
MODES = {"eager": "cpu cuda", "compile": "cpu cuda", "graph": "cuda", "compiled-graph": "cuda", "threefry": "cpu cuda", "rbg": "cpu cuda"}
# As `elbo bench` has it: the encoder's layers; the decoder's lead back.
WIDTH = r"[1-9]\d*"
NETWORK = rf"784(-{WIDTH}){{2,}}|28x28(-conv {WIDTH} {WIDTH}/{WIDTH})+(-{WIDTH})+"


def main():
    arguments = options()
    elbo = arguments.elbo or build_elbo()
    sections = []
    refused = []
    load_before = os.getloadavg() if hasattr(os, "getloadavg") else None
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder) / "train.u8"
        images = gzip.decompress((ROOT / "assets/mnist-train/train-images-idx3-ubyte.gz").read_bytes())
        data.write_bytes(images[16:])
        for device in arguments.device.split(","):
            section = Section(arguments, elbo, device, data)
            section.run()
            refused += section.refused + section.wrong
            sections.append(section)
    text = page(arguments, sections, load_before)
    out = arguments.out or HERE / "results" / f"{slug(machine())}.md"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text)
    print(text)
    note(f"written to {out}")
    for line in refused:
        note(f"refused or wrong: {line}")
    return 1 if refused else 0


def options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--device", default="auto", help="as elbo's own option; several by commas, as in cpu,gpu [auto]")
    add("--arch", default="784-400-20", help="networks, by commas, also as in \"28x28-conv 32 4/2-256-20\" [%(default)s]")
    add("--batch", default="20,128,512,4096", help="batch sizes [%(default)s]")
    add("--rounds", type=positive(int), default=2, help="[%(default)s]")
    add("--seconds", type=positive(float), default=1.0, help="of each measurement [%(default)s]")
    add("--warm-up", type=positive(int), default=100, help="steps before, whose ELBO is compared [%(default)s]")
    add("--precision", default="f32", choices=("f32", "mixed"), help="of elbo's products [%(default)s]")
    add("--only", default="pytorch,jax,burn", help="peers [%(default)s]")
    add("--modes", help=f"of PyTorch and JAX, by commas: {', '.join(MODES)} [all that the device has]")
    add("--tf32", default="both", choices=("yes", "no", "both"), help="of PyTorch's and JAX's products on a GPU [%(default)s]")
    add(
        "--isa",
        choices=("widest", "avx2"),
        default="widest",
        help="avx2: nobody uses AVX-512; elbo is --elbo's, built with RUSTFLAGS='--cfg elbo_avx2' [%(default)s]",
    )
    add("--rows", type=pathlib.Path, help="also append each row, in JSON, to this file as it comes")
    add("--out", type=pathlib.Path, help="the file to write [benches/results/<machine>.md]")
    add("--elbo", type=pathlib.Path, help="the program [built by cargo]")
    add("--burn", type=pathlib.Path, help="burn's program [where cargo builds it]")
    arguments = parser.parse_args()
    arguments.modes = set(arguments.modes.split(",")) if arguments.modes else set(MODES)
    if not arguments.modes <= set(MODES):
        parser.error(f"--modes: {', '.join(sorted(arguments.modes - set(MODES)))} is none of {', '.join(MODES)}")
    known = {"pytorch", "jax", "burn"}
    arguments.peers = set(filter(None, arguments.only.split(",")))
    if not arguments.peers <= known:
        parser.error(f"--only: {', '.join(sorted(arguments.peers - known))} is none of {', '.join(sorted(known))}")
    for network in arguments.arch.split(","):
        if not re.fullmatch(NETWORK, network):
            parser.error(
                f"--arch: {network} is not 784, one hidden width at least and the latent one, as in 784-400-20, nor "
                "28x28 with convolutions first, as in 28x28-conv 32 4/2-conv 64 4/2-256-20"
            )
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", arguments.batch):
        parser.error(f"--batch: {arguments.batch} is not a list of sizes, as in 20,128")
    if arguments.warm_up < 4:
        parser.error("--warm-up: four steps at least")
    for program in (arguments.elbo, arguments.burn):
        if program and not program.is_file():
            parser.error(f"there is no {program}")
    # a bare name would be looked for in PATH
    arguments.elbo = arguments.elbo and arguments.elbo.resolve()
    arguments.burn = arguments.burn and arguments.burn.resolve()
    if arguments.isa == "avx2" and not arguments.elbo:
        parser.error("--isa avx2: name by --elbo a program that was built with RUSTFLAGS='--cfg elbo_avx2'")
    if arguments.rows and not arguments.rows.resolve().parent.is_dir():
        parser.error(f"--rows: there is no folder {arguments.rows.resolve().parent}")
    if arguments.out and not arguments.out.resolve().parent.is_dir():
        parser.error(f"--out: there is no folder {arguments.out.resolve().parent}")
    return arguments


def positive(number):
    def convert(text):
        value = number(text)
        if not value > 0:
            raise ValueError
        return value

    convert.__name__ = f"positive {number.__name__}"
    return convert


def note(text):
    print(text, file=sys.stderr, flush=True)


def build_elbo():
    note("cargo build --release")
    command = ["cargo", "build", "--release", "--message-format=json-render-diagnostics"]
    try:
        built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    except FileNotFoundError:
        sys.exit("cargo is not found; install Rust by rustup, or name the program by --elbo")
    if built.returncode:
        sys.exit(built.returncode)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return next(m["executable"] for m in messages if m.get("target", {}).get("name") == "elbo" and m.get("executable"))


class Section:
    """One device: who takes part, and what was measured."""

    def __init__(self, arguments, elbo, device, data):
        self.arguments, self.elbo, self.device, self.data = arguments, elbo, device, data
        self.skipped = []  # why a peer is not there
        self.refused = []  # who did other work
        self.about = None  # elbo's report
        self.rows = {}  # (network, batch, peer) -> its row of each round, None where there is none
        self.versions = {}
        # JAX keeps what it compiled, so that a later round does not compile again.
        self.environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(data.parent / "jax")}
        if arguments.isa == "avx2":
            flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_max_isa=AVX2".strip()
            self.environment |= {"XLA_FLAGS": flags, "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
            self.environment |= {"MKL_ENABLE_INSTRUCTIONS": "AVX2"}
        self.wrong = []  # steps of elbo's whose result was wrong

    def run(self):
        peers = None
        for turn in range(self.arguments.rounds):
            for row in self.run_elbo():
                self.add(row, turn)
            if peers is None:
                peers = self.find_peers(self.about["device"]["kind"])
            for name, command in peers:
                note(f"{self.device}, round {turn + 1} of {self.arguments.rounds}: {name}")
                for row in self.run_peer(name, command):
                    self.add(row, turn)
        self.refuse_other_work()

    def add(self, row, turn):
        if self.arguments.rows:
            with open(self.arguments.rows, "a") as file:
                file.write(json.dumps({"device": self.device, "round": turn + 1, **row}) + "\n")
        key = (row["network"], row["batch"], row["peer"])
        self.rows.setdefault(key, [None] * self.arguments.rounds)[turn] = row

    def run_elbo(self):
        a = self.arguments
        note(f"{self.device}: elbo")
        command = [self.elbo, "bench", "--only", "steps", "--json", "-", "--device", self.device]
        command += ["--arch", a.arch, "--batch", a.batch, "--precision", a.precision]
        command += ["--seconds", str(a.seconds), "--warm-up", str(a.warm_up)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        try:
            report = json.loads(done.stdout)
        except json.JSONDecodeError:
            sys.exit(f"elbo bench failed with exit code {done.returncode}")
        self.about = report
        if a.isa == "avx2" and report["device"]["driver"] != "AVX2":
            sys.exit(f"--isa avx2: {self.elbo} uses {report['device']['driver']}")
        opened = report["open"] + report["data"]
        for s in report["steps"]:
            figures = s["figures"]
            if "wrong" in figures:
                self.wrong.append(f"elbo, {s['network']}, batch {s['batch']}: {figures['wrong']}")
                note(f"WRONG: {self.wrong[-1]}")
                continue
            yield {
                "peer": "elbo",
                "network": s["network"],
                "batch": s["batch"],
                "images": s["images"],
                "warm_up_elbo": s["warm_up_elbo"],
                "first_step": opened + s["first_step"],
                "median": figures["time"]["median"],
            }
            opened = 0.0  # the program has begun only once

    def run_peer(self, name, command):
        a = self.arguments
        command = command + ["--data", str(self.data), "--arch", a.arch, "--batch", a.batch]
        command += ["--seconds", str(a.seconds), "--warm-up", str(a.warm_up)]
        rows = 0
        with tempfile.TemporaryFile("w+") as errors:
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=self.environment) as peer:
                for line in filter(lambda line: line.startswith("{"), peer.stdout):
                    rows += 1
                    yield {**json.loads(line), "peer": name}
            errors.seek(0)
            said = (errors.read().strip().splitlines() or ["nothing"])[-1]
        if peer.returncode:
            self.skip(f"{name} ended with exit code {peer.returncode} after {rows} cases: {said}")

    def skip(self, why):
        if why not in self.skipped:
            self.skipped.append(why)
            note(why)

    def find_peers(self, kind):
        """Names and commands of those that can take part on this kind of device."""
        found = []
        if "pytorch" in self.arguments.peers:
            found += self.find_python("torch", "PyTorch", kind, ["eager", "compile", "graph", "compiled-graph"])
        if "jax" in self.arguments.peers:
            found += self.find_python("jax", "JAX scan", kind, ["threefry", "rbg"])
        if "burn" in self.arguments.peers:
            found += self.find_burn(kind)
        return found

    def find_python(self, module, name, kind, modes):
        where = "cpu" if kind == "cpu" else "cuda"
        modes = [mode for mode in modes if mode in self.arguments.modes and where in MODES[mode].split()]
        if not modes:
            return []
        if kind == "software":
            self.skip(f"{name}: does not run on a software adapter; compare with --device cpu")
            return []
        cuda = {
            "torch": "torch.cuda.is_available()",
            "jax": "any(d.platform == 'gpu' for d in jax.devices())",
        }[module]
        probe = f"import {module}; print({module}.__version__); print({cuda})"
        done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
        if done.returncode:
            how = "torch" if module == "torch" else ("jax" if kind == "cpu" else "jax[cuda12]")
            self.skip(f"{name}: not found by {sys.executable}; pip install '{how}'")
            return []
        version, on_gpu = done.stdout.split()[-2:]
        self.versions[module] = version
        script = [sys.executable, str(HERE / "peers" / f"{module}_step.py")]
        script += ["--avx2"] * (self.arguments.isa == "avx2")
        if kind == "cpu":
            return [(f"{name} {mode}", script + ["--device", "cpu", "--mode", mode]) for mode in modes]
        if on_gpu != "True":
            self.skip(f"{name}: this installation sees no GPU; a build for CUDA is needed")
            return []
        return [
            (f"{name} {mode}, {label}", script + ["--device", "cuda", "--mode", mode] + tf32)
            for mode in modes
            for label, tf32, asked in (("f32", [], "no"), ("TF32", ["--tf32"], "yes"))
            if self.arguments.tf32 in (asked, "both")
        ]

    def find_burn(self, kind):
        if "conv" in self.arguments.arch:
            self.skip("burn-wgpu: has fully connected networks only; give no convolutions in --arch")
            return []
        if kind == "cpu":
            self.skip("burn-wgpu: runs on adapters; compare with --device gpu")
            return []
        manifest = BURN / "Cargo.toml"
        program = self.arguments.burn or burn_program()
        if not program:
            self.skip(
                "burn-wgpu: not built; cargo build --release --manifest-path "
                f"{manifest.relative_to(ROOT)} (some 25 minutes on two cores)"
            )
            return []
        self.versions["burn"] = re.search(r'name = "burn"\nversion = "([^"]+)"', (BURN / "Cargo.lock").read_text())[1]
        return [("burn-wgpu", [str(program), "--device", kind])]

    def refuse_other_work(self):
        for (network, batch, peer), rows in self.rows.items():
            for turn, row in enumerate(rows):
                ours = self.rows.get((network, batch, "elbo"), {turn: None})[turn]
                if row is None or ours is None:
                    continue
                theirs, own = row["warm_up_elbo"], ours["warm_up_elbo"]
                # a NaN is near nothing
                if not abs(theirs - own) <= LOSS_TOLERANCE * abs(own):
                    self.refused.append(
                        f"{peer}, {network}, batch {batch}: its ELBO in {self.arguments.warm_up} steps of "
                        f"warm-up is {theirs:.2f}, elbo's is {own:.2f}"
                    )
                    rows[turn] = None

    def ratios(self, network, batch, peer):
        pairs = zip(self.rows.get((network, batch, "elbo"), []), self.rows[(network, batch, peer)])
        return [theirs["median"] / ours["median"] for ours, theirs in pairs if ours and theirs]


def burn_program():
    folder = os.environ.get("CARGO_TARGET_DIR")
    folders = [pathlib.Path(folder)] if folder else []
    for target in folders + [BURN / "target"]:
        for name in ("burn-step", "burn-step.exe"):
            if (target / "release" / name).is_file():
                return target / "release" / name
    return None


def page(arguments, sections, load_before):
    first = sections[0].about
    lines = [f"# {machine()}", ""]
    lines.append(
        f"{first['date']}, commit {first['commit']}, {platform.platform()}, {first['host_threads']} threads, "
        f"Python {platform.python_version()}."
    )
    lines.append(f"`benches/compare.py {' '.join(sys.argv[1:])}`".replace(" `", "`"))
    if load_before:
        after = os.getloadavg()
        lines.append(
            f"Load average over a minute {load_before[0]:.1f} before and {after[0]:.1f} after, "
            f"on {os.cpu_count()} processors; the programs make their own load."
        )
    for section in sections:
        lines += section_page(arguments, section)
    return "\n".join(lines) + "\n"


def section_page(arguments, section):
    device = section.about["device"]
    versions = {**section.about["versions"], **section.versions}
    lines = ["", f"## {device['name']}", ""]
    lines.append(f"{device['kind']}, {device['backend']}, driver {device['driver']}; " + ", ".join(f"{n} {v}" for n, v in versions.items()))
    if arguments.precision == "mixed":
        lines += ["", "elbo in mixed precision: products of f16 numbers, summed in f32."]
    lines += ["", "Training steps, images/s; median and range of the rounds. Ratio: elbo's over the peer's in the same round.", ""]
    lines += ["| network | batch | | images/s | range | elbo / peer | range |", "|---|---|---|---|---|---|---|"]
    for (network, batch, peer), rows in ordered(section.rows):
        speeds = sorted(batch / row["median"] for row in rows if row)
        cells = [network, str(batch), peer]
        if not speeds:
            cells += ["refused", "", "", ""]
        else:
            cells += [f"{statistics.median(speeds):.0f}", f"{speeds[0]:.0f} – {speeds[-1]:.0f}"]
            ratios = sorted(section.ratios(network, batch, peer))
            if peer == "elbo" or not ratios:
                cells += ["", ""]
            else:
                cells += [f"**{statistics.median(ratios):.2f}**", f"{ratios[0]:.2f} – {ratios[-1]:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "Seconds from the start of a program to the end of its first step, with the first network and batch size, in the first round (later ones may find what it compiled):", ""]
    key = (arguments.arch.split(",")[0], int(arguments.batch.split(",")[0]))
    lines += ["| | seconds |", "|---|---|"]
    for (network, batch, peer), rows in ordered(section.rows):
        if (network, batch) == key and rows[0]:
            lines.append(f"| {peer} | {rows[0]['first_step']:.2f} |")
    lines += ["", f"Mean ELBO of the second half of the first {arguments.warm_up} steps, nats per image, first round:", ""]
    peers = list(dict.fromkeys(peer for (_, _, peer) in section.rows))
    lines += ["| network | batch | " + " | ".join(peers) + " |", "|---|---" + "|---" * len(peers) + "|"]
    for network in arguments.arch.split(","):
        for batch in arguments.batch.split(","):
            cells = []
            for peer in peers:
                rows = section.rows.get((network, int(batch), peer), [None])
                cells.append(f"{rows[0]['warm_up_elbo']:.1f}" if rows[0] else "-")
            lines.append(f"| {network} | {batch} | " + " | ".join(cells) + " |")
    counts = {row["images"] for rows in section.rows.values() for row in rows if row}
    if len(counts) > 1:
        few = {peer for (_, _, peer), rows in section.rows.items() for row in rows if row and row["images"] < max(counts)}
        lines += ["", f"{', '.join(sorted(few))} had {min(counts)} images resident instead of {max(counts)}: more do not fit into one binding of this adapter as f32."]
    if section.skipped:
        lines += ["", "Not there:", ""] + [f"- {why}" for why in section.skipped]
    return lines


def ordered(rows):
    """By network as given, then by batch size, elbo first."""
    networks = list(dict.fromkeys(network for network, _, _ in rows))
    return sorted(rows.items(), key=lambda item: (networks.index(item[0][0]), item[0][1], item[0][2] != "elbo"))


def machine():
    """The processor's name."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
        return re.search(r"model name\s*:\s*(.+)", text)[1]
    except (OSError, TypeError):
        return platform.processor() or platform.machine()


def slug(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


if __name__ == "__main__":
    sys.exit(main())
