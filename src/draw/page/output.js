// What leaves the page: the findings, the saved drag file and the command.

const findings = { faults: [], warnings: [], timer: 0 };

/// Checks the file soon, at most once while it is being changed.
function checkSoon() {
  clearTimeout(findings.timer);
  findings.timer = setTimeout(checkNow, 120);
}

function checkNow() {
  clearTimeout(findings.timer);
  Object.assign(findings, check(file.content));
  findings.faults.unshift(...start.faults.filter((fault) => isUnchanged(fault)));
  showFindings();
  showHint();
}

/// Returns whether a mask that could not be read still stands in the file.
function isUnchanged({ pointer, mask }) {
  const shape = pointer === "/editable/mask" ? file.content.editable : regions()[Number(pointer.split("/")[2])]?.region;
  return isObject(shape) && shape.mask === mask;
}

/// Shows the findings in the list, at their fields and at their regions.
function showFindings() {
  const { faults, warnings } = findings;
  const hasRegions = regions().length > 0;
  const shown = hasRegions ? faults : [];
  const item = (entry, className) => {
    const index = Number(/^\/regions\/(\d+)/.exec(entry.pointer)?.[1] ?? NaN);
    const name = Number.isInteger(index) ? `${regionName(index)}: ` : "";
    const open = button("", () => showPlace(entry.pointer), { className });
    open.append(element("strong", {}, name), entry.message, entry.hint ? element("small", {}, entry.hint) : "");
    return element("li", {}, open);
  };
  panel("findings").replaceChildren(...shown.map((entry) => item(entry, "fault")), ...(hasRegions ? warnings : []).map((entry) => item(entry, "warning")));
  const state = !hasRegions ? "" : faults.length ? `${faults.length} ${faults.length === 1 ? "fault" : "faults"} to mend` : warnings.length ? "Valid, with warnings" : "Valid";
  panel("state").textContent = state;
  panel("state").dataset.state = !hasRegions ? "empty" : faults.length ? "fault" : "valid";
  document.querySelectorAll("aside [data-pointer]").forEach((each) => {
    const fault = shown.find(({ pointer }) => pointer === each.dataset.pointer || pointer.startsWith(each.dataset.pointer + "/") && each.matches(".numbers"));
    each.toggleAttribute("data-fault", Boolean(fault));
    if (each.matches("input, select, textarea")) each.setAttribute("aria-invalid", String(Boolean(fault)));
  });
  document.querySelectorAll("#regions [data-region]").forEach((row) => {
    const place = `/regions/${row.dataset.region}`;
    row.toggleAttribute("data-fault", shown.some(({ pointer }) => pointer === place || pointer.startsWith(place + "/")));
  });
}

/// Selects the region of a finding, and focuses its field.
function showPlace(pointer) {
  const index = /^\/regions\/(\d+)/.exec(pointer)?.[1];
  if (index !== undefined) select(Number(index));
  const fields = [...document.querySelectorAll("aside [data-pointer]")];
  const found = fields.find((each) => each.dataset.pointer === pointer) ?? fields.find((each) => each.dataset.pointer.startsWith(pointer));
  const input = found?.matches("input, select, textarea, p") ? found : found?.querySelector("input, select, textarea");
  input?.focus();
  input?.scrollIntoView({ block: "nearest" });
}

/// Saves the drag file through the browser's downloads.
async function save() {
  // A value that is still being typed counts.
  if (document.activeElement?.matches("input, textarea")) document.activeElement.blur();
  let text;
  try {
    text = await fileText();
  } catch (error) {
    return say(error.message);
  }
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = element("a", { href: url, download: start.file });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  file.saved = JSON.stringify(file.content);
  const faults = findings.faults.length;
  return say(faults ? `Saved ${start.file} with ${faults} ${faults === 1 ? "fault" : "faults"}.` : `Saved ${start.file}. Run the command below in the folder where your browser put it.`);
}

async function copyCommand() {
  try {
    await navigator.clipboard.writeText(start.command);
    say("Copied.");
  } catch {
    // Without the permission, the command is selected for the keyboard's copy.
    getSelection().selectAllChildren(panel("command"));
    say("Press Ctrl+C to copy.");
  }
}

let sayTimer = 0;

/// Shows a message for a while, also to screen readers.
function say(text) {
  panel("message").textContent = text;
  panel("message").hidden = false;
  clearTimeout(sayTimer);
  sayTimer = setTimeout(() => (panel("message").hidden = true), 6000);
}

/// Says what can be done next.
function showHint() {
  const region = selectedRegion();
  const texts = {
    rect: "Drag across the picture to draw a rectangle. Shift makes a square.",
    ellipse: "Drag across the picture to draw an ellipse. Shift makes a circle.",
    polygon: "Click corner by corner; click the first one again, or press Enter, to close it.",
    lasso: "Draw around what should move.",
    brush: region ? `Painting adds to ${regionName(file.selected)}. N starts another region. [ and ] change the brush.` : "Paint over what should move. [ and ] change the brush.",
    eraser: "Erase from the selected region. [ and ] change the eraser.",
    point: "Press where the point is, and drag to where it should go.",
    pan: "Drag to move the view. Scroll to zoom.",
    adjust: region ? "Drag corners to change the shape, or its inside to move all of it." : "Select a region to change its shape.",
    drag: dragHint(region),
  };
  const text = drawing.goal === "editable" && drawing.tool in { rect: 1, ellipse: 1, lasso: 1, polygon: 1, brush: 1 } ? "Draw the area that may change." : texts[drawing.tool];
  panel("hint").textContent = text;
}

function dragHint(region) {
  if (regions().length === 0) return "Choose a shape on the left and draw it around what should move.";
  if (!region) return "Select a region, or draw another one.";
  if (!isMoving(region)) return "Now drag the object to where it should go.";
  return "Drag the object or its marks. Arrow keys move it by a pixel.";
}
