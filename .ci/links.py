"""Checks that every relative link of the Markdown pages leads to a file, and every anchor to a heading."""

import pathlib
import re
import subprocess
import sys

pages = subprocess.run(["git", "ls-files", "*.md"], capture_output=True, text=True, check=True)
dead = []


def anchors(page):
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


for name in pages.stdout.split():
    page = pathlib.Path(name)
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        if not file.exists():
            dead.append(f"{name}: no file {target}")
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            dead.append(f"{name}: no heading {target}")
print("\n".join(dead) or "all links lead somewhere")
sys.exit(bool(dead))
