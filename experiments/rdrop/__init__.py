"""R-Drop (arXiv 2106.14448v2): the loss under its conventions, what it regularises, and what it costs."""
