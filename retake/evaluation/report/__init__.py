"""Pages that show what runs came to, and what methods keep: self-contained HTML.

    build(folders) -> Page           a run, a sweep, or several
    to_html(page), to_markdown(page)

What methods keep of a video is in `inspection` and `inspect_page`, which watch it and so take
longer to import.
"""

from retake.evaluation.report.building import build
from retake.evaluation.report.document import Page
from retake.evaluation.report.render import to_html, to_markdown

__all__ = ["Page", "build", "to_html", "to_markdown"]
