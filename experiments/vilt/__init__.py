"""ViLT (Kim et al., arXiv 2102.03334): how much faster and smaller than region- and grid-feature models it
is.
"""
