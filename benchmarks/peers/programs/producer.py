"""Enqueues for a peer: `python producer.py NAME warm-up|produce [events]`. A module of its own, for tasks may not be
in the one that is run.
"""

import importlib
import sys

from counting import WANTED

_, name, phase, *what = sys.argv
peer = importlib.import_module(f"{name}_peer")
peer.produce(1 if phase == "warm-up" else WANTED, *what)
