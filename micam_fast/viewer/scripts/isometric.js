/*
 * The published look, SPEC section 4: a layer's cells as screen-aligned squares on a plane seen in
 * perspective, the area of each by its B, with a dot where there is little or nothing of it. Bokeh paints about 400 squares in a millisecond, so only
 * the nodes in the middle of the view are drawn so, up to a number of squares; the others are flat.
 */
micam.MOST_SQUARES = 30000;
micam.SMALLEST_ISOMETRIC = 0.15;
/** Of the area of a square whose B is 1. */
micam.DOT_SHARE = 1 / 16;

/** Which layers are isometric now: those in view nearest to the middle, of every figure. */
micam.isometricLayers = () => {
  const { look } = micam.state, { rows, columns } = micam.page.isometric;
  if (look !== "isometric" || micam.scale() < micam.SMALLEST_ISOMETRIC) return [];
  const { xRange, yRange, panes } = micam.parts;
  const x = (xRange.start + xRange.end) / 2, y = (yRange.start + yRange.end) / 2;
  const distance = (layer) => {
    const [left, top, width, height] = micam.page.layers[layer].box;
    return Math.hypot(left + width / 2 - x, top + height / 2 - y);
  };
  const figures = panes.filter((pane) => pane.figure.visible).length;
  const most = Math.floor(micam.MOST_SQUARES / (2 * rows * columns * figures));
  return micam.inView().filter((layer) => micam.page.layers[layer].mapped)
    .sort((a, b) => distance(a) - distance(b)).slice(0, Math.max(1, most)).sort((a, b) => a - b);
};

/** Tiles and squares of what is in view; nothing is done where that is the same as before. */
micam.drawSquares = () => {
  const layers = micam.isometricLayers(), key = layers.join(" ");
  micam.parts.panes.forEach((pane, number) => {
    if (!pane.figure.visible || pane.isometric === key) return;
    pane.isometric = key;
    // Grey tiles stay flat: their squares would be all alike.
    const squares = new Set(layers.filter((layer) => {
      const painted = micam.paint(number, layer);
      return painted !== null && !painted.plain;
    }));
    pane.tiles.data = micam.pictureColumns(pane.pictures.filter(({ layer }) => !squares.has(layer)));
    pane.squares.data = micam.squareColumns(number, [...squares]);
  });
  if (micam.state.look === "isometric") micam.showLegend();
};

/** Index along a map for each cell of a grid: the nearest, of two the lower one. */
micam.nearest = (cells, size) => Array.from({ length: cells },
  (_, cell) => Math.floor(((2 * cell + 1) * size - 1) / (2 * cells)));

/** Which cell of a map stands at each place of the grid; of a larger map the strongest. */
micam.chosenCells = (map, rows, columns) => {
  const cells = new Int32Array(rows * columns).fill(-1);
  if (map.rows <= rows && map.columns <= columns) {
    const down = micam.nearest(rows, map.rows), across = micam.nearest(columns, map.columns);
    for (let i = 0; i < cells.length; i++) {
      cells[i] = down[Math.floor(i / columns)] * map.columns + across[i % columns];
    }
    return cells;
  }
  const first = (cell, count, size) => (count < size ? Math.ceil(cell * size / count)
    : Math.floor(((2 * cell + 1) * size - 1) / (2 * count)));
  for (let i = 0; i < cells.length; i++) {
    const row = Math.floor(i / columns), column = i % columns;
    const top = first(row, rows, map.rows), left = first(column, columns, map.columns);
    const bottom = Math.max(first(row + 1, rows, map.rows), top + 1);
    const right = Math.max(first(column + 1, columns, map.columns), left + 1);
    let strength = -1;
    for (let y = top; y < bottom && y < map.rows; y++) {
      for (let x = left; x < right && x < map.columns; x++) {
        const value = Math.abs(map.values[y * map.columns + x]);
        if (value > strength) {
          strength = value;
          cells[i] = y * map.columns + x;
        }
      }
    }
  }
  return cells;
};

/** Columns for `rect`: dots and squares of some layers, far to near. No difference needs no dot. */
micam.squareColumns = (pane, layers) => {
  const { rows, columns, dpi } = micam.page.isometric;
  if (!micam.centres) micam.centres = new Float32Array(micam.bytes("micam-centres").buffer);
  const x = [], y = [], side = [], colour = [], cell = [], of = [];
  for (const layer of layers) {
    const { map, bytes } = micam.paint(pane, layer), [left, top] = micam.page.layers[layer].box;
    const area = 5 * Math.log(10 * (layer + 1)) * (dpi / 72) ** 2;
    const sizes = micam.squareSizes(pane, layer, map), cells = micam.chosenCells(map, rows, columns);
    for (let i = 0; i < cells.length; i++) {
      const at = cells[i], alpha = bytes[4 * at + 3];
      const dot = [pane === 2 ? 0 : micam.DOT_SHARE, 255 - Math.round(alpha * sizes[at])];
      for (const [share, opacity] of [dot, [sizes[at], alpha]]) {
        if (share === 0 || opacity === 0) continue;
        x.push(left + micam.centres[2 * i]);
        y.push(top + micam.centres[2 * i + 1]);
        side.push(Math.sqrt(area * share));
        colour.push(bytes[4 * at], bytes[4 * at + 1], bytes[4 * at + 2], opacity);
        cell.push(at);
        of.push(layer);
      }
    }
  }
  const { ndarray } = Bokeh.require("core/util/ndarray");
  return {
    x, y, side, cell, layer: of,
    colour: ndarray(new Uint8Array(colour), { dtype: "uint8", shape: [x.length, 4] }),
  };
};

/** Share of the full area for each cell: its B; for a difference its strength. */
micam.squareSizes = (pane, layer, map) => {
  const { sample, other } = micam.state;
  if (pane === 2) {
    const { bound } = micam.difference(sample, other, layer);
    return Array.from(map.values, (value) => (bound > 0 ? Math.abs(value) / bound : 0));
  }
  const [low, high] = map.range;
  return Array.from(map.values, (value) =>
    (high !== low ? micam.byte((value - low) / (high - low)) / 255 : 0));
};
