"""Writes the CMYK JPEGs of this folder, and what Pillow makes of them: python3 cmyk.py [FOLDER]

cmyk.jpg has Adobe's marker with transform 0 (CMYK, stored inverted, as Pillow and Photoshop write it). Tests turn it into YCCK by changing the
transform to 2, and into a file without the marker by leaving the segment out. Pillow's RGB of them is in cmyk.png, which holds with and without
the marker, and in ycck.png.

inks.icc is the profile of an invented press (ICC.1:2001-04: a table of 5^4 colours, lut16Type, from inks to CIELAB). What Little CMS makes of the
inks with it, in sRGB and with the perceptual intent, is in cmyk_srgb.png and ycck_srgb.png.
Needs numpy and Pillow; written with Pillow 13.0 (Little CMS 2.19).
"""

import io
import struct
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

WIDTH, HEIGHT = 96, 80
MARKER = b"\xff\xee\x00\x0eAdobe"


def inks():
    """Returns smooth planes of cyan, magenta, yellow and black: (height, width, 4)."""
    x, y = np.meshgrid(np.arange(WIDTH) / WIDTH, np.arange(HEIGHT) / HEIGHT)
    planes = [x, y, 0.5 + 0.5 * np.sin(6 * x + 4 * y), 0.6 * (1 - x) * y]
    return (255 * np.stack(planes, axis=-1)).round().astype(np.uint8)


# The light that each ink lets through, as linear sRGB: cyan, magenta, yellow, black.
INKS = np.array([[0.02, 0.42, 0.72], [0.62, 0.03, 0.24], [0.93, 0.79, 0.03], [0.015, 0.015, 0.02]])
# Linear sRGB to XYZ of D50 (Bradford), and the white of D50.
TO_XYZ = np.array([[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]])
WHITE = np.array([0.9642, 1.0, 0.8249])
GRID = 5


def lab(amounts):
    """Returns CIELAB of amounts of ink (..., 4) in 0..1 on white paper; dots grow in print."""
    covered = amounts[..., None] ** 0.8
    light = np.prod(1 - covered + covered * INKS, axis=-2)
    ratio = light @ TO_XYZ.T / WHITE
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def profile():
    """Returns the ICC profile of the inks."""
    steps = np.linspace(0, 1, GRID)
    # The first ink varies slowest.
    grid = np.stack(np.meshgrid(*[steps] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    colours = lab(grid)
    coded = np.stack([colours[:, 0] * 652.8, (colours[:, 1] + 128) * 256, (colours[:, 2] + 128) * 256], axis=-1)
    table = np.clip(coded.round(), 0, 65535).astype(">u2").tobytes()
    one = struct.pack(">i", 65536)
    identity = b"".join(one if row == column else bytes(4) for row in range(3) for column in range(3))
    ramp = struct.pack(">HH", 0, 65535)
    lut = b"mft2" + bytes(4) + bytes([4, 3, GRID, 0]) + identity + struct.pack(">HH", 2, 2) + ramp * 4 + table + ramp * 3
    text = b"Invented inks\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text" + bytes(4) + b"No copyright, use freely\0",
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", *(WHITE * 65536).round().astype(int)),
        b"A2B0": lut,
    }
    at, directory, content = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        directory += name + struct.pack(">II", at + len(content), len(data))
        content += data + bytes(-len(data) % 4)
    header = bytearray(128)
    header[0:4] = struct.pack(">I", 128 + len(directory) + len(content))
    header[8:12] = bytes([2, 0x40, 0, 0])
    header[12:24] = b"prtrCMYKLab "
    header[24:36] = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    header[36:40] = b"acsp"
    header[68:80] = struct.pack(">3i", *(WHITE * 65536).round().astype(int))
    return bytes(header) + directory + content


def srgb(jpeg, icc):
    inks = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    picture = Image.open(io.BytesIO(jpeg))
    return ImageCms.profileToProfile(picture, inks, ImageCms.createProfile("sRGB"), renderingIntent=ImageCms.Intent.PERCEPTUAL, outputMode="RGB")


def rgb(jpeg):
    return Image.open(io.BytesIO(jpeg)).convert("RGB")


def main(folder):
    stored = io.BytesIO()
    Image.fromarray(inks(), "CMYK").save(stored, "JPEG", quality=95)
    cmyk = stored.getvalue()
    at = cmyk.index(MARKER)
    assert cmyk[at + 15] == 0, "transform"
    ycck = cmyk[: at + 15] + b"\x02" + cmyk[at + 16 :]
    bare = cmyk[:at] + cmyk[at + 16 :]
    assert rgb(bare).tobytes() == rgb(cmyk).tobytes(), "Adobe's convention holds without the marker"
    (folder / "cmyk.jpg").write_bytes(cmyk)
    rgb(cmyk).save(folder / "cmyk.png")
    rgb(ycck).save(folder / "ycck.png")
    icc = profile()
    (folder / "inks.icc").write_bytes(icc)
    srgb(cmyk, icc).save(folder / "cmyk_srgb.png")
    srgb(ycck, icc).save(folder / "ycck_srgb.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
