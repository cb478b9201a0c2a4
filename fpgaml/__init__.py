"""From data to FPGA firmware that keeps the signal efficiency that the search promised.

What notebooks and scripts need stands here by name; ``__init__.pyi`` lists it, and each is loaded when it is first
asked for (SPEC 1 of Scientific Python). Functions that are named like their module stay in it, as in
``fpgaml.train.train`` or ``fpgaml.csim.compare``.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
