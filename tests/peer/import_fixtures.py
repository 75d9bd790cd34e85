#!/usr/bin/env python3
"""Writes tests/fixtures/import: small samples of every kind that `dragnext import` reads, written by the tools' own libraries.

    python3 tests/peer/import_fixtures.py [FOLDER]

Needs numpy, Pillow, pycocotools, labelme (its modules `_label_file` and `utils`), label-studio-sdk (`converter.brush`) and datumaro (CVAT's
writer), with their dependencies. Versions that wrote the committed files: numpy 2.4.6, pycocotools 2.0.11, labelme 6.3.1, label-studio-sdk
2.1.2, datumaro 1.13.12.

`expected/` holds the masks that the tools themselves make of the same annotations.
"""
import csv
import json
import os
import pathlib
import pickle
import sys

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 96, 80
ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1] / "fixtures/import")


def picture(path, shade=0):
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.stack([2 * columns, 2 * rows, 0 * rows + shade], axis=-1).astype(np.uint8)
    Image.fromarray(samples).save(path)


def grey(path, mask):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.asarray(mask) > 0).astype(np.uint8) * 255).save(path)


def text(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def dump(path, value, protocol=4):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value, protocol=protocol))


def box(left, top, right, bottom):
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


class Call:
    """Pickles to the call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def pickles():
    folder = ROOT / "pickles"
    rows, columns = np.mgrid[:7, :9]
    pattern = (2 * rows + 3 * columns) % 5 == 0
    points = {"list": [[1, 2], [3, 4]], "tuple": [(1, 2), (3, 4)], "scalar": [[np.int64(1), np.int32(2)], [np.float32(3), np.float64(4)]],
              "array": np.array([[1, 2], [3, 4]]), "arrays": [np.array([1., 2.]), np.array([3., 4.])]}
    for protocol in range(6):
        for dtype, order, form in [("uint8", "C", "list"), ("bool", "F", "tuple"), ("int64", "C", "scalar"), ("float32", "F", "array"),
                                   (">i2", "C", "arrays")]:
            mask = np.asarray(pattern.astype(dtype), order=order)
            value = {"prompt": "une tasse bleue, \u00e9clair\u00e9e \u2615", "points": points[form], "mask": mask}
            name = f"protocol-{protocol}-{dtype.strip('>')}-{order}"
            dump(folder / f"{name}.pkl", value, protocol)
            if protocol == 2 and dtype == "uint8":
                # The names of numpy before 2.0, under which the released data were written.
                old = pickle.dumps(value, protocol=2).replace(b"numpy._core", b"numpy.core")
                (folder / "protocol-2-numpy-1.pkl").write_bytes(old)
    for protocol in (0, 4):
        dump(folder / f"hostile-system-{protocol}.pkl", {"points": Call(os.system, "touch PICKLE_RAN")}, protocol)
        dump(folder / f"hostile-eval-{protocol}.pkl", Call(eval, "open('PICKLE_RAN', 'w')"), protocol)
        dump(folder / f"hostile-class-{protocol}.pkl", {"points": pathlib.PurePosixPath("a")}, protocol)
    dump(folder / "hostile-object-array.pkl", {"points": [[1, 2], [3, 4]], "mask": np.array([[pathlib.PurePosixPath("a")]], dtype=object)})
    (ROOT / "damaged").mkdir(exist_ok=True)
    dump(ROOT / "damaged/nan-mask.pkl", {"prompt": "", "points": [[1, 2], [3, 4]], "mask": np.full((HEIGHT, WIDTH), np.nan, dtype=np.float32)}, 4)


def point_sets():
    points = [[20, 30], [50, 30], [40, 50], [40, 60]]
    for category, name, protocol in [("animals", "JH_2023-09-14-1820-16", 4), ("art_work", "JH_2023-09-15-0000-01", 2)]:
        folder = ROOT / "dragbench" / category / name
        picture(folder / "original_image.png")
        picture(folder / "user_drag.png", 90)
        dump(folder / "meta_data.pkl", {"prompt": f"a photo of {category}", "points": points, "mask": box(10, 20, 70, 66)}, protocol)
    (ROOT / "dragbench/animals/.DS_Store").write_bytes(b"\0\0\0\1Bud1")

    picture(ROOT / "drag100/vase/original.jpg")
    grey(ROOT / "drag100/vase/mask.png", box(8, 8, 80, 70))
    text(ROOT / "drag100/vase/points.json", {"points": points})

    folder = ROOT / "nextbench/cup/hybrid"
    picture(folder / "image.jpg")
    grey(folder / "editable_region_mask.png", box(0, 0, 90, 70))
    grey(folder / "handle_region_mask.png", box(10, 20, 30, 40) | box(50, 40, 70, 60))
    text(folder / "points.json", {"points": [[20, 30], [40, 30], [60, 50], [66, 50], [62, 56]], "rotation": [False, False, True, True, True]})
    text(folder / "user_intention.json", {"user_intention": "turn the cup"})

    picture(ROOT / "red-bench/0001.png")
    text(ROOT / "red-bench/0001.json", {
        "region_operations": {
            "0": {"task": "relocation", "centroids": [[19.5, 29.5], [49.5, 29.5]], "anchors": None},
            "1": {"task": "rotation", "centroids": [[60, 50], [66, 56]], "anchors": [60, 56]},
            "2": {"task": "deformation", "centroids": [[80, 20], [86, 20]], "anchors": [72, 20]},
            "3": {"task": "relocation", "centroids": [[10, 70], [20, 70]], "anchors": None}},
        "point_operations": {"begin_points": [[19, 29]], "target_points": [[49, 29]]},
        "background_prompt": "a table", "editing_prompt": "a table with a turned cup"})
    grey(ROOT / "red-bench/masks/0001_mask_0.png", box(10, 20, 30, 40))
    grey(ROOT / "red-bench/masks/0001_mask_1.png", box(50, 40, 70, 60))
    grey(ROOT / "red-bench/masks/0001_mask_2.png", box(74, 14, 88, 28))


def cells(columns, rows, source):
    """Pairs of cells as RegionDrag's page makes them: for every target cell, row by row, the source cell."""
    pairs = []
    for row in rows:
        for column in columns:
            x, y = source(column, row)
            pairs += [(8 * int(x), 8 * int(y)), (8 * column, 8 * row)]
    return pairs


def region_sets():
    dense = cells(range(6, 9), range(2, 5), lambda x, y: (x - 5, y)) + cells(range(2, 10), range(6, 9), lambda x, y: ((x - 2) / 2 + 2, y))
    meta = {"prompt": "a cup", "points": [(16, 24), (56, 24)], "mask": np.ones((HEIGHT, WIDTH), dtype=np.uint8)}
    for folder in [ROOT / "dragbench-dr/animals/JH_1", ROOT / "dragbench-sr/art_0"]:
        picture(folder / "original_image.png")
        dump(folder / "meta_data.pkl", meta, 5)
        dump(folder / "meta_data_region.pkl", {**meta, "points": dense}, 5)
    folder = ROOT / "dragbench-sr/sde_1"
    picture(folder / "origin_image.png")
    grey(folder / "mask.png", box(8, 8, 80, 70))
    text(folder / "prompt.json", {"source": [20, 30], "target": [[50, 30]], "prompt": "a cup"})


CORNERS = [(12.5, 18.25), (34, 20), (30.75, 44.5), (20, 47), (10.25, 40)]


def labelme():
    from labelme._label_file import LabelFile
    from labelme.utils import img_arr_to_b64, shape_to_mask
    shapes = [
        {"label": "cup", "points": CORNERS, "shape_type": "polygon", "group_id": 1},
        {"label": "cup", "points": [(22, 30), (50, 32)], "shape_type": "line", "group_id": 1},
        {"label": "rotation lid", "points": [(50, 48), (70, 64)], "shape_type": "rectangle"},
        {"label": "lid", "points": [(60, 62), (60, 52), (66, 54)], "shape_type": "linestrip"},
        {"label": "translation ball", "points": [(78, 20), (86, 20)], "shape_type": "circle"},
        {"label": "handle ball", "points": [(78, 20)], "shape_type": "point"},
        {"label": "target ball", "points": [(78, 30)], "shape_type": "point"},
        {"label": "deformation ear", "points": [(20, 56), (35, 71)], "shape_type": "mask"},
        {"label": "ear", "points": [(26, 64), (30, 64)], "shape_type": "line"},
        {"label": "editable", "points": [(4, 4), (92, 76)], "shape_type": "rectangle"},
    ]
    rows, columns = np.mgrid[:16, :16]
    disc = (rows - 7.5) ** 2 + (columns - 7.5) ** 2 < 60
    for shape in shapes:
        shape.update({"flags": {}, "description": "", "mask": None})
        shape.setdefault("group_id", None)
        if shape["shape_type"] == "mask":
            shape["mask"] = img_arr_to_b64(disc.astype(np.uint8))
        shape["points"] = [list(map(float, point)) for point in shape["points"]]
    folder = ROOT / "labelme"
    picture(folder / "cup.png")
    file = LabelFile()
    common = {"image_height": HEIGHT, "image_width": WIDTH, "flags": {"indoor": True, "outdoor": False}}
    file.save(str(folder / "cup.json"), shapes=shapes, image_path="cup.png", image_data=None, **common)
    file.save(str(folder / "inside.json"), shapes=shapes[:2], image_path="gone.png", image_data=(folder / "cup.png").read_bytes(), **common)
    for index, name in [(0, "polygon"), (2, "rectangle"), (4, "circle")]:
        grey(ROOT / f"expected/labelme-{name}.png", shape_to_mask((HEIGHT, WIDTH), shapes[index]["points"], shapes[index]["shape_type"]))
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[56:72, 20:36] = disc
    grey(ROOT / "expected/labelme-mask.png", mask)


def coco():
    from pycocotools import mask as tools
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    blob = ((rows - 50) ** 2 + 2 * (columns - 62) ** 2 < 300) | box(60, 20, 72, 30).astype(bool)
    compressed = tools.encode(np.asfortranarray(blob.astype(np.uint8)))
    flat = blob.flatten(order="F")
    starts = np.flatnonzero(np.diff(np.concatenate([[False], flat])))
    runs = np.diff(np.concatenate([[0], starts, [flat.size]])).tolist()
    # pycocotools packs them to the same bytes.
    assert tools.frPyObjects({"counts": runs, "size": [HEIGHT, WIDTH]}, HEIGHT, WIDTH)["counts"] == compressed["counts"]
    polygon = [number for corner in CORNERS for number in corner]
    second = [60, 12, 84, 12, 84, 30, 60, 30]
    points = {"keypoints": [20, 30, 2, 45, 30, 2]}
    areas = {"polygon": [polygon], "parts": [polygon, second], "compressed": {"counts": compressed["counts"].decode(), "size": [HEIGHT, WIDTH]},
             "uncompressed": {"counts": runs, "size": [HEIGHT, WIDTH]}}
    images, annotations = [], []
    for number, (name, area) in enumerate(areas.items(), 1):
        keypoints = {"keypoints": [62, 50, 2, 40, 50, 1]} if isinstance(area, dict) else points
        picture(ROOT / f"coco/images/{name}.png")
        images.append({"id": number, "file_name": f"{name}.png", "width": WIDTH, "height": HEIGHT})
        annotations.append({"id": 10 + number, "image_id": number, "category_id": 1, "segmentation": area, "iscrowd": int(name == "uncompressed"), **keypoints})
        parts = compressed if name == "compressed" else tools.frPyObjects(area, HEIGHT, WIDTH)
        grey(ROOT / f"expected/coco-{name}.png", tools.decode(tools.merge(parts) if isinstance(parts, list) else parts))
    picture(ROOT / "coco/images/boxes.png")
    images.append({"id": 9, "file_name": "boxes.png", "width": WIDTH, "height": HEIGHT})
    annotations.append({"id": 90, "image_id": 9, "category_id": 2, "bbox": [10, 20, 20, 20]})
    images.append({"id": 10, "file_name": "empty.png", "width": WIDTH, "height": HEIGHT})
    categories = [{"id": 1, "name": "cup", "keypoints": ["handle", "target"], "skeleton": [[1, 2]]}, {"id": 2, "name": "box"}]
    text(ROOT / "coco/instances.json", {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories})


def via():
    picture(ROOT / "via/cup.png")
    x, y = zip(*[(round(x), round(y)) for x, y in CORNERS])
    regions = [
        {"shape_attributes": {"name": "polygon", "all_points_x": x, "all_points_y": y}, "region_attributes": {"label": "cup"}},
        {"shape_attributes": {"name": "polyline", "all_points_x": [22, 50], "all_points_y": [30, 32]}, "region_attributes": {"label": "cup"}},
        {"shape_attributes": {"name": "ellipse", "cx": 62, "cy": 52, "rx": 14, "ry": 8, "theta": .5},
         "region_attributes": {"label": "lid", "type": {"rotation": True}, "angle": "30"}},
        {"shape_attributes": {"name": "rect", "x": 70, "y": 10, "width": 16, "height": 14}, "region_attributes": {"label": "scale", "factor": "1.3"}},
    ]
    file = {"filename": "cup.png", "size": -1, "regions": regions, "file_attributes": {"prompt": "a cup", "category": "kitchen"}}
    text(ROOT / "via/project.json", {"_via_settings": {"ui": {}}, "_via_img_metadata": {"cup.png-1": file}, "_via_attributes": {}, "_via_data_format_version": "2.0.10"})
    text(ROOT / "via/old.json", {"cup.png-1": {**file, "regions": {str(index): region for index, region in enumerate(regions)}}})
    head = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes".split(",")
    with open(ROOT / "via/regions.csv", "w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow(head)
        for index, region in enumerate(regions):
            table.writerow(["cup.png", -1, json.dumps(file["file_attributes"]), len(regions), index,
                            json.dumps(region["shape_attributes"]), json.dumps(region["region_attributes"])])


def label_studio():
    from label_studio_sdk.converter import brush
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    disc = (rows - 55) ** 2 + (columns - 66) ** 2 < 150
    # The bytes that the page stores for a stroke: RGBA with the stroke's alpha.
    rgba = np.zeros((HEIGHT, WIDTH, 4), dtype=np.uint8)
    rgba[disc] = [120, 40, 200, 255]
    rle = brush.encode_rle(rgba.ravel())
    assert (brush.decode_rle(rle).reshape(HEIGHT, WIDTH, 4)[..., 3] > 0).tolist() == disc.tolist()
    grey(ROOT / "expected/label-studio-brush.png", disc)
    common = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0, "to_name": "image"}
    percent = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in CORNERS]

    def key(name, label, x, y):
        value = {"x": 100 * x / WIDTH, "y": 100 * y / HEIGHT, "width": .5, "keypointlabels": [label]}
        return {**common, "id": name, "from_name": "key", "type": "keypointlabels", "value": value}
    result = [
        {**common, "id": "a", "from_name": "area", "type": "polygonlabels", "value": {"points": percent, "closed": True, "polygonlabels": ["cup"]}},
        key("b", "handle", 22, 30), key("c", "target", 50, 32),
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}, {"type": "relation", "from_id": "b", "to_id": "c", "direction": "right"},
        {**common, "id": "d", "from_name": "brush", "type": "brushlabels", "value": {"format": "rle", "rle": rle, "brushlabels": ["deformation"]}},
        key("e", "handle", 66, 55), key("f", "target", 76, 55),
        {"type": "relation", "from_id": "d", "to_id": "e", "direction": "right"}, {"type": "relation", "from_id": "e", "to_id": "f", "direction": "right"},
        {**common, "id": "g", "from_name": "area", "type": "ellipselabels",
         "value": {"x": 80, "y": 20, "radiusX": 10, "radiusY": 8, "rotation": 0, "ellipselabels": ["rotation lid"]}},
        {**common, "id": "g", "from_name": "angle", "type": "number", "value": {"number": 40}},
        {"id": "h", "from_name": "category", "to_name": "image", "type": "choices", "value": {"choices": ["kitchen"]}},
    ]
    picture(ROOT / "label-studio/images/cup.png")
    text(ROOT / "label-studio/tasks.json", [{"id": 1, "data": {"image": "/data/upload/1/0a1b2c3d-cup.png", "prompt": "a cup"}, "annotations": [{"id": 7, "result": result}]},
                                            {"id": 2, "data": {"image": "/data/upload/1/0a1b2c3d-none.png"}, "annotations": []}])


def cvat():
    import datumaro as dm
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    disc = (rows - 55) ** 2 + (columns - 66) ** 2 < 150
    grey(ROOT / "expected/cvat-mask.png", disc)
    labels = ["cup", "deformation ear", "kitchen", "editable"]
    categories = dm.LabelCategories.from_iterable([(name, "", ["prompt"]) for name in labels])
    item = dm.DatasetItem(id="cup", media=dm.Image.from_numpy(np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8), size=(HEIGHT, WIDTH)), annotations=[
        dm.Polygon([number for corner in CORNERS for number in corner], label=0, group=1),
        dm.PolyLine([22, 30, 50, 32], label=0, group=1),
        dm.Mask(disc, label=1),
        dm.PolyLine([66, 55, 76, 55], label=1),
        dm.Bbox(2, 2, 90, 74, label=3),
        dm.Label(2, attributes={"prompt": "a cup"}),
    ])
    data = dm.Dataset.from_iterable([item], categories={dm.AnnotationType.label: categories})
    folder = ROOT / "cvat"
    data.export(str(folder), "cvat", save_media=False)
    found, = folder.rglob("*.xml")
    found.rename(folder / "annotations.xml")
    picture(folder / "cup.jpg")


def cvat_video():
    """CVAT for video 1.1, by its documentation: no library writes it. A box moves and turns, a polygon moves, a box leaves at once."""
    def box(frame, left, top, outside=0, rotation=""):
        rotation = f' rotation="{rotation}"' if rotation else ""
        return (f'<box frame="{frame}" keyframe="1" outside="{outside}" occluded="0" xtl="{left}" ytl="{top}" xbr="{left + 20}" ybr="{top + 16}"{rotation} z_order="0"/>')
    def polygon(frame, x):
        points = ";".join(f"{x + dx},{dy}" for dx, dy in [(0, 50), (18, 52), (16, 70), (2, 68)])
        return f'<polygon frame="{frame}" keyframe="1" outside="0" occluded="0" points="{points}" z_order="0"/>'
    tracks = [
        ("cup", [box(3, 10, 12), box(5, 20, 14, rotation="10"), box(9, 40, 20, rotation="30"), box(10, 40, 20, outside=1)]),
        ("deformation ear", [polygon(3, 12), polygon(9, 42)]),
        ("lid", [box(4, 60, 12), box(5, 60, 30)]),
    ]
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "  <version>1.1</version>",
             f"  <meta><task><original_size><width>{WIDTH}</width><height>{HEIGHT}</height></original_size></task></meta>"]
    for index, (label, shapes) in enumerate(tracks):
        lines += [f'  <track id="{index}" label="{label}" source="manual">', *(f"    {shape}" for shape in shapes), "  </track>"]
    (ROOT / "cvat-video").mkdir(parents=True, exist_ok=True)
    (ROOT / "cvat-video/annotations.xml").write_text("\n".join([*lines, "</annotations>", ""]), encoding="utf-8")
    picture(ROOT / "cvat-video/images/frame_000003.PNG")
    picture(ROOT / "cvat-video/images/frame_000004.jpg")


if __name__ == "__main__":
    for write in [pickles, point_sets, region_sets, labelme, coco, via, label_studio, cvat, cvat_video]:
        write()
