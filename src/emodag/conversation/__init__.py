"""Conversations: who felt what, when."""
