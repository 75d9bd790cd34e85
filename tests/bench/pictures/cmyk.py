"""Writes the CMYK JPEGs of this folder, and what Pillow makes of them: python3 cmyk.py [FOLDER]

cmyk.jpg has Adobe's marker with transform 0 (CMYK, stored inverted, as Pillow and Photoshop write it). Tests turn it into YCCK by changing the
transform to 2, and into a file without the marker by leaving the segment out. Pillow's RGB of them is in cmyk.png, which holds with and without
the marker, and in ycck.png.
Needs numpy and Pillow; written with Pillow 13.0.
"""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 96, 80
MARKER = b"\xff\xee\x00\x0eAdobe"


def inks():
    """Returns smooth planes of cyan, magenta, yellow and black: (height, width, 4)."""
    x, y = np.meshgrid(np.arange(WIDTH) / WIDTH, np.arange(HEIGHT) / HEIGHT)
    planes = [x, y, 0.5 + 0.5 * np.sin(6 * x + 4 * y), 0.6 * (1 - x) * y]
    return (255 * np.stack(planes, axis=-1)).round().astype(np.uint8)


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


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
