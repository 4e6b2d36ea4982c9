"""Plots: parts of report.json in, small drawings out.

Each function takes what it draws and gives a `Drawing` (or None where there is nothing to draw):
shapes whose places are finite numbers, whatever the measured ones are, and the same in words.
"""

from __future__ import annotations

from exitdrill.report.plots.scale import Scale, compact
from exitdrill.report.plots.shapes import Box, Curve, Dot, Drawing, Label, Line, svg

__all__ = ["Box", "Curve", "Dot", "Drawing", "Label", "Line", "Scale", "compact", "svg"]
