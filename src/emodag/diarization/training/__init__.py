"""How the bundled diarizer's two networks are trained: ``python -m emodag.diarization.training CORPORA OUT``."""
