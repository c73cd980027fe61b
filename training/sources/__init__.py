"""Whatever can name a picture, asked in one way: a Keras file, a SavedModel, a replica, a gateway.

from training import sources
with sources.opened("runs/shells") as model:
    rows = model.ask(pictures)
"""

from training.sources.opening import Foreign, opened
from training.sources.source import Source

__all__ = ["Foreign", "Source", "opened"]
