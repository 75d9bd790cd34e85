// Strokes of the brush and the eraser, which make a mask of the shape that they change.

/// Begins a stroke of the brush or the eraser on the selected shape, or on a new region.
function beginPainting(point) {
  const shape = drawing.goal === "editable" ? file.content.editable : selectedRegion()?.region;
  const isErasing = drawing.tool === "eraser";
  if (isErasing && !isObject(shape)) return say("Select the region to erase from.");
  const pixels = isObject(shape) ? rasterOf(shape, ...picture.size, [0, 0], [1, 1]).slice() : new Uint8Array(picture.size[0] * picture.size[1]);
  const overlay = new OffscreenCanvas(...warp.size).getContext("2d");
  overlay.scale(...warpFactors());
  overlay.fillStyle = overlay.strokeStyle = COLOURS.source;
  overlay.lineCap = overlay.lineJoin = "round";
  if (isObject(shape)) {
    overlay.beginPath();
    for (const ring of shapeRings(shape)) {
      ring.forEach(([x, y], index) => (index ? overlay.lineTo(x, y) : overlay.moveTo(x, y)));
      overlay.closePath();
    }
    overlay.fill("evenodd");
  }
  overlay.globalCompositeOperation = isErasing ? "destination-out" : "source-over";
  overlay.lineWidth = 2 * drawing.brush;
  drawing.draft = { overlay };
  drawing.gesture = { kind: "paint", at: toStage(point), from: point, last: point, moved: true, pixels, value: isErasing ? 0 : 1 };
  paintTo(drawing.gesture, point);
  paint();
}

function paintTo(gesture, point) {
  paintLine(gesture.pixels, gesture.last, point, drawing.brush, gesture.value);
  const { overlay } = drawing.draft;
  overlay.beginPath();
  overlay.moveTo(...gesture.last);
  overlay.lineTo(...point);
  overlay.stroke();
  gesture.last = point;
}

function endPainting({ pixels, value }, isCancelled) {
  drawing.draft = null;
  if (isCancelled || (value === 1 && !pixels.includes(1))) return;
  const region = drawing.goal === "region" ? selectedRegion() : undefined;
  change(() => {
    const shape = { mask: addMask(pixels) };
    if (region && region.type !== "point") {
      region.region = keptShape(region.region, shape);
      keepHandleInside(region);
    } else if (drawing.goal === "editable") file.content.editable = keptShape(file.content.editable, shape);
    else placeShape(shape, "shape");
  });
}

/// Moves handle and target of a region together when a changed shape no longer contains the handle.
function keepHandleInside(region) {
  if (!isPoint(region.handle) || !isObject(region.region) || shapeContains(region.region, region.handle) || !shapeBounds(region.region)) return;
  const handle = roundedPoint(insidePoint(region.region));
  if (["translation", "deformation"].includes(region.type)) region.target = withinPicture(plus(region.target, minus(handle, region.handle)));
  region.handle = handle;
}

/// Puts a painted mask in the place of another shape, whose comments stay.
function keptShape(old, shape) {
  const kept = Object.entries(isObject(old) ? old : {}).filter(([key]) => key === "comment" || key.startsWith("x-"));
  return { ...Object.fromEntries(kept), ...shape };
}
