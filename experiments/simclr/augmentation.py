"""SimCLR's augmentation (appendix A) of whole batches, with parameters drawn for each image.

Parameters are drawn on the CPU with NumPy and sent to the images' device in one transfer (noise, where it is on, in one
of its own), so views of the same stream are the same on every device to rounding.
"""

from __future__ import annotations

import numpy
import torch
from numpy import ndarray
from torch import Tensor

from experiments.simclr import augment_operations as operations
from experiments.simclr import colour
from experiments.simclr.augment_draw import JITTERS, Parameters, draw_crops, draw_parameters, parameters_of, uniforms
from experiments.simclr.augmentation_settings import AugmentationSettings
from harness.errors import UserError

__all__ = ["Parameters", "apply", "as_float", "augment", "draw_crops", "draw_parameters", "two_views"]

ADJUSTMENTS = {
    "brightness": colour.adjust_brightness_,
    "contrast": colour.adjust_contrast_,
    "saturation": colour.adjust_saturation_,
    "hue": colour.adjust_hue_,
}
NEED_COLOUR = ("saturation", "hue")
UNCHANGED = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}


def as_float(images: Tensor) -> Tensor:
    """Return images as float32 in 0..1: uint8 divided by 255, floats (taken to be in 0..1) as they are.

    Raises:
        UserError: the images are neither bytes nor floats.
    """
    if images.dtype == torch.uint8:
        return images.to(torch.float32).div_(255.0)
    if not images.is_floating_point():
        raise UserError(f"images of {images.dtype} cannot be augmented: bytes (uint8), or floats in 0..1, are needed.")
    return images.to(torch.float32)


def augment(
    images: Tensor, settings: AugmentationSettings, generator: numpy.random.Generator, size: int | None = None
) -> Tensor:
    """Return one view of each image; see :func:`apply`."""
    height, width = _checked(images).shape[2:]
    return apply(images, draw_parameters(len(images), height, width, settings, generator), settings, size)


def two_views(
    images: Tensor, settings: AugmentationSettings, generator: numpy.random.Generator, size: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return two views of each image, float32 [N, C, size, size] in 0..1; see :func:`apply`.

    With ``settings.one_branch`` the second view is the image itself, resized where ``size`` asks for it. The first is
    the same as without it, and as much is drawn.
    """
    height, width = _checked(images).shape[2:]
    count = len(images)
    numbers = uniforms(count, generator, views=2)
    images = as_float(images)
    if settings.one_branch:
        parameters = parameters_of(numbers[:count], height, width, settings)
        plain = AugmentationSettings(crop=None, flip=0.0, colour=None, grey=0.0, blur=None)
        untouched = apply(images, parameters_of(numbers[count:], height, width, plain), plain, size)
        return apply(images, parameters, settings, size), untouched
    # Both views as one batch: the cost of a batch of small images is mostly that of starting its operations.
    both = apply(torch.cat([images, images]), parameters_of(numbers, height, width, settings), settings, size)
    return both[:count], both[count:]


def apply(images: Tensor, parameters: Parameters, settings: AugmentationSettings, size: int | None = None) -> Tensor:
    """Return augmented images, float32 [N, C, size, size] in 0..1, in memory of their own.

    Images are cropped at whole pixels and resized without antialiasing, as by torchvision's ``resized_crop``; bicubic
    interpolation looks at the image's own pixels beyond the crop's border, where torchvision repeats the border. Images
    of one channel change in brightness and contrast; saturation, hue and the dropping of colour pass them by.

    Args:
        images: uint8, or floats in 0..1, [N, C, H, W] with C of 1 or 3.
        parameters: one row an image.
        settings: those that the parameters were drawn with.
        size: pixels of a view's side; default: the images' own height and width.

    Raises:
        UserError: the images have neither one channel nor three or are neither bytes nor floats, a rotation by 90
            degrees meets unequal sides, or a view is narrower than half the blur's kernel.
        ValueError: images and parameters are not equally many.
    """
    count, channels, height, width = _checked(images).shape
    if len(parameters) != count:
        raise ValueError(f"{count} images cannot be augmented with {len(parameters)} rows of parameters")
    view = (height, width) if size is None else (size, size)
    if settings.rotate is not None and view[0] != view[1]:
        raise UserError(
            f"views of {view[0]}x{view[1]} pixels cannot be rotated by 90 degrees: give a size, or leave rotate off."
        )
    resampled = settings.crop is not None or view != (height, width)
    needed = _jitter_needed(parameters, settings, channels) | _selected(parameters, channels)
    if resampled:
        clamped = settings.crop is None or settings.crop.interpolation == "bilinear"
        needed["lines"] = operations.crop_coefficients(
            parameters.crop, parameters.flip, (height, width), view, clamped=clamped
        )
    elif parameters.flip.any():
        needed["flip"] = numpy.flatnonzero(parameters.flip)
    on_device = _transferred(needed, images.device)

    if resampled:
        mode = "bilinear" if settings.crop is None else settings.crop.interpolation
        views = operations.resample(as_float(images), on_device["lines"], view, mode)
    else:
        views = _copied(images)
        if (rows := on_device.get("flip")) is not None:
            views[rows] = views[rows].flip(-1)
    if settings.cutout is not None and (rows := on_device.get("cutout")) is not None:
        sides, places = on_device["cutout_side"], on_device["cutout_place"]
        operations.cut_out_(views, rows, sides, places, settings.cutout.fill)
    _jitter_(views, on_device)
    if (rows := on_device.get("grey")) is not None:
        views[rows] = colour.grey_of(views[rows]).expand(-1, channels, -1, -1)
    if (rows := on_device.get("sobel")) is not None:
        views[rows] = operations.sobel(views[rows])
    if (rows := on_device.get("noise")) is not None:
        noise = operations.gaussian_noise(parameters.noise_seed[parameters.noise], tuple(views.shape[1:]))
        noise = noise.to(views.device).mul_(on_device["noise_sigma"].view(-1, 1, 1, 1))
        views[rows] = noise.add_(views[rows]).clamp_(0.0, 1.0)
    if (rows := on_device.get("blur")) is not None:
        views[rows] = operations.blur(views[rows], on_device["blur_sigma"])
    for turns in (1, 2, 3):
        if (rows := on_device.get(f"rotate {turns}")) is not None:
            views[rows] = torch.rot90(views[rows], turns, (2, 3))
    return views


def _checked(images: Tensor) -> Tensor:
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        shape = "x".join(map(str, images.shape))
        raise UserError(f"images of shape {shape} cannot be augmented: N x C x H x W with C of 1 or 3 is needed.")
    return images


def _copied(images: Tensor) -> Tensor:
    """Return images as floats in memory of their own, which may be changed in place."""
    views = as_float(images)
    return views.clone() if views is images else views


def _selected(parameters: Parameters, channels: int) -> dict[str, ndarray]:
    """Return, for each transformation that any image gets, the images' rows and what else it needs of them."""
    masks = {
        "cutout": parameters.cutout,
        "grey": parameters.grey & (channels == 3),
        "sobel": parameters.sobel,
        "noise": parameters.noise,
        "blur": parameters.blur,
        **{f"rotate {turns}": parameters.quarter_turns == turns for turns in (1, 2, 3)},
    }
    rows = {name: numpy.flatnonzero(mask) for name, mask in masks.items() if mask.any()}
    amounts = {name: getattr(parameters, name) for name in ("cutout_side", "cutout_place", "noise_sigma", "blur_sigma")}
    chosen = {name: amount[rows[of]] for name, amount in amounts.items() if (of := name.split("_")[0]) in rows}
    return {**rows, **chosen}


def _jitter_needed(parameters: Parameters, settings: AugmentationSettings, channels: int) -> dict[str, ndarray]:
    """Return the amounts of colour jitter: of all images at once, or place by place where each has its own order."""
    if settings.colour is None or not parameters.jitter.any():
        return {}
    needed: dict[str, ndarray] = {}
    for number, name in enumerate(JITTERS):
        amounts = getattr(parameters, name)
        if channels == 1 and name in NEED_COLOUR:
            continue
        if not settings.colour.shuffled:
            amounts = numpy.where(parameters.jitter, amounts, UNCHANGED[name])
            if (amounts != UNCHANGED[name]).any():
                needed[name] = amounts
            continue
        for place in range(len(JITTERS)):
            rows = numpy.flatnonzero(parameters.jitter & (parameters.order[:, place] == number))
            if len(rows):
                needed[f"{name} at {place}"] = amounts[rows]
                needed[f"rows of {name} at {place}"] = rows
    return needed


def _jitter_(views: Tensor, sent: dict[str, Tensor]) -> None:
    """Change the colours of views in place by what :func:`_jitter_needed` returned."""
    for name, adjust in ADJUSTMENTS.items():
        if name in sent:
            adjust(views, sent[name])
    for place in range(len(JITTERS)):
        for name, adjust in ADJUSTMENTS.items():
            if (amounts := sent.get(f"{name} at {place}")) is not None:
                rows = sent[f"rows of {name} at {place}"]
                views[rows] = adjust(views[rows], amounts)


def _transferred(arrays: dict[str, ndarray], device: torch.device) -> dict[str, Tensor]:
    """Return arrays on a device after one transfer: real ones as float32, whole ones (rows below 2^24) as int64."""
    if not arrays:
        return {}
    flat = numpy.concatenate([array.ravel() for array in arrays.values()], dtype=numpy.float32, casting="unsafe")
    parts = torch.from_numpy(flat).to(device).split([array.size for array in arrays.values()])
    return {
        name: (part.long() if numpy.issubdtype(array.dtype, numpy.integer) else part).view(array.shape)
        for (name, array), part in zip(arrays.items(), parts, strict=True)
    }
