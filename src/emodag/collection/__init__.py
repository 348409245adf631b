"""The raw corpora of this checkout: checking a folder, adding, removing, and the roles in ``params.yaml``.

No stage imports this package, so its changes never make the pipeline run again.
"""
