/* What is chosen, and what follows when that changes. */

micam.state = {
  sample: 0, other: null, colours: "RGBA", look: "flat", layer: null, page: 0,
  // Whether a person chose the layer; else it is the first of the table.
  byHand: false,
};

/** Called by Bokeh when its models are there; `parts` are those that the scripts use. */
micam.start = (parts) => {
  micam.readPage();
  micam.parts = parts;
  document.getElementById("notes").textContent = micam.page.notes.map((note) => `note: ${note}`).join("; ");
  document.addEventListener("keydown", micam.press, true);
  micam.state.look = parts.look.labels[parts.look.active];
  micam.changeSample();
  micam.resized();
  document.documentElement.dataset.micam = "open";
};

micam.changeSample = () => {
  micam.leaveInput();
  const { state, parts } = micam, before = state.other;
  state.sample = Number(parts.sample.value);
  state.other = parts.other.value === "" ? null : Number(parts.other.value);
  const compared = state.other !== null;
  parts.panes[1].figure.visible = compared;
  parts.panes[2].figure.visible = compared;
  if (compared !== (before !== null)) {
    // Two samples are compared on one scale; RGBA has a scale of its own for each.
    const wanted = compared ? "\u00b1" : "RGBA";
    state.colours = wanted;
    parts.colours.active = parts.colours.labels.indexOf(wanted);
  }
  micam.fillTable();
  micam.drawStrip();
  micam.showCaptions();
  micam.redraw();
  micam.choose(state.byHand ? state.layer : micam.order[0] ?? null, false);
};

micam.changeColours = () => {
  micam.state.colours = micam.parts.colours.labels[micam.parts.colours.active];
  micam.redraw();
  micam.showDetails();
};

micam.changeLook = () => {
  micam.state.look = micam.parts.look.labels[micam.parts.look.active];
  micam.redraw();
};

micam.redraw = () => {
  micam.drawTiles();
  micam.showLegend();
  micam.moved();
};

/** Choose a layer, or none: a person does, and it is brought into view, unless said otherwise. */
micam.choose = (layer, byHand = true) => {
  const { state, parts } = micam;
  if (byHand) state.byHand = true;
  if (layer !== state.layer) state.page = 0;
  state.layer = layer;
  const [x, y, width, height] = layer === null ? [] : micam.page.layers[layer].box;
  parts.chosen.data = layer === null ? { left: [], right: [], top: [], bottom: [] }
    : { left: [x], right: [x + width], top: [y], bottom: [y + height] };
  micam.markRow(layer);
  if (layer !== null && byHand) micam.showLayer(layer);
  micam.showDetails();
};

/** Jump to the layer of this name, or to the first that holds it. */
micam.search = (text) => {
  const wanted = text.trim().toLowerCase(), { layers } = micam.page;
  if (wanted === "") return;
  let found = layers.findIndex(({ name }) => name === text);
  if (found < 0) found = layers.findIndex(({ name }) => name.toLowerCase().includes(wanted));
  if (found >= 0) micam.choose(found);
  micam.leaveSearch();
};

/** Say while a person types that no layer's name holds it. */
micam.searching = (text) => {
  const wanted = text.trim().toLowerCase();
  const known = micam.page.layers.some(({ name }) => name.toLowerCase().includes(wanted));
  document.getElementById("no-match").textContent = known ? "" : "\u2013 no such layer";
};

/** Take the keyboard from the field that has it, so that arrows walk the graph again. */
micam.leaveInput = () => {
  let element = document.activeElement;
  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
  element?.blur();
};

micam.searchInput = () => Bokeh.index.find_one(micam.parts.search).input_el;

/** Empty the search, so that leaving it chooses nothing; a click elsewhere closes its suggestions. */
micam.leaveSearch = () => {
  micam.searchInput().value = "";
  document.body.click();
  micam.leaveInput();
  micam.parts.search.value = "";
  micam.searching("");
};

micam.reset = () => {
  micam.firstView();
  micam.state.byHand = false;
  micam.choose(micam.order[0] ?? null, false);
};

/** Keys: arrows walk the graph, `/` searches, Escape leaves the search, the comparison, the layer. */
micam.press = (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const target = event.composedPath()[0], tag = target.tagName;
  const typing = tag === "INPUT" || tag === "TEXTAREA" || tag === "SELECT";
  if (event.key === "Escape") {
    if (target === micam.searchInput()) micam.leaveSearch();
    else if (typing) target.blur();
    else if (micam.state.other !== null) micam.parts.other.value = "";
    else micam.choose(null);
    return;
  }
  if (typing) return;
  if (event.key === "/") {
    micam.searchInput().focus();
  } else if (event.key.startsWith("Arrow")) {
    const next = micam.state.layer === null ? micam.inView()[0] ?? 0
      : micam.neighbour(micam.state.layer, event.key);
    if (next !== null) micam.choose(next);
    event.stopPropagation();
  } else {
    return;
  }
  event.preventDefault();
};

micam.sampleTitle = (sample) => {
  const { prediction } = micam.page.samples[sample], title = micam.page.titles[sample];
  return prediction === null ? title : `${title}, ${prediction}`;
};

micam.showCaptions = () => {
  const { sample, other } = micam.state;
  const texts = other === null ? [micam.sampleTitle(sample), "", ""]
    : [`A = ${micam.sampleTitle(sample)}`, `B = ${micam.sampleTitle(other)}`, "B \u2212 A: what changes"];
  document.querySelectorAll("#captions p").forEach((place, index) => {
    place.textContent = texts[index];
    place.title = texts[index];
  });
};

/** What the colours mean. */
micam.showLegend = () => {
  const { colours, look, sample, other } = micam.state;
  const place = document.getElementById("legend");
  place.replaceChildren();
  const ramp = (low, gradient, high, text, width = 130) => {
    const item = micam.element("span", "", place);
    micam.element("span", low, item);
    const bar = micam.element("i", "", item);
    bar.style.background = gradient;
    bar.style.width = `${width}px`;
    micam.element("span", `${high} ${text}`, item);
  };
  const [least, most] = micam.page.samples[sample].range.map(micam.show);
  const meanings = {
    R: "R: positive value / largest of the map",
    G: "G: negative value / smallest of the map",
    B: "B: place in the map's own range",
    A: `A: place from ${least} to ${most} (all maps), as a square root`,
  };
  if (colours === "\u00b1" || other !== null) {
    ramp("\u2212", micam.paletteGradient(), "+", other === null
      ? "each layer on its own scale, white is 0"
      : colours === "\u00b1" ? "one scale for A, B and B \u2212 A of a layer" : "B \u2212 A");
  }
  if (colours === "RGBA") {
    const ends = ["#000, #f00", "#000, #0c0", "#000, #00f", "transparent, #000"];
    Object.values(meanings).forEach((meaning, channel) =>
      ramp("", `linear-gradient(to right, ${ends[channel]})`, "", meaning, 32));
  } else if (colours !== "\u00b1") {
    ramp("0", "linear-gradient(to right, #000, #fff)", "1", meanings[colours]);
  }
  if (look === "isometric") {
    const drawn = micam.isometricLayers().length;
    micam.element("span", drawn === 0 ? "isometric: zoom in, tiles are flat from afar"
      : `isometric: the ${drawn} layers in the middle, others stay flat`, place);
  }
};

micam.paletteGradient = () => {
  const stops = [0, 32, 64, 96, 127, 160, 192, 224, 255].map((row) =>
    `rgb(${micam.palette.slice(3 * row, 3 * row + 3).join(",")})`);
  return `linear-gradient(to right, ${stops.join(",")})`;
};
