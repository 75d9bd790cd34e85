// The view: which part of the picture is on the screen, and at which size.

const MIN_ZOOM = 0.02;
const MAX_ZOOM = 32;
/// Empty pixels of the screen left and right of a fitted picture, above it, where the hint is, and below it.
const BORDER = { side: 24, top: 56, bottom: 24 };

const view = { zoom: 1, origin: [0, 0], size: [0, 0], isFitted: true };
const stage = document.getElementById("stage");

/// Maps a point of the picture to the stage, and back.
const toStage = ([x, y]) => [view.origin[0] + x * view.zoom, view.origin[1] + y * view.zoom];
const toPicture = ([x, y]) => [(x - view.origin[0]) / view.zoom, (y - view.origin[1]) / view.zoom];

/// Shows all of the picture, as large as it fits.
function fitView() {
  const space = [view.size[0] - 2 * BORDER.side, view.size[1] - BORDER.top - BORDER.bottom].map((side) => Math.max(side, 32));
  const scales = space.map((side, axis) => side / picture.size[axis]);
  view.zoom = clamp(Math.min(...scales), MIN_ZOOM, MAX_ZOOM);
  view.origin = [BORDER.side, BORDER.top].map((start, axis) => start + (space[axis] - picture.size[axis] * view.zoom) / 2);
  view.isFitted = true;
  showZoom();
}

/// Changes the zoom by a factor about a point of the stage.
function zoomBy(factor, about = view.size.map((side) => side / 2)) {
  const zoom = clamp(view.zoom * factor, MIN_ZOOM, MAX_ZOOM);
  view.origin = view.origin.map((origin, axis) => about[axis] - ((about[axis] - origin) * zoom) / view.zoom);
  view.zoom = zoom;
  view.isFitted = false;
  showZoom();
}

function panBy([dx, dy]) {
  view.origin = plus(view.origin, [dx, dy]);
  view.isFitted = false;
  paint();
}

function showZoom() {
  document.getElementById("zoom-value").textContent = `${Math.round(view.zoom * 100)} %`;
  paint();
}

/// Gives the stage one pixel for each pixel of the screen.
function resizeStage() {
  const box = stage.getBoundingClientRect();
  view.size = [box.width, box.height];
  const ratio = window.devicePixelRatio || 1;
  stage.width = Math.max(1, Math.round(box.width * ratio));
  stage.height = Math.max(1, Math.round(box.height * ratio));
  if (view.isFitted) fitView();
  else paint();
}
