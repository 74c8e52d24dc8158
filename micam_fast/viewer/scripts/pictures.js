/* Pictures in Bokeh's sources, and what is said where the pointer rests on one. */

/** Columns for `image_rgba` from [{bytes, rows, columns, x, y, width, height, layer}, ...]. */
micam.pictureColumns = (pictures) => {
  const { ndarray } = Bokeh.require("core/util/ndarray");
  return {
    image: pictures.map(({ bytes, rows, columns }) =>
      ndarray(new Uint32Array(bytes.buffer), { dtype: "uint32", shape: [rows, columns] })),
    x: pictures.map((each) => each.x),
    y: pictures.map((each) => each.y),
    dw: pictures.map((each) => each.width),
    dh: pictures.map((each) => each.height),
    layer: pictures.map((each) => each.layer),
  };
};

/** Row and column of the cell under the pointer, by what Bokeh says of it. */
micam.cellOf = (map, special) => {
  if (special.image_index) return [special.image_index.j, special.image_index.i];
  return [Math.floor(special.cell / map.columns), special.cell % map.columns];
};

/** A cell's value; where two samples can be compared, both and their difference. */
micam.valueText = (layer, map, place) => {
  const { sample, other } = micam.state;
  if (other === null || micam.difference(sample, other, layer).why) {
    return micam.show(map.values[place]);
  }
  return ["A", "B", "B \u2212 A"].map((side, pane) =>
    `${side} ${micam.show(micam.shownMap(pane, layer).values[place])}`).join(", ");
};

/** What a tooltip says of a cell; `what` is the tooltip's row. */
micam.describeCell = (what, layer, map, [row, column]) => {
  const { rowNames, columnNames, layers } = micam.page, place = row * map.columns + column;
  const named = (names, index, lies) => (lies && names ? names[index] ?? "\u2013" : "\u2013");
  switch (what) {
    case "layer": return layers[layer].name;
    case "cell": return `row ${row}, column ${column} of ${map.rows} x ${map.columns}`;
    case "value": return micam.valueText(layer, map, place);
    case "row": return named(rowNames, row, map.onInput || map.onRows);
    default: return named(columnNames, column, map.onInput);
  }
};

/** The map that a pane shows of a layer. */
micam.shownMap = (pane, layer) => {
  const { sample, other } = micam.state;
  if (pane === 2) return micam.difference(sample, other, layer).map;
  return micam.map(pane === 0 ? sample : other, layer);
};

/** Tooltip of a tile in the graph, flat or isometric. */
micam.hover = (layer, what, special, pane) => {
  const map = micam.shownMap(pane, layer);
  const squares = micam.parts.panes[pane].squares.data;
  const cell = special.image_index ? null : squares.cell[special.index];
  return micam.describeCell(what, layer, map, micam.cellOf(map, { ...special, cell }));
};

/** Tooltip of the large map. */
micam.hoverMap = (layer, what, special) => {
  const map = micam.shownMap(micam.shownMaps[special.image_index.index].pane, layer);
  return micam.describeCell(what, layer, map, micam.cellOf(map, special));
};

/** Tooltip of the strip with all layers. */
micam.hoverStrip = (layer, what) => {
  if (what === "layer") return micam.page.layers[layer].name;
  return micam.strengthText(layer);
};
