"""Prints the values that the tests of src/metrics and of `dragnext compare` expect. Run it in the root of the repository."""

import numpy as np
from PIL import Image
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

WINDOW = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def ramps():
    """SSIM of two computed channels: the mean over all pixels, and over a left and a right part."""
    height, width = 14, 17
    place = np.arange(height * width)
    x = (place * place * 7 + place * 31) % 256
    y = (x * 3 + place * 5) // 4 % 256
    x, y = (channel.reshape(height, width).astype(np.float64) for channel in (x, y))
    _, similarity = structural_similarity(x, y, full=True, **WINDOW)
    similarity = similarity[5:-5, 5:-5]
    right = np.broadcast_to(np.arange(5, width - 5) > 8, similarity.shape)
    print("ramps:", "all", similarity.mean(), "left", similarity[~right].mean(), "right", similarity[right].mean())


def pictures():
    """Metrics of two pictures of the examples."""
    x, y = (
        np.asarray(Image.open(f"examples/edits/{name}/input.png").convert("RGB")).astype(np.float64)
        for name in ("translation-00", "translation-07")
    )
    difference = np.abs(x - y)
    print("pictures: max", difference.max(), "mean", difference.mean(), "differing", difference.any(axis=-1).sum())
    print("psnr", peak_signal_noise_ratio(x, y, data_range=255), "mse", mean_squared_error(x, y))
    print("ssim", structural_similarity(x, y, channel_axis=-1, **WINDOW))


ramps()
pictures()
