"""Class-wise non-maximum suppression in three forms.

Bottom-up-attention detectors (Anderson et al., 1707.07998; ``generate_tsv.py``) suppress every one of 1,600
classes on its own, over the same boxes, and give each box the highest posterior that survived in any class.
VinVL suppresses once over all classes. All three functions return what survived; ``confidence`` turns that
into one number per box.
"""

import torch
from torchvision.ops import nms

__all__ = ["class_agnostic_nms", "confidence", "per_class_nms_loop", "per_class_nms_vectorised"]


def per_class_nms_loop(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Suppress each class on its own, one call a class, as the released extractors do.

    ``boxes`` [N, 4] in pixels (x1, y1, x2, y2); ``scores`` [N, C]. Returns a mask [N, C]: box n survives in
    class c.
    """
    kept = torch.zeros_like(scores, dtype=torch.bool)
    for index in range(scores.shape[1]):
        kept[nms(boxes, scores[:, index], threshold), index] = True
    return kept


def per_class_nms_vectorised(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Suppress all classes at once: the same mask [N, C] as ``per_class_nms_loop``, bit for bit on a CPU.

    The overlaps are the same for every class, so they are computed once. Then rank by rank: the box in that
    rank of each class, if still alive there, suppresses those that overlap it. N steps over an [N, C] mask
    replace C calls.
    """
    order = scores.sort(dim=0, descending=True, stable=True).indices
    overlaps = _overlaps(boxes, threshold)
    # Rows are classes from here on, so that every step reads and writes whole rows.
    order = order.T.contiguous()
    alive = torch.ones(order.shape, dtype=torch.bool, device=boxes.device)
    kept = torch.zeros_like(alive)
    for rank in range(order.shape[1]):
        current = order[:, rank]
        keeps = alive.gather(1, current[:, None])
        kept.scatter_(1, current[:, None], keeps)
        # This also clears the current box and may clear boxes of higher rank: their fate already stands in ``kept``.
        alive &= ~(overlaps[current] & keeps)
    return kept.T.contiguous()


def class_agnostic_nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Suppress once on each box's highest class score; mask [N, C] with whole rows kept or dropped."""
    kept = torch.zeros(scores.shape[0], 1, dtype=torch.bool, device=scores.device)
    kept[nms(boxes, scores.amax(dim=1), threshold)] = True
    return kept.expand_as(scores)


def confidence(scores: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Highest surviving class score of each box, 0 where none survived: [N, C] and mask [N, C] to [N]."""
    return torch.where(kept, scores, torch.zeros((), dtype=scores.dtype, device=scores.device)).amax(dim=1)


def _overlaps(boxes: torch.Tensor, threshold: float) -> torch.Tensor:
    """[N, N] mask of pairs whose intersection over union exceeds ``threshold``, decided as torchvision's
    kernel does.

    The order of operations is the kernel's. On a CPU it compares the float32 ratio with the threshold in
    double precision, so this does too: 0.3 rounded to float32 is above 0.3. The CUDA kernel compares in
    single precision.
    """
    x1, y1, x2, y2 = boxes.unbind(dim=1)
    areas = (x2 - x1) * (y2 - y1)
    width = (torch.minimum(x2[:, None], x2) - torch.maximum(x1[:, None], x1)).clamp(min=0)
    height = (torch.minimum(y2[:, None], y2) - torch.maximum(y1[:, None], y1)).clamp(min=0)
    intersection = width * height
    ratio = intersection / (areas[:, None] + areas - intersection)
    return (ratio.double() if boxes.device.type == "cpu" else ratio) > threshold
