"""What the emotions of a recording come to, in words: see :mod:`emodag.interpretation.base`."""
