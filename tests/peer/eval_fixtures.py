"""Writes tests/fixtures/eval: what the `lpips` package, DragDiffusion's evaluation recipe and numpy compute for pictures made by a formula.

    pip install lpips torch torchvision numpy pillow safetensors
    python3 tests/peer/eval_fixtures.py            writes heads.safetensors and expected.json
    python3 tests/peer/eval_fixtures.py --weights FILE   writes the whole network, as the documented command would

AlexNet's weights are made by a formula too, because random ones of this size are no fixture; the heads are those of the package (version 0.1).
The tests of src/metrics repeat the formulas.
"""
import json, pathlib, sys, warnings
import lpips, numpy as np, safetensors.torch, torch, torch.nn.functional as F
from PIL import Image

OUT = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "eval"
SIZE, RESIZED = (97, 80), (194, 160)                                # width, height


def uniform(stream, count):
    """Returns numbers from 0 to 1: a hash of 32 bits of each index (lowbias32, C. Wellons)."""
    x = (np.arange(count, dtype=np.uint64) + (stream << 22)) & 0xffffffff
    for shift, factor in ((16, 0x7feb352d), (15, 0x846ca68b), (16, 1)):
        x = ((x ^ (x >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(0xffffffff)
    return x.astype(np.float64) / 2**32


def network():
    warnings.filterwarnings("ignore")
    net = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    convs = [m for m in net.net.modules() if isinstance(m, torch.nn.Conv2d)]
    for i, conv in enumerate(convs):
        fan = conv.weight[0].numel()
        weight = (uniform(2 * i, conv.weight.numel()) - .5) * 2 * np.sqrt(6 / fan)
        bias = (uniform(2 * i + 1, conv.bias.numel()) - .5) * .2
        conv.weight.data = torch.from_numpy(weight.astype(np.float32)).reshape(conv.weight.shape)
        conv.bias.data = torch.from_numpy(bias.astype(np.float32))
    return net


def picture(size, edit):
    width, height = size
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    v = (x * 97 // width * 5 + y * 80 // height * 3 + c * 60) % 200 + 20
    if edit:
        v = v + (x * y // 7 + c * 11) % 36
    return v.astype(np.uint8)


def tensor(rgb):
    return torch.from_numpy(rgb.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]


def dai(a, b, p, q, r):
    """GoodDrag's equation, with patches clipped to the picture; points are pixels (column, row)."""
    total, count = 0.0, 0
    h, w, _ = a.shape
    for dy in range(-r, r + 1):
        for dx in range(-r, r + 1):
            (px, py), (qx, qy) = (p[0] + dx, p[1] + dy), (q[0] + dx, q[1] + dy)
            if 0 <= px < w and 0 <= py < h and 0 <= qx < w and 0 <= qy < h:
                total += float((((a[py, px].astype(np.float64) - b[qy, qx]) / 255) ** 2).sum()); count += 1
    return total / count


def main():
    net = network()
    if sys.argv[1:2] == ["--weights"]:
        safetensors.torch.save_model(net, sys.argv[2])
        return
    OUT.mkdir(exist_ok=True)
    heads = {k: v for k, v in net.state_dict().items() if k.startswith("lin") and "lins" not in k}
    safetensors.torch.save_file(heads, OUT / "heads.safetensors")
    x, y = picture(SIZE, False), picture(SIZE, True)
    mask = torch.from_numpy(((np.add.outer(np.arange(SIZE[1]), np.arange(SIZE[0]))) % 100 < 45).astype(np.float32))
    with torch.no_grad():
        distance = lambda a, b: float(net(a, b))
        small = lambda rgb: F.interpolate(tensor(rgb), (224, 224), mode="bilinear")
        large = Image.fromarray(picture(RESIZED, True)).resize(SIZE, Image.BILINEAR)
        expected = {
            "native": distance(tensor(x), tensor(y)),
            "masked": distance(tensor(x) * mask, tensor(y) * mask),
            "at_224": distance(small(x), small(y)),
            "resized_at_224": distance(small(x), small(np.asarray(large))),
        }
    pairs = [((20, 30), (50, 41)), ((3, 2), (90, 75)), ((96, 0), (96, 0))]
    expected["dai"] = {str(r): [dai(x, y, p, q, r) for p, q in pairs] for r in (1, 5, 10, 20)}
    (OUT / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
