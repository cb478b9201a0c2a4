"""From data to FPGA firmware that keeps the signal efficiency that the search promised."""

__version__ = "0.1.0"
