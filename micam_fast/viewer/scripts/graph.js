/* The graph: where it is looked at, its tiles and labels, walking along its edges. */

// Sizes of the label's text in the diagram, pixels at full size; below what is readable it vanishes.
micam.NAME = 15;
micam.LINE = 13;
micam.LINE_HEIGHT = 17.5;
micam.READABLE = 8;

/** Screen pixels for each pixel of the diagram. */
micam.scale = () => {
  const { xRange, panes } = micam.parts;
  return panes[0].figure.inner_width / (xRange.end - xRange.start);
};

/** Look at a rectangle's middle with so many screen pixels to a pixel. */
micam.lookAt = (x, y, scale) => {
  const { xRange, yRange, panes } = micam.parts;
  const width = panes[0].figure.inner_width / scale, height = panes[0].figure.inner_height / scale;
  xRange.setv({ start: x - width / 2, end: x + width / 2 });
  yRange.setv({ start: y + height / 2, end: y - height / 2 });
  micam.atFirst = false;
  micam.lookedAt = { x: xRange.start, y: yRange.start, width: panes[0].figure.inner_width };
  micam.moved();
};

micam.fitWhole = () => {
  const [width, height] = micam.page.size, { inner_width, inner_height } = micam.parts.panes[0].figure;
  micam.lookAt(width / 2, height / 2, 0.97 * Math.min(inner_width / width, inner_height / height));
};

/** As wide as the figure and not larger than life, from the top on. */
micam.fitWidth = () => {
  const [width, height] = micam.page.size, { inner_width, inner_height } = micam.parts.panes[0].figure;
  const scale = 0.97 * Math.min(inner_width / width, Math.max(1, inner_height / height));
  micam.lookAt(width / 2, inner_height / scale / 2 - 0.01 * inner_height / scale, scale);
};

/** Look at a place as nearly as goes with no more blank beside the graph than there must be. */
micam.lookNear = (x, y, scale) => {
  const [width, height] = micam.page.size, { inner_width, inner_height } = micam.parts.panes[0].figure;
  const place = (wanted, half, size) =>
    (2 * half >= size ? size / 2 : Math.min(Math.max(wanted, 0.98 * half), size - 0.98 * half));
  micam.lookAt(place(x, inner_width / scale / 2, width), place(y, inner_height / scale / 2, height), scale);
};

/**
 * The first view: the whole graph if its names can be read; else its first layers, as wide as the
 * figure but neither too small to tell the tiles nor so large that only one or two are seen.
 */
micam.firstView = () => {
  const [width, height] = micam.page.size, { inner_width, inner_height } = micam.parts.panes[0].figure;
  const whole = 0.97 * Math.min(inner_width / width, inner_height / height);
  if (whole >= 0.3) {
    micam.fitWhole();
  } else {
    const scale = Math.min(Math.max(0.97 * inner_width / width, 0.25), 0.75);
    const [x, y, boxWidth, boxHeight] = micam.page.layers[0].box;
    micam.lookNear(x + boxWidth / 2, y + boxHeight / 2, scale);
  }
  micam.atFirst = true;
};

/** Move to a place, in the scale that is. */
micam.goTo = (x, y) => {
  const { xRange } = micam.parts, width = xRange.end - xRange.start;
  // Of a graph that fits the figure's width, only the height is to be chosen.
  micam.lookAt(width >= micam.page.size[0] ? micam.page.size[0] / 2 : x, y, micam.scale());
};

/** Bring a layer into view, large enough to be seen. */
micam.showLayer = (layer) => {
  const [x, y, width, height] = micam.page.layers[layer].box;
  const { xRange, yRange } = micam.parts, scale = micam.scale();
  const inside = x >= xRange.start && x + width <= xRange.end
    && y >= yRange.end && y + height <= yRange.start;
  if (inside && scale >= 0.2) return;
  const { inner_width } = micam.parts.panes[0].figure;
  micam.lookNear(x + width / 2, y + height / 2, Math.max(scale, Math.min(0.5, inner_width / (1.1 * width))));
};

/**
 * Keep half of the view on the graph, or half of a graph that is smaller: far away there is only
 * blank.
 */
micam.hold = (range, low, high, size) => {
  const before = range[low], span = range[high] - before, part = Math.min(span, size) / 2;
  const after = Math.min(Math.max(before, part - span), size - part);
  // Less is rounding, and would be moved for ever.
  if (Math.abs(after - before) > 1e-6 * span) range.setv({ [low]: after, [high]: after + span });
};

/** The view changed: draw what depends on it, once for each frame of the screen. */
micam.moved = () => {
  if (micam.waiting) return;
  micam.waiting = true;
  requestAnimationFrame(() => {
    micam.waiting = false;
    const { xRange, yRange, frame } = micam.parts;
    micam.hold(xRange, "start", "end", micam.page.size[0]);
    micam.hold(yRange, "end", "start", micam.page.size[1]);
    frame.setv({ left: xRange.start, right: xRange.end, top: yRange.end, bottom: yRange.start });
    micam.drawLabels();
    micam.drawSquares();
  });
};

/**
 * The figure has another size. Nobody moved it yet: the first view again. Else the middle and the
 * scale stay, smaller if the figure is narrower; pixels stay squares.
 */
micam.resized = () => {
  if (!micam.parts) return;
  const { xRange, yRange, panes } = micam.parts, { inner_width, inner_height } = panes[0].figure;
  if (!inner_width || !inner_height) return;
  const seen = micam.lookedAt;
  if (!seen || (micam.atFirst && xRange.start === seen.x && yRange.start === seen.y)) {
    micam.firstView();
    return;
  }
  const before = seen.width / (xRange.end - xRange.start);
  micam.lookAt((xRange.start + xRange.end) / 2, (yRange.start + yRange.end) / 2,
    before * Math.min(1, inner_width / seen.width));
};

/** Layers whose nodes are in view. */
micam.inView = () => {
  const { xRange, yRange } = micam.parts, found = [];
  micam.page.layers.forEach(({ box: [x, y, width, height] }, index) => {
    if (x < xRange.end && x + width > xRange.start && y < yRange.start && y + height > yRange.end) {
      found.push(index);
    }
  });
  return found;
};

/** A layer's label in a pane: its lines behind the name. */
micam.labelLines = (pane, layer) => {
  const { sample, other } = micam.state, known = micam.page.layers[layer];
  if (pane === 2) {
    const found = micam.difference(sample, other, layer);
    if (found.why) return ["B \u2212 A", found.why];
    const { low, high } = found.map.statistics;
    return ["B \u2212 A", `map min: ${micam.show(low)}`, `map max: ${micam.show(high)}`,
      `relative L2: ${micam.show(found.relative)}`];
  }
  const map = micam.map(pane === 0 ? sample : other, layer);
  if (map === null) return known.mapped ? ["not in this one"] : known.label.slice(1);
  const { texts } = micam.page;
  const side = other === null ? [] : [pane === 0 ? "A" : "B"];
  return [...texts[map.before].slice(1), ...side, ...(map.numbers ?? []), ...texts[map.after]];
};

/** The labels of the nodes in view, as large as the view; shortened, or away, if it is small. */
micam.drawLabels = () => {
  const scale = micam.scale(), { labelX, layers } = micam.page;
  const lineSize = micam.LINE * scale, detailed = lineSize >= micam.READABLE;
  const nameSize = detailed ? micam.NAME * scale : 11;
  const inView = micam.inView();
  micam.parts.panes.forEach((pane, number) => {
    if (!pane.figure.visible) return;
    const names = { x: [], y: [], text: [] }, lines = { x: [], y: [], text: [] };
    for (const layer of inView) {
      if (detailed) micam.writeValue(number, layer, lineSize, lines);
      const { name, box: [left, top, width, height], mapped } = layers[layer];
      const x = left + (mapped ? labelX : 10), room = (left + width - 6 - x) * scale;
      if (height * scale < 15 || room < 40) continue;
      const rows = micam.wrap(name, nameSize, room, detailed ? 2 : Math.floor(height * scale / 13));
      names.x.push(x);
      names.y.push(top + 6);
      names.text.push(rows.join("\n"));
      if (!detailed) continue;
      lines.x.push(x);
      lines.y.push(top + 6 + 1.25 * micam.NAME * rows.length);
      lines.text.push(micam.labelLines(number, layer)
        .map((line) => micam.fit(line, lineSize, room)).join("\n"));
    }
    pane.nameGlyph.text_font_size = { value: `${nameSize.toFixed(1)}px` };
    pane.lineGlyph.text_font_size = { value: `${lineSize.toFixed(1)}px` };
    pane.names.data = names;
    pane.lines.data = lines;
    pane.clusterGlyph.text_alpha = { value: scale > 0.12 ? 1 : 0 };
    pane.edgeGlyph.text_font_size = { value: `${lineSize.toFixed(1)}px` };
    pane.edgeGlyph.text_alpha = { value: detailed ? 1 : 0 };
  });
};

/** The value of a map that has but one, in the middle of its tile. */
micam.writeValue = (pane, layer, size, lines) => {
  const painted = micam.page.layers[layer].mapped ? micam.paint(pane, layer) : null;
  if (!painted?.plain || !painted.map.plain) return;
  const { plain, tile: [dx, dy, width, height] } = painted.map;
  const [left, top] = micam.page.layers[layer].box;
  const textWidth = (0.56 * plain.length * size) / micam.scale();
  if (textWidth > width) return;
  lines.x.push(left + dx + (width - textWidth) / 2);
  lines.y.push(top + dy + height / 2 - (0.6 * size) / micam.scale());
  lines.text.push(plain);
};

/** How many letters have room: they are 0.56 of the size wide, those of East Asia as wide as high. */
micam.most = (text, size, room) => {
  const wide = /[\u2e80-\ud7ff\uf900-\uffef]|[\ud83c-\udbff]/.test(text);
  return Math.max(3, Math.floor(room / ((wide ? 1 : 0.56) * size)));
};

/** The text, or both its ends where it is too wide. */
micam.fit = (text, size, room) => {
  const most = micam.most(text, size, room);
  const letters = Array.from(text);
  if (letters.length <= most) return text;
  const tail = Math.floor((most - 1) / 2);
  return `${letters.slice(0, most - 1 - tail).join("")}\u2026${letters.slice(-tail).join("")}`;
};

/** A name on so many lines at most. */
micam.wrap = (name, size, room, most) => {
  const count = micam.most(name, size, room), rows = [];
  let rest = name;
  while (rows.length < most - 1 && Array.from(rest).length > count) {
    const head = Array.from(rest).slice(0, count).join("");
    const cut = Math.max(...["/", "_", ".", ":", "-", " "].map((mark) => head.lastIndexOf(mark) + 1));
    rows.push(cut > head.length / 2 ? head.slice(0, cut) : head);
    rest = rest.slice(rows[rows.length - 1].length);
  }
  return [...rows, micam.fit(rest, size, room)];
};

/** Where a map's tile lies in its node. */
micam.tilePlace = (map, layer) => {
  const [x, y] = micam.page.layers[layer].box, [dx, dy, width, height] = map.tile;
  return { x: x + dx, y: y + dy, width, height };
};

/** All tiles of all figures, in the colours that were chosen. */
micam.drawTiles = () => {
  micam.parts.panes.forEach((pane, number) => {
    if (!pane.figure.visible) return;
    const pictures = [], bad = { left: [], right: [], top: [], bottom: [] };
    micam.page.layers.forEach(({ box: [x, y, , height], mapped }, layer) => {
      if (!mapped) return;
      const painted = micam.paint(number, layer);
      if (painted === null) {
        bad.left.push(x + 4);
        bad.right.push(x + micam.page.labelX - 14);
        bad.top.push(y + 4);
        bad.bottom.push(y + height - 4);
        return;
      }
      const { rows, columns } = painted.map;
      const place = micam.tilePlace(painted.map, layer);
      pictures.push({ bytes: painted.bytes, rows, columns, layer, ...place });
    });
    pane.pictures = pictures;
    pane.hatched.data = bad;
    pane.isometric = null;
  });
  micam.drawSquares();
};

/**
 * The next layer from one: along an edge, down and up (right and left where the graph runs to the
 * right), else the nearest beside it.
 */
micam.neighbour = (layer, key) => {
  const { layers } = micam.page;
  const middle = (index) => {
    const [x, y, width, height] = layers[index].box;
    return [x + width / 2, y + height / 2];
  };
  const [x, y] = middle(layer);
  const distance = (index) => Math.hypot(middle(index)[0] - x, middle(index)[1] - y);
  const across = micam.page.rankdir === "LR";
  const [onwards, back] = across ? ["ArrowRight", "ArrowLeft"] : ["ArrowDown", "ArrowUp"];
  let near;
  if (key === onwards) near = layers[layer].outputs;
  else if (key === back) near = layers[layer].inputs;
  else {
    const sign = key === "ArrowRight" || key === "ArrowDown" ? 1 : -1;
    const reach = layers[layer].box[across ? 2 : 3];
    near = layers.map((_, index) => index).filter((index) => {
      const away = [middle(index)[0] - x, middle(index)[1] - y];
      const [aside, along] = across ? away.reverse() : away;
      return sign * aside > 1 && Math.abs(along) < reach;
    });
  }
  if (near.length === 0) return null;
  return near.reduce((best, index) => (distance(index) < distance(best) ? index : best));
};

/** The layer at a place of the graph, or null. */
micam.layerAt = (x, y) => {
  const found = micam.page.layers.findIndex(({ box: [left, top, width, height] }) =>
    x >= left && x <= left + width && y >= top && y <= top + height);
  return found < 0 ? null : found;
};

micam.tap = (x, y) => {
  const layer = micam.layerAt(x, y);
  if (layer !== null) micam.choose(layer);
};
