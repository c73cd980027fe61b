"""Any model behind one interface: a Keras file, a SavedModel, a replica, a gateway.

from training.judge import sources
with sources.opened("runs/shells") as model:
    rows = model.ask(pictures)
"""

from training.judge.sources.opening import Foreign, opened
from training.judge.sources.source import Source

__all__ = ["Foreign", "Source", "opened"]
