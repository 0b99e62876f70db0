#!/usr/bin/env python3
"""Records a command in a terminal and draws it as SVG: picture.py OUT.svg COMMAND..."""
import html
import os
import pty
import re
import subprocess
import sys

COLORS = {"31": "#ff7b72", "32": "#7ee787", "33": "#e3b341"}


def record(argv):
    master, slave = pty.openpty()
    env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    process = subprocess.Popen(argv, stdout=slave, stderr=subprocess.DEVNULL, env=env)
    os.close(slave)
    out = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        out += piece
    process.wait()
    return out.decode().replace("\r\n", "\n").rstrip("\n").split("\n")


def spans(line):
    parts = re.split(r"\x1b\[([0-9;]*)m", line)
    text = [html.escape(parts[0])]
    for codes, piece in zip(parts[1::2], parts[2::2]):
        codes = codes.split(";")
        color = next((COLORS[c] for c in codes if c in COLORS), None)
        style = (f' fill="{color}"' if color else "") + (' font-weight="bold"' if "1" in codes else "")
        text.append(f"<tspan{style}>{html.escape(piece)}</tspan>" if style else html.escape(piece))
    return "".join(text)


def main():
    out, argv = sys.argv[1], sys.argv[2:]
    shown = [os.path.basename(argv[0])] + argv[1:]
    lines = ["$ " + " ".join(shown)] + record(argv)
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    width, height = 8.43 * max(map(len, plain)) + 32, 20 * len(lines) + 28
    with open(out, "w") as f:
        f.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" viewBox="0 0 {width:.0f} {height}">\n')
        f.write('<rect width="100%" height="100%" rx="8" fill="#0d1117"/>\n')
        f.write('<g font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14" fill="#e6edf3" xml:space="preserve">\n')
        for i, line in enumerate(lines):
            f.write(f'<text x="16" y="{28 + 20 * i}">{spans(line)}</text>\n')
        f.write("</g>\n</svg>\n")


main()
