"""What is said in a recording, and when: see :mod:`emodag.transcription.base`."""
