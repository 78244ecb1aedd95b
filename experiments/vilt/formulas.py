"""Operations of the transformers by plain arithmetic, to hold against the counter: 2 for each multiply and
add.

A product of [m, k] with [k, n] takes 2 m k n. Norms, softmax, GELU and additions count nothing, as in the
counter.
"""

from experiments.vilt.configuration import SystemConfiguration

__all__ = [
    "attention",
    "bert_layers",
    "hand_formula_fusion",
    "hand_formula_vilt",
    "linear",
]

HIDDEN, INNER, LAYERS, PATCH, CHANNELS = 768, 3072, 12, 32, 3


def linear(rows: int, inputs: int, outputs: int) -> int:
    """A linear layer on ``rows`` vectors."""
    return 2 * rows * inputs * outputs


def attention(queries: int, keys: int, hidden: int) -> int:
    """Scores and mixing over all heads together: 2 (q k h) each."""
    return 2 * 2 * queries * keys * hidden


def bert_layers(tokens: int, *, layers: int = LAYERS, hidden: int = HIDDEN, inner: int = INNER) -> int:
    """``layers`` of four products around self-attention, and a feed-forward block of two."""
    products = 4 * linear(tokens, hidden, hidden) + linear(tokens, hidden, inner) + linear(tokens, inner, hidden)
    return layers * (products + attention(tokens, tokens, hidden))


def hand_formula_vilt(height: int, width: int, text_tokens: int, *, batch: int = 1) -> dict[str, int]:
    """ViLT-B/32 by part: ``patch_embedding``, ``linear``, ``attention``, ``pooler``, and their ``total``.

    At 384 x 640 with 40 text tokens: 1.1325 + 47.7333 + 2.9108 + 0.0012 = 51.7777 GFLOP.
    """
    patches = (height // PATCH) * (width // PATCH)
    tokens = text_tokens + 1 + patches
    mixing = LAYERS * attention(tokens, tokens, HIDDEN)
    parts = {
        "patch_embedding": linear(patches, CHANNELS * PATCH**2, HIDDEN),
        "linear": bert_layers(tokens) - mixing,
        "attention": mixing,
        "pooler": linear(1, HIDDEN, HIDDEN),
    }
    parts = {name: batch * value for name, value in parts.items()}
    return parts | {"total": sum(parts.values())}


def hand_formula_fusion(configuration: SystemConfiguration) -> int:
    """The ``fusion`` stage of a region or grid model, in FLOP a request."""
    row = configuration.row
    visual, text = configuration.visual_tokens, configuration.text_length
    features = 1024 if row.cut == "FPN" else 2048
    if row.fusion == "single-stream":
        total = (
            linear(visual, features + row.box_width, HIDDEN) + bert_layers(visual + text) + linear(1, HIDDEN, HIDDEN)
        )
    elif row.fusion == "visualbert":
        total = linear(visual, features, HIDDEN) + bert_layers(visual + text) + linear(1, HIDDEN, HIDDEN)
    elif row.fusion == "lxmert":
        total = _lxmert(visual, text, features)
    elif row.fusion == "vilbert":
        total = _vilbert(visual, text, features)
    else:
        raise ValueError(f"{row.label} is no region or grid model; use hand_formula_vilt")
    return configuration.batch * total


def _lxmert(visual: int, text: int, features: int) -> int:
    """Nine layers on text, five on regions, five across; pooled from the text (1908.07490, section 2)."""
    projections = linear(visual, features, HIDDEN) + linear(visual, 4, HIDDEN)
    alone = bert_layers(text, layers=9) + bert_layers(visual, layers=5)
    # Across: one attention over the other side, one over the own, and a feed-forward block, for either side.
    # The four products of the first run for queries on one side and keys and values on the other.
    both = visual + text
    across = 2 * 4 * linear(both, HIDDEN, HIDDEN) + linear(both, HIDDEN, INNER) + linear(both, INNER, HIDDEN)
    across += 2 * attention(visual, text, HIDDEN) + attention(visual, visual, HIDDEN) + attention(text, text, HIDDEN)
    return projections + alone + 5 * across + linear(1, HIDDEN, HIDDEN)


def _vilbert(visual: int, text: int, features: int) -> int:
    """Twelve layers on text, six of 1,024 on regions, six of co-attention; both sides pooled (1908.02265)."""
    wide = 1024
    projections = linear(visual, features, wide) + linear(visual, 5, wide)
    alone = bert_layers(text) + bert_layers(visual, layers=6, hidden=wide, inner=wide)
    co = linear(text, HIDDEN, 3 * wide) + linear(visual, wide, 3 * wide) + 2 * attention(visual, text, wide)
    co += linear(text, wide, HIDDEN) + 2 * linear(text, HIDDEN, INNER)
    co += linear(visual, wide, wide) + 2 * linear(visual, wide, wide)
    return projections + alone + 6 * co + linear(1, HIDDEN, wide) + linear(1, wide, wide)
