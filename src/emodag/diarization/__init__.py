"""Who speaks when: from a recording to pyannote's ``Annotation``, and from there to the files that are kept.

Two backends stand behind one interface, :class:`~emodag.diarization.base.Diarizer`: ``bundled`` (its weights are part
of the installation) and ``pyannote`` (a pretrained pipeline by name or folder). :func:`emodag.diarization.base.create`
makes the one that the params ask for. Nothing is imported here: pyannote.core brings matplotlib, for which voice
activity, all that the recognition of one clip needs, shall not wait.
"""
