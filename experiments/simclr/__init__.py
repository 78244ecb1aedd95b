"""SimCLR (arXiv 2002.05709v3): contrastive training, its projection head, and the claims around them."""
