"""Tables as text: the same cells as HTML, Markdown, LaTeX and CSV."""
