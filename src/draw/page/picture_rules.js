// The rules of a drag file that depend on the picture, as in src/plan/checks.rs and src/plan/regions.rs.

const HANDLE_TOLERANCE = 1;
const MAX_CENTRE_DIAGONALS = 8;
const RADIUS_TOLERANCE = 0.1;
const DIRECTION_TOLERANCE = 20;
const STILL_PIXELS = 1;
const STILL_DEGREES = 0.06;

const UPRIGHT = "coordinates are pixels of the upright picture, from its top left corner";

function checkOnPicture(content, fault, warn) {
  const frame = chosenFrame(content);
  const covered = [];
  content.regions.forEach((region, index) => {
    const problems = [];
    const report = (...fields) => problems.push(fields);
    const cells = checkRegion(region, `/regions/${index}`, frame, report, warn);
    problems.forEach((fields) => fault(...fields));
    covered.push(problems.length === 0 ? cells : null);
  });
  checkEditable(content, frame, fault);
  for (let a = 0; a < covered.length; a++) {
    for (let b = a + 1; b < covered.length; b++) {
      if (covered[a] && covered[b] && [...covered[a]].some((cell) => covered[b].has(cell))) {
        warn(`/regions/${b}`, `regions ${regionName(a)} and ${regionName(b)} are dragged onto each other; both pull where they overlap`);
      }
    }
  }
}

/// Checks a region on the picture. Returns the cells that it covers after the drag; `null` for a region that does not move.
function checkRegion(region, place, frame, fault, warn) {
  const size = picture.size.join(" x ");
  let isFollowed = true;
  if (region.center) {
    const limit = MAX_CENTRE_DIAGONALS * Math.hypot(...picture.size);
    if (distance(region.center, region.center.map((value, axis) => clamp(value, 0, picture.size[axis]))) > limit) {
      const kind = region.type === "scale" ? "instruction.range" : "region.rotation_centre";
      fault(`${place}/center`, kind, `the centre lies more than ${limit.toFixed(0)} px outside the picture (${size})`, "such a distant centre makes it a translation");
      isFollowed = false;
    }
  }
  const isOutside = isFollowed && checkPoints(region, place, fault, warn);
  // A region that turns or stretches to a point far outside takes long to follow.
  if (isOutside && ((region.type === "translation" && region.angle !== undefined) || region.anchor || region.type === "affine")) isFollowed = false;

  if (shapeKind(region.region) === "mask" && !masks.runs.has(region.region.mask)) return null;

  const [width, height] = frame.content;
  const [gridWidth, gridHeight] = frame.padded;
  const mask = new Uint8Array(gridWidth * gridHeight);
  const inside = region.type === "point" ? pointDisc(region, frame) : rasterOf(region.region, width, height, frame.window, frame.scale);
  for (let row = 0; row < height; row++) mask.set(inside.subarray(row * width, (row + 1) * width), row * gridWidth);
  const count = inside.reduce((sum, value) => sum + value, 0);
  let failed = false;
  const report = (...fields) => {
    failed = true;
    fault(...fields);
  };
  if (region.region) checkArea(region, place, count, frame, report, warn);
  if (failed || !isFollowed || isOutside || rotationPointsFault(region)) return null;

  const at = ([x, y]) => x >= 0 && y >= 0 && x <= gridWidth && y <= gridHeight && mask[Math.min(Math.floor(y), gridHeight - 1) * gridWidth + Math.min(Math.floor(x), gridWidth - 1)] === 1;
  if (region.region && isPoint(region.handle) && region.type !== "affine") {
    const [x, y] = frame.place(region.handle);
    const reach = HANDLE_TOLERANCE * Math.max(frame.mean, 1);
    const steps = [-reach, 0, reach];
    if (!steps.some((dy) => steps.some((dx) => at([x + dx, y + dy])))) {
      report(`${place}/handle`, "region.handle_outside", `the handle ${pointText(region.handle)} lies outside its region`, "the handle is the point of the region that is dragged to the target");
    }
  }
  return checkCells(region, place, frame, { at, box: pixelBox(inside, width, height) }, report, warn);
}

const pointText = ([x, y]) => `(${x}, ${y})`;
const regionName = (index) => regions()[index]?.id ?? `region-${index + 1}`;

function pointDisc(region, frame) {
  const [x, y] = frame.place(region.handle);
  return rasterOf({ ellipse: [x, y, POINT_RADIUS, POINT_RADIUS] }, ...frame.content, [0, 0], [1, 1]);
}

/// Checks where points lie. Returns whether any lies outside the picture.
function checkPoints(region, place, fault, warn) {
  const size = picture.size.join(" x ");
  let isOutside = false;
  const checkPoint = (point, key) => {
    if (isInPicture(point)) return;
    isOutside = true;
    fault(`${place}/${key}`, "instruction.point_outside", `point ${pointText(point)} lies outside the picture (${size})`, UPRIGHT);
  };
  if (region.type === "affine") {
    region.handles.forEach((handle, index) => {
      checkPoint(handle, `handles/${index}`);
      checkPoint(region.targets[index], `targets/${index}`);
    });
  } else if (isPoint(region.handle) && isPoint(region.target)) {
    checkPoint(region.handle, "handle");
    checkPoint(region.target, "target");
  }
  const { handle, target, center } = region;
  if (region.type === "rotation" && region.angle === undefined) {
    const [from, to] = [distance(handle, center), distance(target, center)];
    for (const [key, radius] of [["handle", from], ["target", to]]) {
      if (radius < MIN_RADIUS) {
        fault(`${place}/${key}`, "region.rotation_centre", `the ${key} lies on the centre of the rotation, so the angle is not defined`, "move it away from the centre");
      }
    }
    if (Math.abs(from - to) > 2 && Math.abs(from - to) > RADIUS_TOLERANCE * Math.max(from, to)) {
      warn(`${place}/target`, `handle and target are ${from.toFixed(0)} and ${to.toFixed(0)} px from the centre; only the angle between them counts`);
    }
  }
  if (region.type === "scale" && region.factor === undefined) {
    const apart = Math.abs(turnAngle(handle, target, center)) / DEGREE;
    if (apart > DIRECTION_TOLERANCE) warn(`${place}/target`, `handle and target are ${apart.toFixed(0)} degrees apart as seen from the centre; only their distances count`);
  }
  return isOutside;
}

function rotationPointsFault({ type, angle, handle, target, center }) {
  return type === "rotation" && angle === undefined && Math.min(distance(handle, center), distance(target, center)) < MIN_RADIUS;
}

function checkArea(region, place, count, frame, fault, warn) {
  const [width, height] = picture.size;
  const bounds = shapeBounds(region.region);
  const isMask = shapeKind(region.region) === "mask";
  const isAllOutside = !isMask && (bounds[1][0] <= 0 || bounds[1][1] <= 0 || bounds[0][0] >= width || bounds[0][1] >= height);
  if (isMask && count === 0) {
    fault(`${place}/region`, "mask.empty", `no white pixel of the mask is left at working size (${frame.content.join(" x ")})`, "paint the region with the brush");
  } else if (isAllOutside) {
    fault(`${place}/region`, "region.outside", `the region lies outside the picture (${width} x ${height})`, UPRIGHT);
  } else if (count < CELL * CELL) {
    fault(`${place}/region`, "region.vanishes", `the region covers ${count} pixels of the working picture (${frame.content.join(" x ")}), less than one cell of the latent`, sizeNeeded(frame));
  } else if (!isMask && !bounds.every(isInPicture)) {
    warn(`${place}/region`, "lies partly outside the picture; only the part inside is dragged");
  }
}

function sizeNeeded(frame) {
  const side = Math.ceil(CELL / frame.mean);
  return `at working size a region needs at least ${CELL} x ${CELL} pixels, which is ${side} x ${side} pixels of this picture`;
}

/// Returns the columns and rows around the pixels inside: [left, right, top, bottom].
function pixelBox(inside, width, height) {
  let [left, right, top, bottom] = [width, 0, height, 0];
  for (let row = 0; row < height; row++) {
    const first = inside.indexOf(1, row * width) - row * width;
    if (first < 0 || first >= width) continue;
    const last = inside.lastIndexOf(1, (row + 1) * width - 1) - row * width;
    [left, right] = [Math.min(left, first), Math.max(right, last + 1)];
    [top, bottom] = [Math.min(top, row), row + 1];
  }
  return [left, right, top, bottom];
}

/// Checks which cells of the grid the region covers before and after the drag, and how much of it leaves the picture.
function checkCells(region, place, frame, { at, box }, fault, warn) {
  const motion = motionOf(region, frame.place);
  const [width, height] = frame.content;
  const isInside = ([x, y]) => x >= 0 && y >= 0 && x <= width && y <= height;
  const [columns, rows] = frame.padded.map((side) => side / GRID_CELL);
  const cells = (pose) => {
    const found = new Set();
    const corners = boxCorners([[box[0], box[2]], [box[1], box[3]]]);
    // A bent region also covers what lies between its places before and after the drag.
    const hull = corners.map(pose.forward).concat(motion.kind === "anchored" ? corners : []);
    const range = (axis, count) => {
      const places = hull.map((point) => point[axis] / GRID_CELL);
      return [clamp(Math.floor(Math.min(...places)), 0, count), clamp(Math.ceil(Math.max(...places)) + 1, 0, count)];
    };
    const [[left, right], [top, bottom]] = [range(0, columns), range(1, rows)];
    for (let row = top; row < bottom; row++) {
      for (let column = left; column < right; column++) {
        const centre = [(column + 0.5) * GRID_CELL, (row + 0.5) * GRID_CELL];
        const source = pose.back(centre);
        if (isInside(centre) && isInside(source) && at(source)) found.add(row * columns + column);
      }
    }
    return found;
  };
  const after = poseOf(motion);
  if (cells(poseOf(motion, 0)).size === 0) {
    fault(`${place}/${region.region ? "region" : "handle"}`, "region.vanishes", "the region covers no cell of the grid on which features are compared", sizeNeeded(frame));
    return null;
  }
  let [count, lost, longest] = [0, 0, 0];
  for (let row = box[2]; row < box[3]; row++) {
    for (let column = box[0]; column < box[1]; column++) {
      const point = [column + 0.5, row + 0.5];
      if (!at(point)) continue;
      const moved = after.forward(point);
      count += 1;
      lost += isInside(moved) ? 0 : 1;
      longest = Math.max(longest, distance(point, moved));
    }
  }
  const covered = cells(after);
  if (covered.size === 0) {
    const key = { affine: "targets", rotation: region.angle === undefined ? "target" : "angle", scale: region.factor === undefined ? "target" : "factor" }[region.type] ?? "target";
    if (["scale", "affine"].includes(region.type) && lost < count) {
      fault(`${place}/${key}`, "region.vanishes", "after the drag, the region covers no cell of the grid on which features are compared", "shrink the region by less");
    } else {
      fault(`${place}/${key}`, "region.leaves", `the region is dragged out of the picture (${picture.size.join(" x ")})`, "choose a target further inside the picture");
    }
    return null;
  }
  const isTurn = motion.kind === "turn";
  const turnsLess = Math.abs(motion.angle ?? 0) / DEGREE < STILL_DEGREES;
  if (isTurn ? turnsLess : turnsLess && longest / frame.mean < STILL_PIXELS) {
    warn(`${place}`, isTurn ? "turns by less than 0.06 degrees and is left out" : "moves by less than a pixel and is left out", "region.no_motion");
    return null;
  }
  if (lost > 0 && region.type !== "point") {
    const share = lost / count < 0.01 ? "less than 1" : ((100 * lost) / count).toFixed(0);
    warn(`${place}`, `${share} % of the region is dragged out of the picture`);
  }
  return covered;
}

function checkEditable(content, frame, fault) {
  if (!isObject(content.editable)) return;
  const empty = (message, hint) => fault("/editable", "editable.empty", message, hint);
  const [width, height] = frame.padded;
  const [right, bottom] = frame.content.map((side) => side - 0.5);
  const [sx, sy] = frame.scale;
  const isEditable = (x, y) => {
    const point = [Math.min(x, right) / sx + frame.window[0], Math.min(y, bottom) / sy + frame.window[1]];
    // The program looks the pixel up in a raster of the picture, so the point is moved to the pixel's centre.
    return shapeContains(content.editable, point.map((value, axis) => Math.min(Math.floor(value), picture.size[axis] - 1) + 0.5));
  };
  const any = (first, step) => {
    for (let y = first; y < height; y += step) for (let x = first; x < width; x += step) if (isEditable(x, y)) return true;
    return false;
  };
  const bounds = shapeBounds(content.editable);
  if (!bounds || !any(0.5, 1)) empty("no pixel of the picture is editable", "white marks where the picture may change");
  else if (!any(0.5, CELL)) empty(`the editable area contains no cell of the latent at working size (${frame.content.join(" x ")})`, "enlarge the editable area");
}
