"""The service that ``emodag serve`` starts: recordings in, emotions out, over HTTP.

Two kinds of processes share the work. One speaks HTTP and never touches what people upload (:mod:`~emodag.web.app`,
:mod:`~emodag.web.guard`, :mod:`~emodag.web.team`). The others decode and judge (:mod:`~emodag.web.nursery`,
:mod:`~emodag.web.jobs`): forked from one that has the model loaded, bound in time and memory, ended and replaced when
they go beyond.
"""
