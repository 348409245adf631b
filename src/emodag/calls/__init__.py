"""Folders of conversations, through the pipeline: organize_calls -> diarize_calls -> featurize_calls -> score_calls."""
