/* The table of layers and the strip: who is strong, and who changes. */

/** A number that the table and the strip go by: the largest |CAM|, or of two samples the change. */
micam.strength = (layer) => {
  const { sample, other } = micam.state;
  if (other === null) return micam.statistics(sample, layer)?.peak ?? NaN;
  const found = micam.difference(sample, other, layer);
  return found.why ? NaN : found.relative;
};

micam.strengthText = (layer) => {
  const value = micam.strength(layer);
  if (isNaN(value)) return "no map";
  return micam.state.other === null ? `max |CAM| ${micam.show(value)}`
    : `relative L2 of B \u2212 A ${micam.show(value)}`;
};

/** What is fed to the model; however large its numbers are, it extracts nothing. */
micam.isInput = (layer) => micam.page.layers[layer].isInput;

/** Layers by strength, strongest first; those without a number last, and inputs behind all. */
micam.ranked = () => micam.page.layers.map((_, layer) => layer)
  .filter((layer) => micam.page.layers[layer].mapped)
  .map((layer) => [layer, micam.strength(layer)])
  .sort(([i, a], [j, b]) => (micam.isInput(i) - micam.isInput(j))
    || (isNaN(a) - isNaN(b)) || (b > a) - (b < a) || i - j)
  .map(([layer]) => layer);

micam.fillTable = () => {
  const { sample, other } = micam.state, { layers } = micam.page, order = micam.ranked();
  const changes = order.map((layer) => (other === null ? {} : micam.difference(sample, other, layer)));
  const statistics = order.map((layer) => micam.statistics(sample, layer));
  micam.order = order;
  micam.quietly(() => {
    micam.parts.rows.selected.indices = [];
    micam.parts.rows.data = {
      layer: order,
      name: order.map((layer) => layers[layer].name),
      kind: order.map((layer) => layers[layer].kind),
      peak: statistics.map((each) => each?.peak ?? NaN),
      energy: statistics.map((each) => each?.energy ?? NaN),
      change: changes.map((each) => each.map?.statistics.peak ?? NaN),
      relative: changes.map((each) => each.relative ?? NaN),
    };
    // Bokeh draws the table anew when the number of rows changes, not when the values do.
    micam.parts.table.view.change.emit();
  });
  micam.parts.columnPeak.title = other === null ? "max |CAM|" : "max |A|";
  micam.parts.columnsAlone.forEach((column) => { column.visible = other === null; });
  micam.parts.columnsCompared.forEach((column) => { column.visible = other !== null; });
  document.getElementById("table-title").textContent = other === null
    ? "Layers, strongest first; inputs last" : "Layers, largest change first; inputs last";
};

/** Selections that the scripts make call back at once; those must not start over. */
micam.quietly = (change) => {
  micam.quiet = true;
  change();
  micam.quiet = false;
};

micam.chooseRow = (indices) => {
  if (micam.quiet || indices.length === 0) return;
  const layer = micam.parts.rows.data.layer[indices[0]];
  // The table tells of selections that are not new, too.
  if (layer !== micam.state.layer) micam.choose(layer);
};

micam.markRow = (layer) => {
  const row = micam.parts.rows.data.layer.indexOf(layer);
  micam.quietly(() => { micam.parts.rows.selected.indices = row < 0 ? [] : [row]; });
};

micam.drawStrip = () => {
  const values = micam.page.layers.map((_, layer) => micam.strength(layer));
  // Up to the 98th percentile, the nearest rank: a few layers that outdo all, like an input of
  // pixels up to 255, would leave no colour to the others.
  const known = values.filter(isFinite).sort((a, b) => a - b);
  const most = known.length ? known[Math.ceil(0.98 * known.length) - 1] : 0;
  const colour = values.map((value) => (isNaN(value) ? "#e4e4e4"
    : micam.strengthColour(0.06 + 0.94 * (most > 0 ? Math.sqrt(Math.min(value, most) / most) : 0))));
  document.getElementById("strip-note").textContent =
    micam.state.other === null ? "dark: strong" : "dark: changed";
  micam.parts.stripBars.data = { ...micam.parts.stripBars.data, colour };
};
