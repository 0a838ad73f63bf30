#!/usr/bin/env python3
"""python3 scripts/notices.py writes assets/notices.txt: the crates that the program is made of on any platform, and their
licences, as `elbo notices` prints them. It needs cargo, and their sources, which cargo fetches.

Of a crate under one licence or another the first of CHOICES is taken. A text that several crates share stands once. A crate
without a file of its licence gets the common text, with its authors."""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHOICES = ["MIT", "Zlib", "ISC", "BSD-3-Clause", "Unicode-3.0", "Apache-2.0", "MPL-2.0", "CC-BY-SA-3.0"]
MARKS = {  # words by which the file of a licence is known
    "MIT": "permission is hereby granted, free of charge",
    "Zlib": "altered source versions must be plainly marked",
    "ISC": "permission to use, copy, modify, and/or distribute",
    "BSD-3-Clause": "redistributions in binary form",
    "Unicode-3.0": "unicode license",
    "Apache-2.0": "apache license",
    "MPL-2.0": "mozilla public license",
}


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def linked():
    """(name, version) of what is linked into the program on one platform or another."""
    tree = cargo("tree", "--locked", "--target", "all", "--edges", "normal", "--no-dedupe", "--prefix", "none", "--format", "{p}")
    found = {tuple(line.split()[:2]) for line in tree.splitlines()}
    return {(name, version.removeprefix("v")) for name, version in found if name != "elbo"}


def chosen(expression):
    """The licences of an expression that are taken: one of each part that must all be kept to."""
    parts = re.split(r"\s+AND\s+", expression.replace("/", " OR "))
    taken = []
    for part in parts:
        options = [option.strip(" ()") for option in part.split(" OR ")]
        taken.append(next(choice for choice in CHOICES if choice in options))
    return taken


def text_of(package, licence):
    """The crate's own text of a licence, or None."""
    folder = pathlib.Path(package["manifest_path"]).parent
    names = re.compile(r"(licen[cs]e|copying|unlicense)", re.IGNORECASE)
    files = sorted(path for path in folder.iterdir() if path.is_file() and names.match(path.name))
    for path in files:
        text = path.read_text(encoding="utf-8", errors="replace")
        if MARKS.get(licence, "\0") in " ".join(text.lower().split()):
            return "\n".join(line.rstrip() for line in text.replace("\f", "\n").splitlines()).strip()
    return None


def main():
    packages = {(p["name"], p["version"]): p for p in json.loads(cargo("metadata", "--locked", "--format-version", "1"))["packages"]}
    texts, common = {}, {}
    without = []
    for key in sorted(linked()):
        package = packages[key]
        for licence in chosen(package["license"]):
            if licence == "CC-BY-SA-3.0":
                text = (
                    "MNIST's images, by Yann LeCun, Corinna Cortes and Christopher J. C. Burges, unchanged but for their\n"
                    "compression: https://creativecommons.org/licenses/by-sa/3.0/legalcode"
                )
            else:
                text = text_of(package, licence)
            if text is None:
                without.append((key, licence))
                continue
            texts.setdefault((licence, text), []).append(key)
            body = re.sub(r"(?im)^.*copyright .*\n?", "", text)
            common.setdefault(licence, body if licence == "MIT" else text)
    for (name, version), licence in without:
        if licence not in common:
            sys.exit(f"notices.py: no text of {licence} for {name} {version}")
        authors = ", ".join(re.sub(r"\s*<.*?>", "", a) for a in packages[(name, version)]["authors"])
        holder = f"Copyright (c) {authors or f'the authors of {name}'}\n\n" if licence == "MIT" else ""
        texts.setdefault((licence, holder + common[licence].strip()), []).append((name, version))
    lines = ["What the program is made of besides its own code, which is under the licence in the file LICENSE.", ""]
    rule = "=" * 78
    assert not any(rule in text for _, text in texts)
    for (licence, text), crates in sorted(texts.items(), key=lambda item: (CHOICES.index(item[0][0]), item[1])):
        lines += [rule, f"{licence}:"]
        lines += [f"  {name} {version}" for name, version in crates]
        lines += ["", text, ""]
    out = ROOT / "assets/notices.txt"
    out.write_text("\n".join(lines))
    print(f"{out.relative_to(ROOT)}: {sum(map(len, texts.values()))} notices, {len(without)} of them with a common text")


main()
