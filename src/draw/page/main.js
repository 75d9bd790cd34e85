// Starts the page: the picture, the buttons.

/// Shows the present state.
function refresh(isRebuilt = true) {
  paint();
  if (isRebuilt) showInspectorSoon();
  // While something is dragged or typed, the rules wait for a pause.
  if (drawing.gesture || !isRebuilt) checkSoon();
  else checkNow();
  showHint();
  panel("undo").disabled = file.undo.length === 0;
  panel("redo").disabled = file.redo.length === 0;
}

function choose(selected) {
  file.selected = selected;
  file.last = null;
  refresh();
}
const select = choose;

/// Begins another region: nothing is selected, and the brush paints on a new mask.
function beginRegion() {
  select(null);
  if (!["rect", "ellipse", "polygon", "lasso", "brush", "point"].includes(drawing.tool)) setTool("lasso");
}

function deleteRegion(index) {
  change((content) => {
    content.regions.splice(index, 1);
    if (file.selected === index) file.selected = null;
    else if (file.selected > index) file.selected -= 1;
  });
}

function deleteSelected() {
  if (selectedRegion()) deleteRegion(file.selected);
}

function setBrush(radius) {
  drawing.brush = clamp(Math.round(radius), 1, Math.round(Math.max(...picture.size) / 4));
  panel("brush-size").value = String(drawing.brush);
  panel("brush-value").textContent = `${drawing.brush} px`;
  paint();
}

function toggleWarp() {
  painting.isWarpShown = !painting.isWarpShown;
  panel("warp").setAttribute("aria-pressed", String(painting.isWarpShown));
  paint();
}

function showKeys() {
  panel("keys").showModal();
}

function listenToButtons() {
  document.querySelectorAll("[data-tool]").forEach((each) => each.addEventListener("click", () => setTool(each.dataset.tool)));
  const acts = { undo, redo, save, copy: copyCommand, fit: fitView, "zoom-in": () => zoomBy(1.25), "zoom-out": () => zoomBy(0.8), warp: toggleWarp, help: showKeys, "new-region": beginRegion, "delete-region": deleteSelected };
  for (const [id, act] of Object.entries(acts)) panel(id).addEventListener("click", act);
  panel("brush-size").addEventListener("input", (event) => setBrush(event.target.valueAsNumber));
  window.addEventListener("beforeunload", (event) => {
    if (regions().length && JSON.stringify(file.content) !== file.saved) event.preventDefault();
  });
  new ResizeObserver(resizeStage).observe(stage);
  // The number of pixels for each pixel of the page changes when the window moves to another screen.
  matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`).addEventListener("change", resizeStage);
}

/// Reads the drag file that the page was made with. Masks become names of the table of masks.
async function readStart() {
  if (start.drag === null) return;
  file.content = readJson(start.drag);
  for (const [pointer, shape] of shapesOf(file.content)) {
    const url = start.masks[`${pointer}/mask`];
    if (typeof shape.mask === "string" && url) shape.mask = await readMask(url, shape.mask);
  }
  if (regions().length) file.selected = 0;
}

async function open() {
  document.title = `${picture.name} – dragnext`;
  panel("picture-name").textContent = picture.name;
  panel("picture-size").textContent = picture.size.join(" × ");
  panel("model").value = start.model ?? "";
  panel("model").addEventListener("input", showCommand);
  saves.read();
  showCommand();
  const image = new Image();
  image.src = picture.url;
  await image.decode();
  painting.bitmap = image;
  prepareWarp(image);
  await readStart();
  file.saved = JSON.stringify(file.content);
  listenToButtons();
  listenToStage();
  listenToKeys();
  listenToInspector();
  panel("brush-size").max = String(Math.round(Math.max(...picture.size) / 8));
  setBrush(Math.max(...picture.size) / 40);
  resizeStage();
  setTool(regions().length ? "drag" : "lasso");
  refresh();
  checkNow();
  document.documentElement.dataset.ready = "true";
}

open().catch((error) => {
  say(`The page cannot be shown: ${error.message}`);
  document.documentElement.dataset.ready = "false";
});
