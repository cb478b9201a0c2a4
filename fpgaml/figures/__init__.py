"""The figures of a report and of notebooks: values in, a matplotlib ``Axes`` out.

Colours are those of Petroff, arXiv:2107.02270, chosen to stay apart for colour-blind readers; line styles and markers
tell the models apart without any colour.
"""

from fpgaml.drawing import save, write
from fpgaml.figures._looks import LOOKS
from fpgaml.figures.comparisons import differences, winners
from fpgaml.figures.layers import weight_histograms, word_ranges
from fpgaml.figures.performance import background_rejection_curve, signal_efficiency_curve, turn_on_curve
from fpgaml.figures.scores import confusion_matrix, score_distributions, score_edges
from fpgaml.figures.training import pareto_front, training_curves

__all__ = [
    "LOOKS",
    "background_rejection_curve",
    "confusion_matrix",
    "differences",
    "pareto_front",
    "save",
    "score_distributions",
    "score_edges",
    "signal_efficiency_curve",
    "training_curves",
    "turn_on_curve",
    "weight_histograms",
    "winners",
    "word_ranges",
    "write",
]
