"""What evaluate tells people: the report as one HTML page, and the model card."""

from emodag.documents.page import Page, write
from emodag.documents.report import Findings, report_page

__all__ = ["Findings", "Page", "report_page", "write"]
