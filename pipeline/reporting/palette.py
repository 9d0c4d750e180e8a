"""Colours of the plots. Each light one is used nowhere else in an SVG, so that the dark variant is a replacement.

Blue, orange and grey are told apart by colour-blind readers and, differing in lightness, on a black-and-white print.
"""

from __future__ import annotations

from typing import Any

INK = "#23272f"
MUTED = "#5f6774"
BASELINE = "#aab1bd"
GRID = "#e3e6eb"
COMPUTE = "#2f6db3"
COMMUNICATION = "#e08a2c"
WAITING = "#c3c9d2"
SOFT = "#a9c6e8"
GOAL = "#2e8551"
LIMIT = "#b8433a"

DRAWN = (INK, MUTED, BASELINE, GRID, COMPUTE, COMMUNICATION, WAITING, SOFT, GOAL, LIMIT)
DARK = (
    "#e8eaee",
    "#a3abb8",
    "#626b79",
    "#333a45",
    "#6ea8e8",
    "#f0a552",
    "#515a68",
    "#34557c",
    "#62c48a",
    "#ec7f76",
)

SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Liberation Sans", "Helvetica", "Arial"],
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.handlelength": 1.2,
    "legend.columnspacing": 1.4,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "path.simplify": True,
}
