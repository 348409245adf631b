"""What people read: the report and the model card of evaluate, and the page of a conversation."""
