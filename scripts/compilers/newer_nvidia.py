"""newer_nvidia.py OLD NEW: Mesa's shim of an NVIDIA GPU, taught the GPUs that are newer than Ampere.

The driver asks which classes of engines there are; the shim answers by the family of the chip. Behind Ampere's (0x170)
stand those of Ada (0x190) and Blackwell (0x1b0). A GPU of 24 GB, of as many multiprocessors as the largest have."""

import re
import sys

# Of the copy engine's, the three-dimensional and the compute class: Ada's and Blackwell's in place of Ampere's.
CLASSES = [None, ("0xC7B5", "0xCAB5"), ("0xC997", "0xCE97"), ("0xC9C0", "0xCEC0")]


def main(old: str, new: str) -> None:
    with open(old, encoding="utf-8") as file:
        text = file.read()
    classes = iter(CLASSES)

    def with_newer(ampere: re.Match) -> str:
        # The first place knows a chip by its family; the others give each family a class.
        values = next(classes)
        if values is None:
            return "case 0x190: case 0x1b0: " + ampere.group(0)
        answers = zip(("0x190", "0x1b0"), values)
        cases = (f"case {family}: sclass->sclass.oclass[idx].oclass = {value}; break; " for family, value in answers)
        return "".join(cases) + ampere.group(0)

    text, places = re.subn("case 0x170:", with_newer, text)
    if places != len(CLASSES):
        sys.exit(f"newer_nvidia.py: {old} names Ampere {places} times, not {len(CLASSES)}")
    for before, after in [
        ("3ULL << 30", "24ULL << 30"),
        ("gp->value = 0x01000101;", "gp->value = 0x01004207;"),
        ('"../../gallium/drivers/nouveau/nv_object.xml.h"', '"gallium/drivers/nouveau/nv_object.xml.h"'),
    ]:
        if before not in text:
            sys.exit(f"newer_nvidia.py: {old} has no {before}")
        text = text.replace(before, after)
    with open(new, "w", encoding="utf-8") as file:
        file.write(text)


main(*sys.argv[1:])
