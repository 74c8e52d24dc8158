/* The side panel: one layer's label, map, feature maps, statistics and histogram. */

micam.PER_PAGE = 12;

/** A new element with text in it: text is never read as markup. */
micam.element = (tag, text, parent) => {
  const made = document.createElement(tag);
  made.textContent = text;
  if (parent) parent.append(made);
  return made;
};

micam.showDetails = () => {
  if (!micam.parts) return;
  micam.showLabel();
  micam.showMap();
  micam.showFeatures();
  micam.showStatistics();
  micam.showHistogram();
};

micam.showLabel = () => {
  const { layer, other } = micam.state;
  const name = document.getElementById("layer-name"), label = document.getElementById("label");
  const badge = document.getElementById("badge");
  label.replaceChildren();
  badge.textContent = "";
  name.title = layer === null ? "" : micam.page.layers[layer].name;
  name.textContent = layer === null ? "No layer chosen" : name.title;
  if (layer === null) return;
  const rank = micam.order.indexOf(layer);
  if (rank === 0 && micam.strength(layer) > 0) badge.textContent = other === null ? "strongest layer" : "changes most";
  else if (rank >= 0) {
    badge.textContent = `${rank + 1} of ${micam.order.length} by ${other === null ? "strength" : "change"}`;
  }
  const panes = other === null ? [0] : [0, 2];
  panes.flatMap((pane) => micam.labelLines(pane, layer)).forEach((line) => micam.element("div", line, label));
};

/**
 * Lay pictures of one size out in columns and put them into a figure.
 * `pictures`: [{bytes, rows, columns, layer, text}]; a bytes of null leaves the place empty. Returns
 * what is shown, in the order that tooltips count in.
 */
micam.layOut = (figure, source, captions, pictures, columns, lines) => {
  const { inner_width, inner_height } = figure;
  if (!inner_width || !inner_height) return [];
  const gap = 8, line = 15, width = (inner_width - gap * (columns - 1)) / columns;
  const height = (inner_height - (gap / 2) * (lines - 1)) / lines - line;
  figure.x_range.setv({ start: -1, end: inner_width });
  figure.y_range.setv({ start: inner_height, end: 0 });
  const shown = [], texts = { x: [], y: [], text: [] };
  pictures.forEach((picture, place) => {
    const left = (place % columns) * (width + gap);
    const top = Math.floor(place / columns) * (height + line + gap / 2);
    texts.x.push(left);
    texts.y.push(top);
    texts.text.push(micam.fit(picture.text, 11, width));
    if (picture.bytes === null) return;
    const zoom = Math.min((width - 1) / picture.columns, (height - 1) / picture.rows);
    // A few rows or columns beside many would be too thin to see; each gets room of its own.
    const thick = (cells, most) => Math.max(cells * zoom, Math.min(most, Math.max(18, Math.min(3 * cells, 54))));
    shown.push({
      ...picture, x: left, y: top + line,
      width: thick(picture.columns, width - 1), height: thick(picture.rows, height - 1),
    });
  });
  source.data = micam.pictureColumns(shown);
  captions.data = texts;
  return shown;
};

micam.showMap = () => {
  const { layer, other, sample } = micam.state, { mapFigure, maps, mapTitles } = micam.parts;
  const note = document.getElementById("map-note");
  const titles = other === null ? [""] : ["A", "B", "B \u2212 A"];
  const pictures = titles.map((text, pane) => {
    const painted = layer === null ? null : micam.paint(pane, layer);
    if (painted === null) return { bytes: null, text };
    const { rows, columns: across } = painted.map;
    return { bytes: painted.bytes, rows, columns: across, layer, pane, text };
  });
  const columns = titles.length;
  micam.shownMaps = micam.layOut(mapFigure, maps, mapTitles, pictures, columns, 1);
  note.textContent = "";
  if (layer === null || other === null) return;
  const found = micam.difference(sample, other, layer);
  note.textContent = found.why ? `No difference: ${found.why}.`
    : `${micam.state.colours === "\u00b1" ? "One scale" : "B \u2212 A"}: blue \u2212${micam.show(found.bound)}, white 0, brown ${micam.show(found.bound)}.`;
};

/** What the page of feature maps shows: [{channel, panes}], and why there are none. */
micam.featureRows = () => {
  const { layer, sample, other } = micam.state;
  if (layer === null) return { why: "" };
  const known = micam.page.layers[layer], map = micam.map(sample, layer);
  const maps = micam.featureMaps(sample, layer);
  if (maps === null) {
    if (map !== null && map.flat) return { why: "A flat layer: the map above is its values, it has no feature maps." };
    if (map === null) return { why: "This layer has no map here." };
    return { pattern: known.pattern };
  }
  const second = other === null ? null : micam.featureMaps(other, layer);
  const same = second !== null && second.count === maps.count && second.rows === maps.rows
    && second.columns === maps.columns;
  if (!same) return { maps, order: maps.order };
  return { maps, second, ...micam.changes(sample, other, layer, maps, second) };
};

/** Feature maps by how much they change from A to B, and the largest change. */
micam.changes = (sample, other, layer, maps, second) => {
  const key = `${sample} ${other} ${layer}`;
  if (!micam.changed.has(key)) {
    const sizes = maps.order.map((channel) => {
      const a = micam.featureValues(maps, channel), b = micam.featureValues(second, channel);
      if (a === null || b === null) return [channel, NaN];
      let sum = 0;
      for (let i = 0; i < a.length; i++) sum += (b[i] - a[i]) ** 2;
      return [channel, sum / a.length];
    });
    sizes.sort(([i, a], [j, b]) => (isNaN(a) - isNaN(b)) || (b - a) || (i - j));
    micam.changed.set(key, { order: sizes.map(([channel]) => channel), energies: new Map(sizes) });
  }
  return micam.changed.get(key);
};
micam.changed = new Map();

micam.showFeatures = () => {
  const found = micam.featureRows(), { featureFigure, features, featureTitles } = micam.parts;
  const note = document.getElementById("features-note"), number = document.getElementById("page-number");
  const controls = document.getElementById("feature-controls");
  note.replaceChildren();
  number.textContent = "";
  controls.style.visibility = found.maps ? "visible" : "hidden";
  document.getElementById("features").style.display = found.maps ? "flex" : "none";
  micam.shownFeatures = [];
  if (!found.maps) {
    note.textContent = found.why ?? "";
    if (found.pattern) {
      note.textContent = "Not in this page. To have them:";
      micam.element("code", `micam-fast view MODEL SAMPLES... --feature-maps ${micam.quote(found.pattern)}`, note);
    }
    features.data = micam.pictureColumns([]);
    featureTitles.data = { x: [], y: [], text: [] };
    return;
  }
  const pictures = micam.featurePictures(found);
  const { columns, lines, shown, first, count, perPage } = pictures;
  micam.shownFeatures = micam.layOut(featureFigure, features, featureTitles, shown, columns, lines);
  number.textContent = `${first + 1}\u2013${Math.min(first + perPage, count)} of ${count}, ${
    found.second ? "largest change first" : "largest energy first"}`;
  note.textContent = `${pictures.scale} Values are kept in 256 steps between each map's smallest and largest.`;
};

/** A pattern as a shell's word. */
micam.quote = (pattern) => `'${pattern.replace(/'/g, "'\\''")}'`;

micam.featurePictures = ({ maps, second, order, energies }) => {
  const { layer } = micam.state, own = micam.parts.featureScale.active === 1;
  const aspect = maps.columns / maps.rows;
  const columns = second ? 3 : aspect > 3 ? 2 : 4, lines = second ? 4 : aspect > 3 ? 6 : 3;
  const perPage = second ? lines : columns * lines;
  const pages = Math.ceil(maps.count / perPage);
  micam.state.page = Math.min(Math.max(micam.state.page, 0), pages - 1);
  const first = micam.state.page * perPage;
  const largest = (each) => {
    let most = 0;
    for (let i = 0; i < each.count; i++) {
      if (!isNaN(each.lows[i])) most = Math.max(most, Math.abs(each.lows[i]), Math.abs(each.highs[i]));
    }
    return most;
  };
  const shared = Math.max(largest(maps), second ? largest(second) : 0);
  const shown = order.slice(first, first + perPage).flatMap((channel) => {
    const a = micam.featureValues(maps, channel);
    const b = second ? micam.featureValues(second, channel) : null;
    const values = second ? [a, b, a && b && b.map((value, i) => value - a[i])] : [a];
    const peak = Math.max(0, ...values.filter((each) => each).map((each) => micam.measure(each).peak));
    const texts = second ? [`A  #${channel}`, `B  #${channel}`, `B \u2212 A  ${micam.show(energies.get(channel))}`]
      : [`#${channel}  ${micam.show(maps.energies[channel])}`];
    return values.map((each, place) => ({
      rows: maps.rows, columns: maps.columns, layer, channel, values: each,
      text: each ? texts[place] : `#${channel} not finite`,
      bytes: each && micam.paintDiverging(each, own ? peak : shared),
    }));
  });
  const scale = own ? "Blue is negative, brown positive, each map on its own scale."
    : `Blue is negative, brown positive, all of this layer on one scale: \u00b1${micam.show(shared)}.`;
  return { columns, lines, shown, first, count: maps.count, perPage, scale };
};

micam.turnPage = (step) => {
  micam.state.page += step;
  micam.showFeatures();
};

/** Tooltip of a feature map. */
micam.hoverFeature = (layer, what, special) => {
  const shown = micam.shownFeatures[special.image_index.index];
  const { i, j } = special.image_index;
  if (what === "feature map") return `#${shown.channel} of ${micam.page.layers[layer].name}`;
  if (what === "cell") return `row ${j}, column ${i} of ${shown.rows} x ${shown.columns}`;
  return micam.show(shown.values[j * shown.columns + i]);
};

micam.showStatistics = () => {
  const place = document.getElementById("statistics");
  place.replaceChildren();
  const { layer, sample, other } = micam.state;
  if (layer === null) return;
  const columns = [["A", micam.statistics(sample, layer)]];
  if (other !== null) {
    columns.push(["B", micam.statistics(other, layer)]);
    columns.push(["B \u2212 A", micam.difference(sample, other, layer).map?.statistics ?? null]);
  }
  const table = micam.element("table", "", place);
  const measures = [
    ["min", "low"], ["max", "high"], ["mean", "mean"], ["deviation", "deviation"],
    ["energy", "energy"], ["zeros", "zeros"],
  ];
  const head = micam.element("tr", "", table);
  if (other !== null) micam.element("th", "", head);
  measures.forEach(([title]) => {
    const cell = micam.element("th", title, head);
    if (title === "energy") cell.title = "mean of the squared values";
    if (title === "zeros") cell.title = "share of cells that are exactly 0";
  });
  columns.forEach(([title, found]) => {
    const row = micam.element("tr", "", table);
    if (other !== null) micam.element("th", title, row);
    measures.forEach(([, key]) => {
      const value = found?.[key];
      micam.element("td", key === "zeros" && found ? `${(100 * value).toFixed(1)} %` : micam.show(value), row);
    });
  });
};

micam.showHistogram = () => {
  const { layer, sample, other } = micam.state, { histogramFigure, bars, otherBars } = micam.parts;
  const found = [sample, other].map((each) =>
    (each === null || layer === null ? null : micam.statistics(each, layer) && micam.map(each, layer)));
  const present = found.filter((each) => each);
  const empty = { left: [], right: [], top: [] };
  document.getElementById("histogram-note").textContent =
    other === null ? "" : "Filled: A, outlined: B.";
  document.getElementById("histogram").style.visibility = present.length ? "visible" : "hidden";
  if (present.length === 0) return;
  const low = Math.min(...present.map((each) => each.statistics.low));
  let high = Math.max(...present.map((each) => each.statistics.high));
  if (high === low) high = low + Math.max(Math.abs(low), 1) * 1e-3;
  const bins = 48, step = (high - low) / bins;
  const edges = Array.from({ length: bins }, (_, bin) => low + bin * step);
  const count = (map) => {
    const counts = new Array(bins).fill(0);
    for (const value of map.values) {
      counts[Math.min(bins - 1, Math.floor((value - low) / step))] += 1;
    }
    return counts.map((each) => each / map.values.length);
  };
  const [ours, theirs] = found.map((each) => each && count(each));
  const columns = (counts) => (counts === null ? empty
    : { left: edges, right: edges.map((edge) => edge + step), top: counts });
  bars.data = {
    ...columns(ours),
    colour: ours === null ? [] : edges.map((edge) => (edge + step / 2 < 0 ? "#659fe9" : "#d78649")),
  };
  otherBars.data = columns(theirs);
  histogramFigure.x_range.setv({ start: low - step, end: high + step });
  histogramFigure.y_range.setv({ start: 0, end: 1.05 * Math.max(...(ours ?? []), ...(theirs ?? [])) });
};
