"""Compile da4ml's search for adders, which numba then keeps beside da4ml, before tests that need it all begin to.

It takes more than a minute of one core, once for an installation. ``make test`` does it while lint leaves a core idle.
"""

import numpy as np
from da4ml.trace import FixedVariableArray

from fpgaml.backends._rtl_arithmetic import UNITS, CircuitArithmetic

rows = FixedVariableArray.from_lhs(np.zeros((1, 2)), np.full((1, 2), 3.0), np.ones((1, 2)), hwconf=UNITS)
CircuitArithmetic().matmul(rows, np.array([[1.0, 3.0], [5.0, 7.0]]))
