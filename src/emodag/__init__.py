"""emodag: speech emotion recognition that can be trusted and reproduced."""

__version__ = "0.1.0"
