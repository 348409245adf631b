"""emodag: speech emotion recognition that can be trusted and reproduced."""

import os

__version__ = "0.1.0"

# onnxruntime's wheels tell Microsoft of their use, by a thread that survives no fork, unless this stands here before
# they are imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
