"""Changes of colour of a batch of images, each image by its own amount, as torchvision makes them of one image.

Functions whose name ends in an underscore change the images in place: a batch of small images lives in the cache, and a
fresh tensor a step would cost more than the arithmetic. Masks are kept as floats because operations on booleans are
several times slower on a CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["adjust_brightness_", "adjust_contrast_", "adjust_hue_", "adjust_saturation_", "grey_of"]

LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in an image's grey value, as torchvision and Pillow have them (ITU-R 601-2)."""


def grey_of(images: Tensor) -> Tensor:
    """Return the grey values [N, 1, H, W] of images [N, 3, H, W]; images of one channel are their own."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def adjust_brightness_(images: Tensor, factors: Tensor) -> Tensor:
    """Multiply images [N, C, H, W] in 0..1 by ``factors`` [N], and cut off at 1."""
    return images.mul_(factors.view(-1, 1, 1, 1)).clamp_(0.0, 1.0)


def adjust_contrast_(images: Tensor, factors: Tensor) -> Tensor:
    """Move images [N, C, H, W] from the mean of their grey values by ``factors`` [N], and cut off at 0 and 1."""
    factors = factors.view(-1, 1, 1, 1)
    # The mean of a weighted sum is the weighted sum of the means, which spares an image of grey values.
    means = grey_of(images.mean(dim=(2, 3), keepdim=True))
    return images.mul_(factors).add_(means * (1.0 - factors)).clamp_(0.0, 1.0)


def adjust_saturation_(images: Tensor, factors: Tensor) -> Tensor:
    """Move images [N, 3, H, W] from their grey values by ``factors`` [N]; images of one channel stay as they are."""
    if images.shape[1] == 1:
        return images
    factors = factors.view(-1, 1, 1, 1)
    greys = grey_of(images).mul_(1.0 - factors)
    return images.mul_(factors).add_(greys).clamp_(0.0, 1.0)


def adjust_hue_(images: Tensor, turns: Tensor) -> Tensor:
    """Shift the hue of images [N, 3, H, W] by ``turns`` [N] of the circle; images of one channel stay as they are.

    Value and saturation stay, so largest and smallest channel of a pixel do: a channel is the smallest plus the range
    between them times a trapezium of the hue. That is HSV and back with neither conversion in full.
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(dim=1)
    most, least = torch.maximum(green, blue), torch.minimum(green, blue)
    between = torch.minimum(red, most)
    bottom, top = torch.minimum(red, least), torch.maximum(red, most)
    span = top - bottom
    # The hue in sixths of a turn is |sector + (between - least) / span|, the sector being 0 or -6 where red is the
    # largest (blue below green, or above), -2 where green is and 4 where blue is.
    blue_above_green = torch.gt(blue, green, out=torch.empty_like(span))
    red_not_largest = most.gt_(red)
    sector = blue_above_green.mul(12.0).sub_(2.0).mul_(red_not_largest).sub_(blue_above_green, alpha=6.0)
    # A grey pixel has no hue; its span of 0 takes whatever is computed here to nothing.
    hue = between.sub_(least).div_(span.clamp_min(torch.finfo(span.dtype).tiny)).add_(sector).abs_()
    from_cyan = hue.add_((turns * 6.0 - 3.0).view(-1, 1, 1))
    from_cyan.sub_(from_cyan.mul(1.0 / 6.0).round_(), alpha=6.0)  # cyan lies opposite to red, at half a turn
    torch.addcmul(bottom, _ramp(from_cyan.abs()), span, out=red)
    torch.addcmul(top, _ramp((from_cyan + 1.0).abs_()), span, value=-1.0, out=green)
    torch.addcmul(top, _ramp((from_cyan - 1.0).abs_()), span, value=-1.0, out=blue)
    return images


def _ramp(distance: Tensor) -> Tensor:
    return distance.sub_(1.0).clamp_(0.0, 1.0)
