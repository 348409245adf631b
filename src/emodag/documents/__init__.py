"""What evaluate tells people: the report as one HTML page, and the model card."""

from emodag.documents import model_card, page
from emodag.documents.report import Findings, report_page

__all__ = ["Findings", "model_card", "page", "report_page"]
