#!/usr/bin/env python3
"""Does to the program what machines and people do to it, and says what was lost.

    python3 scripts/reliability.py                    everything, for docs/reliability.md
    python3 scripts/reliability.py --short            a few minutes of it, as the tests run it
    python3 scripts/reliability.py --only kills,disk  some of it

It needs Linux, Python's standard library and target/release/elbo (or --elbo). Each part draws from --seed alone, prints a row of a
table, and every failure with what repeats it; the exit code is 1 if there was one. A failure is: a panic, an abort that is not said
to be expected, an exit code that means nothing, more than 20 seconds, more than 1 GiB of memory, something left behind by a
command that was refused, a resumed run that is not, bit for bit, the one that never stopped.
"""

import argparse
import base64
import gzip
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from pathlib import Path

SECONDS = 20
BYTES = 1 << 30
TRAIN = ["--hidden", "16", "--latent", "2", "--batch", "4", "--device", "cpu"]

# A picture of 8 x 8 grey pixels; Python's library writes no JPEG.
JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19iZ2hnPk1xeXBkeFxlZ2P/"
    "wAALCAAIAAgBAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEI"
    "I0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ip"
    "qrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/AGR26TRtYaeypaID9ouc4DgdQD/d9T3+nX//2Q=="
)


class Failed(Exception):
    """What was wrong with an end of the program."""


class Ended:
    """How a command ended."""

    def __init__(self, code, said, seconds, memory):
        self.code, self.said, self.seconds, self.memory = code, said, seconds, memory

    def check(self, *codes):
        """Its exit code, which must be one of these."""
        if "panicked" in self.said:
            raise Failed(f"a panic: {self.said[-300:]}")
        if self.seconds > SECONDS:
            raise Failed(f"{self.seconds:.0f} seconds")
        if self.memory > BYTES:
            raise Failed(f"{self.memory >> 20} MiB of memory")
        if self.code not in codes:
            raise Failed(f"exit code {self.code}: {self.said[-300:]}")
        if self.code != 0 and not self.said.strip():
            raise Failed(f"exit code {self.code} without a word")
        return self.code


def png(pixels, width, height):
    """A grey PNG."""
    rows = b"".join(b"\0" + pixels[y * width : (y + 1) * width] for y in range(height))
    return png_of(width, height, zlib.compress(rows))


def png_of(width, height, compressed):
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", compressed), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_checksums(data):
    """A PNG whose chunks have the checksums of what is in them now."""
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        length = struct.unpack(">I", out[at : at + 4])[0]
        if at + 12 + length > len(out):
            break
        struct.pack_into(">I", out, at + 8 + length, zlib.crc32(bytes(out[at + 4 : at + 8 + length])))
        at += 12 + length
    return bytes(out)


def idx(pixels, n, height, width=None):
    return struct.pack(">IIII", 0x803, n, height, width or height) + pixels


def npy(pixels, n, side):
    head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({n}, {side}, {side}), }}".encode()
    head += b" " * (63 - (10 + len(head)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + pixels


def npz(arrays):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            archive.writestr(name + ".npy", array)
    return out.getvalue()


def safetensors(pixels, n, side):
    head = json.dumps({"images": {"dtype": "U8", "shape": [n, side, side], "data_offsets": [0, len(pixels)]}}).encode()
    return struct.pack("<Q", len(head)) + head + pixels


class Trial:
    def __init__(self, arguments):
        self.elbo = Path(arguments.elbo).resolve()
        self.random = random.Random(arguments.seed)
        self.short = arguments.short
        self.mutations_each = 25 if self.short else 2000
        self.folder = Path(tempfile.mkdtemp(prefix="elbo-reliability-"))
        self.failures = []
        self.rows = []
        self.images = bytes(self.random.choice([0, 255]) for _ in range(60 * 64))
        self.data = self.folder / "data"
        self.data.mkdir()
        many = bytes(self.random.choice([0, 255]) for _ in range(600 * 64))
        (self.data / "train-images-idx3-ubyte").write_bytes(idx(many, 600, 8))
        (self.data / "t10k-images-idx3-ubyte").write_bytes(idx(self.images, 60, 8))

    def run(self, *command, limits=(), seconds=SECONDS + 10, cwd=None):
        """Runs the program to its end, or kills it."""

        def limit():
            for which, most in limits:
                resource.setrlimit(which, (most, most))

        begun = time.monotonic()
        # A pipe: a file would be under the limits too.
        child = subprocess.Popen(
            [self.elbo, *map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd or self.folder, preexec_fn=limit
        )
        clock = threading.Timer(seconds, child.kill)
        clock.start()
        with child.stdout:
            text = child.stdout.read().decode(errors="replace")
        _, status, usage = os.wait4(child.pid, 0)
        clock.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
        return Ended(child.returncode, text, time.monotonic() - begun, usage.ru_maxrss << 10)

    def fail(self, what, why, files=()):
        kept = Path.cwd() / "reliability-failures"
        for file in files:
            kept.mkdir(exist_ok=True)
            shutil.copy(file, kept)
        self.failures.append(f"{what}: {why}")
        print(f"FAILED {what}: {why}", file=sys.stderr, flush=True)

    def row(self, what, times, came_of_it):
        self.rows.append((what, times, came_of_it))
        print(f"| {what} | {times} | {came_of_it} |", flush=True)

    def left_over(self, *folders):
        """Names of unfinished files."""
        return [str(path) for folder in folders if folder.exists() for path in folder.rglob(".elbo-*")]

    # Kills.

    def kills(self):
        """SIGKILL at random moments of training, resuming and writing; the end must be the one of a run that never stopped."""
        most = 12 if self.short else 200
        command = ["train", "--data", self.data, *TRAIN, "--epochs", "40", "--seed", "5"]
        whole = self.folder / "whole"
        begun = time.monotonic()
        self.run(*command, "--run", whole).check(0)
        lasts = time.monotonic() - begun
        wanted = self.outcome(whole)
        kills = runs = same = 0
        while kills < most:
            run = self.folder / f"killed{runs}"
            runs += 1
            for _ in range(self.random.randint(1, 4)):
                arguments = ["train", "--resume", run] if (run / "config.json").exists() else [*command, "--run", run]
                if not (run / "config.json").exists():
                    shutil.rmtree(run, ignore_errors=True)
                child = subprocess.Popen([self.elbo, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(self.random.uniform(0, lasts))
                child.send_signal(signal.SIGKILL)
                kills += child.wait() == -signal.SIGKILL
            try:
                self.finish(run, command, wanted)
                same += 1
            except Failed as why:
                self.fail(f"kills, run {runs} of seed {arguments}", why)
            shutil.rmtree(run, ignore_errors=True)
        self.row("SIGKILL at a random moment of training, resuming or writing", f"{kills} in {runs} runs", f"{same} ended bit for bit as the run that was never stopped")

    def finish(self, run, command, wanted):
        """Goes on with a run, or begins it where nothing was kept, to its end, which must be as wanted."""
        if (run / "config.json").exists():
            self.run("train", "--resume", run).check(0)
        else:
            shutil.rmtree(run, ignore_errors=True)
            self.run(*command, "--run", run).check(0)
        if self.outcome(run) != wanted:
            raise Failed("its parameters or figures are others")
        if left := self.left_over(run):
            raise Failed(f"left behind: {left}")

    def outcome(self, run):
        """What of a run does not depend on the clock."""
        summary = json.loads((run / "summary.json").read_text())
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        figures = [(line["epoch"], line["step"], line["train"], line["test"]) for line in lines]
        return summary["parameters_sha256"], summary["finished"], figures, (run / "model.safetensors").read_bytes()

    # Files that are not as they should be.

    def mutations(self):
        """Changed bytes in every format that is read."""
        each = self.mutations_each
        pixels, n, side = self.images, 60, 8
        table = "a,b,c\n" + "".join(f"{i},{i * 0.5},{'' if i % 7 == 0 else i * i}\n" for i in range(40))
        amat = "".join(" ".join(str(pixels[i * 64 + j] // 255) for j in range(64)) + "\n" for i in range(n))
        formats = {
            "IDX": ("x.idx3-ubyte", idx(pixels, n, side)),
            "IDX, gzipped": ("x.idx3-ubyte.gz", gzip.compress(idx(pixels, n, side), mtime=0)),
            ".npy": ("x.npy", npy(pixels, n, side)),
            ".npz": ("x.npz", npz({"x_train": npy(pixels, n, side), "x_test": npy(pixels[:640], 10, side)})),
            ".safetensors": ("x.safetensors", safetensors(pixels, n, side)),
            ".amat": ("x.amat", amat.encode()),
            ".csv": ("x.csv", table.encode()),
            ".tsv": ("x.tsv", table.replace(",", "\t").encode()),
            "PNG": ("pictures/7.png", png(pixels[:64], side, side)),
            "JPEG": ("pictures/7.jpg", JPEG),
            "IDX of classes": ("classes/train-labels-idx1-ubyte", struct.pack(">II", 0x801, n) + bytes(i % 10 for i in range(n))),
        }
        for kind, (name, content) in formats.items():
            folder = self.folder / "mutated"
            codes = {}
            for i in range(-1, each):
                shutil.rmtree(folder, ignore_errors=True)
                file = folder / name
                file.parent.mkdir(parents=True)
                changed = self.mutate(content) if i >= 0 else content
                if kind == "PNG" and self.random.random() < 0.7:
                    changed = with_checksums(changed)
                file.write_bytes(changed)
                if kind == "IDX of classes":
                    for name_beside, count in [("train-images-idx3-ubyte", n), ("t10k-images-idx3-ubyte", 10)]:
                        (file.parent / name_beside).write_bytes(idx(pixels[: count * 64], count, side))
                    (file.parent / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 10) + bytes(range(10)))
                elif file.parent != folder:
                    for k in range(5):
                        (file.parent / f"{k}.png").write_bytes(png(pixels[64 * k :], side, side))
                data = file.parent if file.parent != folder else file
                run = folder / "run"
                try:
                    code = self.run("train", "--data", data, *TRAIN, "--epochs", "1", "--steps", "1", "--run", run).check(*((0, 1, 2) if i >= 0 else (0,)))
                    codes[code] = codes.get(code, 0) + (i >= 0)
                    if code == 2 and run.exists():
                        raise Failed("a run folder of what was refused")
                    if left := self.left_over(folder):
                        raise Failed(f"left behind: {left}")
                except Failed as why:
                    kept = self.folder / f"{kind.strip('.').replace(', ', '-')}-{i}-{file.name}"
                    shutil.copy(file, kept)
                    self.fail(f"{kind}, mutation {i}", why, [kept])
            self.row(f"{kind}, bytes changed, put in, taken out", each, self.said(codes))

    def good_run(self):
        """A run that is as it should be."""
        good = self.folder / "good"
        if not good.exists():
            self.run("train", "--data", self.data, *TRAIN, "--epochs", "2", "--log-every", "9", "--run", good).check(0)
        return good

    def runs(self):
        """The same in a run folder, each of its files in turn."""
        each, good = self.mutations_each, self.good_run()
        files = ["config.json", "summary.json", "metrics.jsonl", "steps.jsonl", "model.safetensors", "checkpoint/last.safetensors"]
        commands = [["sample"], ["figures"], ["eval", "--samples", "5", "--images", "5"], ["runs"], ["train", "--resume"]]
        for name in files:
            codes = {}
            for i in range(each):
                runs = self.folder / "runs"
                shutil.rmtree(runs, ignore_errors=True)
                run = runs / "r"
                shutil.copytree(good, run)
                (run / name).write_bytes(self.mutate((good / name).read_bytes()))
                # The rows of steps are read where a run goes on, and nowhere else.
                command = self.random.choice(commands) if name != "steps.jsonl" else commands[-1]
                more = {"train": ["--epochs", "3"], "runs": [], "sample": ["--device", "cpu"]}.get(command[0], ["--device", "cpu"])
                try:
                    code = self.run(*command, runs if command == ["runs"] else run, *more).check(0, 1, 2)
                    codes[code] = codes.get(code, 0) + 1
                    if left := self.left_over(run):
                        raise Failed(f"left behind: {left}")
                except Failed as why:
                    kept = self.folder / f"run-{i}-{Path(name).name}"
                    shutil.copy(run / name, kept)
                    self.fail(f"{name}, mutation {i}, {' '.join(command)}", why, [kept])
            self.row(f"a run's {name}, likewise, then a command that reads it", each, self.said(codes))

    def imports(self):
        """The same in models to import."""
        oblong = self.folder / "oblong"
        oblong.mkdir()
        for name, n in [("train", 60), ("t10k", 10)]:
            (oblong / f"{name}-images-idx3-ubyte").write_bytes(idx(self.images[: 30 * n], n, 6, 5))
        checkpoint = Path(__file__).parent.parent / "tests/data/checkpoint.pt"
        for kind, content, data, change in [
            (".safetensors", (self.good_run() / "model.safetensors").read_bytes(), self.data, self.mutate),
            (".pt", checkpoint.read_bytes(), oblong, self.mutate_archive),
        ]:
            imported, codes = self.folder / "imported", {}
            for i in range(-1, self.mutations_each):
                shutil.rmtree(imported, ignore_errors=True)
                file = self.folder / f"import{kind}"
                file.write_bytes(change(content) if i >= 0 else content)
                try:
                    code = self.run("import", file, "--data", data, "--run", imported).check(*((0, 1, 2) if i >= 0 else (0,)))
                    codes[code] = codes.get(code, 0) + (i >= 0)
                    if code and imported.exists():
                        raise Failed("a run folder of what was refused")
                except Failed as why:
                    self.fail(f"import of {kind}, mutation {i}", why, [file])
            self.row(f"a model to import, {kind}, likewise", self.mutations_each, self.said(codes))

    def configs(self):
        """The same in a configuration that a run is to begin with."""
        content, run, codes = (self.good_run() / "config.json").read_bytes(), self.folder / "configured", {}
        for i in range(self.mutations_each):
            shutil.rmtree(run, ignore_errors=True)
            file = self.folder / "config.json"
            file.write_bytes(self.mutate(content))
            try:
                more = ["--data", self.data, "--steps", "1", "--device", "cpu"]
                code = self.run("train", "--config", file, *more, "--run", run).check(0, 1, 2)
                codes[code] = codes.get(code, 0) + 1
                if code == 2 and run.exists():
                    raise Failed("a run folder of what was refused")
            except Failed as why:
                self.fail(f"configuration, mutation {i}", why, [file])
        self.row("a configuration for --config, likewise", self.mutations_each, self.said(codes))

    def mutate_archive(self, content):
        """A few changes of a zip archive, or of a file in it whose checksum is right then."""
        if self.random.random() < 0.3:
            return self.mutate(content)
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
            pickle = self.random.random() < 0.7
            names = [name for name in old.namelist() if name.endswith(".pkl") == pickle]
            chosen = self.random.choice(names)
            for name in old.namelist():
                new.writestr(name, self.mutate(old.read(name)) if name == chosen else old.read(name))
        return out.getvalue()

    def mutate(self, content):
        """A few random changes."""
        draw, out = self.random, bytearray(content)
        words = [b"-1", b"1e999", b"nan", b"null", b"99999999999999999999", b"{}", b"[[[[[[[[", b'"', b"\0", b"\xff\xfe", b",,,,", b"\n\n"]
        for _ in range(draw.choice([1, 1, 1, 2, 4, 8])):
            at = draw.randrange(len(out) + 1) if draw.random() < 0.5 else draw.randrange(min(len(out), 200) + 1)
            length = draw.choice([1, 1, 2, 4, 8, 64])
            kind = draw.randrange(8)
            if kind == 0:
                out[at : at + 1] = bytes([draw.randrange(256)])
            elif kind == 1:
                out[at : at + length] = draw.choice([b"\0", b"\xff", b"\x7f", b"\x80"]) * length
            elif kind == 2:
                out[at:at] = draw.randbytes(length)
            elif kind == 3:
                del out[at : at + length]
            elif kind == 4:
                del out[at:]
            elif kind == 5:
                out[at:at] = out[max(0, at - length) : at] * draw.choice([1, 3, 50])
            elif kind == 6:
                out[at : at + draw.choice([0, 1, 3])] = draw.choice(words)
            else:
                # A number of a text becomes another.
                digits = [m.span() for m in re.finditer(rb"[0-9]+", bytes(out[at : at + 400]))]
                if digits:
                    start, end = draw.choice(digits)
                    out[at + start : at + end] = draw.choice([b"0", b"-5", b"4294967296", b"18446744073709551615", b"1e300", b"7"])
        return bytes(out)

    @staticmethod
    def said(codes, read="read all the same"):
        words = {0: read, 1: "failed with a line", 2: "refused with a line", -6: "aborted by the allocator"}
        return ", ".join(f"{n} {words[code]}" for code, n in sorted(codes.items()) if n)

    # Files that are more than they seem.

    def bombs(self):
        """A few kilobytes that would unpack to gigabytes."""
        folder = self.folder / "bombs"
        folder.mkdir()
        times, side = (2, 40000) if self.short else (12, 60000)
        gigabyte = gzip.compress(bytes(1 << 30), 1, mtime=0)
        head = gzip.compress(struct.pack(">IIII", 0x803, 1 << 24, 28, 28), mtime=0)
        (folder / "x.idx3-ubyte.gz").write_bytes(head + gigabyte * times)
        (folder / "more.idx3-ubyte.gz").write_bytes(gzip.compress(idx(self.images, 60, 8), mtime=0) + gigabyte * times)
        with zipfile.ZipFile(folder / "x.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            with archive.open("x_train.npy", "w", force_zip64=True) as member:
                member.write(npy(b"", 1 << 23, 28))
                for _ in range(times):
                    member.write(bytes(1 << 30))
        rows = zlib.compressobj(1)
        flat = b"".join(rows.compress(bytes(side + 1)) for _ in range(side)) + rows.flush()
        (folder / "png").mkdir()
        (folder / "png/1.png").write_bytes(png_of(side, side, flat))
        (folder / "jpeg").mkdir()
        size = JPEG.index(b"\xff\xc0") + 5
        (folder / "jpeg/1.jpg").write_bytes(JPEG[:size] + struct.pack(">HH", 65500, 65500) + JPEG[size + 4 :])
        (folder / "deep.json.csv").write_text("a\n" + "[" * (1 << 20))
        names = ["x.idx3-ubyte.gz", "more.idx3-ubyte.gz", "x.npz", "png", "jpeg", "deep.json.csv"]
        self.refused("gzip, zip, PNG and JPEG that unpack to gigabytes", [(name, folder / name) for name in names])
        shutil.rmtree(folder)

    def refused(self, what, inputs, codes=(2,)):
        ended = {}
        for name, path in inputs:
            run = self.folder / "refused"
            try:
                code = self.run("train", "--data", path, *TRAIN, "--steps", "1", "--run", run).check(*codes)
                ended[code] = ended.get(code, 0) + 1
                if code == 2 and run.exists():
                    raise Failed("a run folder of what was refused")
            except Failed as why:
                self.fail(f"{what}: {name}", why)
            shutil.rmtree(run, ignore_errors=True)
        self.row(what, len(inputs), self.said(ended))

    def specials(self):
        """What is no file."""
        folder = self.folder / "specials"
        folder.mkdir()
        os.mkfifo(folder / "pipe")
        os.mkfifo(folder / "pipe.npy")
        (folder / "pictures").mkdir()
        os.mkfifo(folder / "pictures/1.png")
        (folder / "loop").symlink_to("loop")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / "socket"))
        inputs = [folder / name for name in ["pipe", "pipe.npy", "pictures", "loop", "socket"]]
        inputs += [Path(f"/dev/{name}") for name in ["zero", "null", "urandom", "full", "tty"]]
        inputs += [Path("/proc/self/mem"), Path("/proc"), Path("/")]
        self.refused("pipes, sockets, device files, links in a circle, the root, as data", [(str(path), path) for path in inputs])
        listener.close()

    def links(self):
        """Links in a run folder from elsewhere that lead out of it."""
        good = self.folder / "good-of-links"
        self.run("train", "--data", self.data, *TRAIN, "--epochs", "2", "--run", good).check(0)
        names = sorted(str(path.relative_to(good)) for path in good.rglob("*") if path.is_file()) + ["lock"]
        commands = [["sample"], ["reconstruct"], ["figures"], ["eval", "--samples", "5"], ["train", "--epochs", "3", "--resume"]]
        kept = times = 0
        for name in names:
            for command in commands:
                for dangling in (False, True):
                    times += 1
                    run = self.folder / "linked"
                    victim = self.folder / "victim"
                    shutil.copytree(good, run)
                    (run / name).unlink(missing_ok=True)
                    victim.unlink(missing_ok=True)
                    if not dangling:
                        content = (good / name).read_bytes() if (good / name).exists() else b"precious"
                        victim.write_bytes(content)
                    (run / name).symlink_to(victim)
                    try:
                        self.run(*command, run, "--device", "cpu").check(0, 1, 2)
                        if dangling and victim.exists():
                            raise Failed("a file was made outside of the run folder")
                        if not dangling and victim.read_bytes() != content:
                            raise Failed("a file outside of the run folder was written")
                        kept += 1
                    except Failed as why:
                        self.fail(f"link {name}, {command[0]}", why)
                    shutil.rmtree(run)
        self.row("links in a run folder that lead out of it, then a command that writes", times, f"{kept} wrote nothing outside")

    # Too little of everything.

    def limits(self):
        """Too little memory, too small files, too few open ones."""
        command = ["train", "--data", self.data, *TRAIN, "--epochs", "3", "--seed", "5"]
        whole = self.folder / "whole-of-limits"
        self.run(*command, "--run", whole).check(0)
        wanted = self.outcome(whole)
        sizes = {
            "memory (address space)": (resource.RLIMIT_AS, [n << 20 for n in range(40, 700, 60 if self.short else 12)], (0, 1, 2, -6)),
            "the size of a file": (resource.RLIMIT_FSIZE, [n << 10 for n in range(0, 120, 20 if self.short else 2)], (0, 1, 2)),
            "open files": (resource.RLIMIT_NOFILE, list(range(4, 40, 6 if self.short else 1)), (0, 1, 2)),
        }
        for what, (which, amounts, codes) in sizes.items():
            ended, same = {}, 0
            for most in amounts:
                run = self.folder / "limited"
                try:
                    first = self.run(*command, "--run", run, limits=[(which, most)])
                    code = first.check(*codes)
                    ended[code] = ended.get(code, 0) + 1
                    self.finish(run, command, wanted)
                    same += 1
                except Failed as why:
                    self.fail(f"a limit of {most} on {what}", why)
                shutil.rmtree(run, ignore_errors=True)
            said = self.said(ended, read="done")
            self.row(f"a limit on {what}, then none and --resume", len(amounts), f"{said}; {same} ended bit for bit as without a limit")

    def disk(self):
        """A full disk, at every size from nothing to enough."""
        if os.geteuid() != 0:
            return self.row("a disk that fills up", 0, "not tried: a small file system takes root to make")
        command = ["train", "--data", self.data, *TRAIN, "--epochs", "3", "--seed", "5"]
        whole = self.folder / "whole-of-disk"
        self.run(*command, "--run", whole).check(0)
        wanted = self.outcome(whole)
        place = self.folder / "disk"
        place.mkdir()
        ended, same = {}, 0
        sizes = range(16, 900, 160 if self.short else 8)
        for size in sizes:
            mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", place], capture_output=True)
            if mounted.returncode:
                return self.row("a disk that fills up", 0, "not tried: this machine lets nobody mount")
            try:
                run = place / "run"
                code = self.run(*command, "--run", run).check(0, 1, 2)
                ended[code] = ended.get(code, 0) + 1
                subprocess.run(["mount", "-o", "remount,size=64m", place], check=True)
                self.finish(run, command, wanted)
                same += 1
            except Failed as why:
                self.fail(f"a disk of {size} KiB", why)
            finally:
                subprocess.run(["umount", place], check=True)
        said = self.said(ended, read="done")
        self.row("a disk of 16 to 900 KiB that fills up, then a larger one and --resume", len(sizes), f"{said}; {same} ended bit for bit as on a large one")

    # The page.

    def requests(self):
        """Raw requests to the page of elbo explore."""
        each = 300 if self.short else 10000
        run = self.folder / "explored"
        self.run("train", "--data", self.data, *TRAIN, "--epochs", "2", "--run", run).check(0)
        server = subprocess.Popen([self.elbo, "explore", run, "--no-open", "--device", "cpu"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            for line in server.stdout:
                if found := re.search(r"http://127\.0\.0\.1:(\d+)/\?token=(\w+)", line):
                    break
            self.ask_all(server, int(found[1]), found[2], each)
        finally:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(SECONDS)
            except subprocess.TimeoutExpired:
                self.fail("requests", "Ctrl-C does not end the server")
                server.kill()

    def ask_all(self, server, port, token, each):
        def memory():
            return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{server.pid}/status").read_text())[1]) >> 10

        def open_files():
            return len(os.listdir(f"/proc/{server.pid}/fd"))

        def ask(raw, patience=5.0):
            with socket.create_connection(("127.0.0.1", port), timeout=patience) as caller:
                try:
                    caller.sendall(raw)
                    reply = caller.recv(1 << 16)
                except (ConnectionError, TimeoutError):
                    return 0
            found = re.match(rb"HTTP/1\.[01] (\d+)", reply)
            return int(found[1]) if found else 0

        page = f"GET /?token={token} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        if ask(page) != 200:
            self.fail("requests", "the page is not served at first")
        before, files, codes, open_ones = memory(), open_files(), {}, []
        for i in range(each):
            raw, waits = self.request(port, token)
            if waits:
                # Callers that say half of it and stay.
                caller = socket.create_connection(("127.0.0.1", port), timeout=5)
                caller.sendall(raw[: self.random.randrange(len(raw))])
                open_ones.append(caller)
                if len(open_ones) > 40:
                    open_ones.pop(0).close()
                continue
            code = ask(raw)
            codes[code] = codes.get(code, 0) + 1
            if server.poll() is not None:
                return self.fail("requests", f"the server ended at {raw[:200]!r}")
        for caller in open_ones:
            caller.close()
        time.sleep(1)
        after = memory()
        if ask(page) != 200:
            self.fail("requests", "the page is no longer served")
        if after > before + 100:
            self.fail("requests", f"memory grew from {before} to {after} MiB")
        if open_files() > files + 8:
            self.fail("requests", f"open files went from {files} to {open_files()}")
        served = codes.get(200, 0)
        self.row("raw requests to explore: malformed, foreign, slow, huge, deep, half", each, f"{served} answered, the rest refused; memory {before} MiB before and {after} after; the page still served")

    def request(self, port, token):
        """(bytes, whether its caller stays)"""
        draw = self.random
        deep = "[" * draw.choice([10, 1000, 60000])
        bodies = [deep, '{"z": [NaN, 1e999]}', '{"z": [0, 0]}', '{"test": 99999999999}', '{"test": -1}', "{}", "", '{"z": ' + "[0," * 20000, '{"x": [' + "0," * 63 + "0]}", "\0" * 100, '{"z": [1e300, -1e300]}']
        paths = ["/", "/scatter", "/decode", "/infer", "/map.png", "/model", "/../../etc/passwd", "/%2e%2e/%00", "/" + "a" * draw.choice([10, 70000]), "*", "http://example.com/", "//"]
        hosts = [f"127.0.0.1:{port}", f"localhost:{port}", "example.com", "", f"127.0.0.1:{port}\r\nHost: example.com", "127.0.0.1:99999"]
        extra = ["", "Origin: http://example.com\r\n", "Sec-Fetch-Site: cross-site\r\n", "Transfer-Encoding: chunked\r\n", "Expect: 100-continue\r\n", "X: " + "y" * draw.choice([10, 100000]) + "\r\n", "Content-Length: 5\r\n", "Connection: upgrade\r\nUpgrade: h2c\r\n"]

        def mostly(right, others):
            return right if draw.random() < 0.7 else draw.choice(others)

        path = mostly(draw.choice(["/", "/model", "/map.png", "/page.js"]), paths)
        method = mostly("GET", ["GET", "POST", "PUT", "BREW", "get"])
        if draw.random() < 0.4:
            method, path = "POST", draw.choice(["/decode", "/infer"])
        body = mostly('{"z": [[0.5, -1.5]]}' if path == "/decode" else '{"test": 3}', bodies) if method == "POST" else mostly("", bodies)
        host, version = mostly(hosts[0], hosts), mostly("1.1", ["1.0", "2.0", "9"])
        length = mostly(len(body), [-1, 10**20, 0])
        given, more = mostly(token, ["wrong", ""]), mostly("", extra)
        raw = f"{method} {path} HTTP/{version}\r\nHost: {host}\r\n{more}Authorization: Bearer {given}\r\nContent-Length: {length}\r\n\r\n{body}".encode()
        kind = draw.random()
        if kind < 0.05:
            raw = draw.randbytes(draw.choice([1, 100, 10000]))
        elif kind < 0.15:
            raw = self.mutate(raw)
        elif kind < 0.2:
            raw = raw * draw.choice([2, 20])
        return raw or b"\r\n", draw.random() < 0.05


PARTS = ["kills", "mutations", "runs", "imports", "configs", "bombs", "specials", "links", "limits", "disk", "requests"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--elbo", default=Path(__file__).parent.parent / "target/release/elbo", help="the program")
    parser.add_argument("--short", action="store_true", help="a few minutes of it")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas [%(default)s]")
    parser.add_argument("--seed", type=int, default=1, help="of every draw [%(default)s]")
    arguments = parser.parse_args()
    parts = arguments.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"--only: there is no {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if not os.access(arguments.elbo, os.X_OK):
        parser.error(f"--elbo: {arguments.elbo} is no program; cargo build --release makes it")
    trial = Trial(arguments)
    print("| what | times | what came of it |\n|---|---|---|", flush=True)
    try:
        for part in parts:
            getattr(trial, part)()
    finally:
        shutil.rmtree(trial.folder, ignore_errors=True)
    for failure in trial.failures:
        print(f"FAILED {failure}", file=sys.stderr)
    print(f"{len(trial.failures)} failures", file=sys.stderr)
    return 1 if trial.failures else 0


if __name__ == "__main__":
    sys.exit(main())
