"""Draws docs/images/speed.svg from the lines that `measure.py` wrote.

.venv/bin/python benchmarks/speed/draw.py runs/speed/speed.jsonl
"""

import argparse
import json
from pathlib import Path

OUT = Path(__file__).parents[2] / "docs" / "images" / "speed.svg"
PROGRAMS = {
    "polyrec": ("polyrec, from parquet", "#3b6fb6"),
    "reference": ("by hand, in memory", "#d9a441"),
    "naive": ("the usual way", "#c2543d"),
}
INK, GREY = "#333", "#ddd"
LEFT, WIDE, TOP, HIGH, GAP = 56, 250, 64, 190, 26


def text(x: float, y: float, words: str, *, anchor: str = "middle", size: int = 11) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{INK}">{words}</text>'


def panel(left: float, scenarios: int, lines: list[dict[str, float]], top: float) -> list[str]:
    """Bars by network; all panels share the scale from 0 to `top` rows a second."""
    step = WIDE / len(lines)
    wide = step / 4
    drawn = [text(left + WIDE / 2, TOP - 12, f"{scenarios} scenarios", size=12)]
    for place, line in enumerate(lines):
        middle = left + step * (place + 0.5)
        drawn.append(text(middle, TOP + HIGH + 16, str(line["network"])))
        for turn, (program, (name, fill)) in enumerate(PROGRAMS.items()):
            if line.get(program):
                high = HIGH * line[program] / top
                x = middle + (turn - 1.5) * wide
                said = f"<title>{line['network']}, {name}: {line[program]:,.0f} rows/s</title>"
                box = f'x="{x:.1f}" y="{TOP + HIGH - high:.1f}" width="{wide - 1:.1f}" height="{high:.1f}"'
                drawn.append(f'<rect {box} fill="{fill}">{said}</rect>')
    drawn.append(f'<path d="M{left} {TOP + HIGH}h{WIDE}" stroke="{INK}"/>')
    return drawn


def picture(found: dict[int, list[dict[str, float]]]) -> str:
    top = max(line[program] for lines in found.values() for line in lines for program in PROGRAMS if line.get(program))
    width = LEFT + len(found) * (WIDE + GAP)
    drawn = [text(LEFT, 18, "Rows a second of training, 2 cores", anchor="start", size=13)]
    for place, (name, fill) in enumerate(PROGRAMS.values()):
        x = LEFT + 250 + 170 * place
        drawn += [f'<rect x="{x}" y="9" width="10" height="10" fill="{fill}"/>', text(x + 15, 18, name, anchor="start")]
    unit = 20_000 if top < 120_000 else 50_000
    for value in range(0, int(top) + 1, unit):
        y = TOP + HIGH - HIGH * value / top
        drawn.append(f'<path d="M{LEFT} {y:.1f}H{width - GAP}" stroke="{GREY}"/>')
        drawn.append(text(LEFT - 6, y + 4, f"{value:,}", anchor="end"))
    for place, (scenarios, lines) in enumerate(sorted(found.items())):
        drawn += panel(LEFT + place * (WIDE + GAP), scenarios, lines, top)
    size = f'width="{width}" height="{TOP + HIGH + 30}" viewBox="0 0 {width} {TOP + HIGH + 30}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *drawn, "</svg>"]) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", type=Path)
    options = parser.parse_args()
    found: dict[int, list[dict[str, float]]] = {}
    for raw in options.lines.read_text(encoding="utf-8").splitlines():
        line = json.loads(raw)
        found.setdefault(line["scenarios"], []).append(line)
    OUT.write_text(picture(found), encoding="utf-8")
