"""Any model behind one interface: a Keras file, a SavedModel, a replica, a gateway.

from training.judge import sources
with sources.opened("runs/shells") as model:
    rows, familiarity = model.ask(pictures)
"""

from training.judge.sources.opening import Foreign, opened
from training.judge.sources.source import Outputs, Source, joined

__all__ = ["Foreign", "Outputs", "Source", "joined", "opened"]
