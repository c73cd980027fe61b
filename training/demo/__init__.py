"""Models that need no photos: so that a fresh checkout has something to serve, and tests something to ask.

The demo names marine invertebrates by family resemblance; no photo of these species taught it, and its description says
so.
"""
