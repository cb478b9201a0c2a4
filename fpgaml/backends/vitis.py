"""Vitis HLS projects through hls4ml."""

from __future__ import annotations

from fpgaml.backends._hls4ml import Hls4mlBackend

BACKEND = Hls4mlBackend("Vitis")
