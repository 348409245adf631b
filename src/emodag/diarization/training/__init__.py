"""How the bundled diarizer's two networks are trained: ``python -m emodag.diarization.training CORPORA OUT``."""

#: Nothing is trained or chosen on CREMA-D's actors from this one on: conversations of theirs measure the networks.
FIRST_TEST_ACTOR = 1046
