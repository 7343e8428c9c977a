"""Pictures of what things cost, as SVG."""

from __future__ import annotations

from collections.abc import Sequence

Curve = list[tuple[float, float, float]]
"""Where, then the two values that stand upon one another."""

WIDTH, HEIGHT, LEFT, BOTTOM = 560, 300, 56, 44


def drawn(label: str, caption: str, curve: Curve, *, logarithmic: bool) -> str:
    """Two areas, one upon the other."""
    top = max(lower + upper for _, lower, upper in curve) * 1.15
    places = _places([at for at, _, _ in curve], logarithmic=logarithmic)
    height = HEIGHT - BOTTOM - 16

    def y(value: float) -> float:
        return 16 + height * (1 - value / top)

    def area(lower: Sequence[float], upper: Sequence[float], colour: str) -> str:
        points = [*zip(places, upper, strict=True), *reversed(list(zip(places, lower, strict=True)))]
        path = " ".join(f"{x:.1f},{y(value):.1f}" for x, value in points)
        return f'<polygon points="{path}" fill="{colour}"/>'

    first, whole = [one[1] for one in curve], [one[1] + one[2] for one in curve]
    parts = [area([0.0] * len(curve), first, "#9db4c8"), area(first, whole, "#d98c5f")]
    for step in range(5):
        value = top * step / 4
        parts.append(_text(LEFT - 8, y(value) + 4, f"{value:.1f}", "end"))
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 16}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ccc" stroke-width="0.5"/>'
        )
    parts += [_text(x, HEIGHT - BOTTOM + 16, f"{at:,g}", "middle") for x, (at, _, _) in zip(places, curve, strict=True)]
    parts.append(_text((LEFT + WIDTH) / 2, HEIGHT - 8, label, "middle"))
    parts.append(_text(LEFT + 10, 30, caption, "start"))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n{body}\n</svg>\n'
    )


def _places(values: Sequence[float], *, logarithmic: bool) -> list[float]:
    """Across the picture, evenly or by their order of magnitude: the values themselves grow about evenly in it."""
    room = WIDTH - LEFT - 32
    if logarithmic:
        return [LEFT + room * place / (len(values) - 1) for place in range(len(values))]
    return [LEFT + room * (value - values[0]) / (values[-1] - values[0]) for value in values]


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#333">{words}</text>'
