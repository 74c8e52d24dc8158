/* Values to bytes: R, G, B, A of SPEC section 3, one of these as grey, and the diverging palette. */

micam.byte = (value) => Math.floor(255 * Math.min(Math.max(value, 0), 1) + 0.5);

/** SPEC section 3: straight RGBA of a map, as the diagram has it. */
micam.paintRgba = (values, [low, high], [least, most]) => {
  const bytes = new Uint8Array(4 * values.length), spread = most - least, byte = micam.byte;
  for (let i = 0, at = 0; i < values.length; i++, at += 4) {
    const value = values[i];
    bytes[at] = high > 0 ? byte(value / high) : 0;
    bytes[at + 1] = low < 0 ? byte(value / low) : 0;
    bytes[at + 2] = high !== low ? byte((value - low) / (high - low)) : 0;
    bytes[at + 3] = spread > 0 ? byte(Math.sqrt(Math.max((value - least) / spread, 0))) : 0;
  }
  return bytes;
};

/** One channel of RGBA bytes, black for 0 and white for 255. */
micam.paintChannel = (rgba, channel) => {
  const bytes = new Uint8Array(rgba.length);
  for (let at = 0; at < rgba.length; at += 4) {
    bytes.fill(rgba[at + channel], at, at + 3);
    bytes[at + 3] = 255;
  }
  return bytes;
};

/** Signed values by the palette of maps/signed_palette.py: blue, white at 0, brown. */
micam.paintDiverging = (values, bound) => {
  const bytes = new Uint8Array(4 * values.length), palette = micam.palette;
  for (let i = 0, at = 0; i < values.length; i++, at += 4) {
    const strength = bound > 0 ? Math.min(Math.abs(values[i]) / bound, 1) : 0;
    const step = Math.floor(127 * strength + 0.5);
    const row = 3 * (values[i] < 0 ? 127 - step : 128 + step);
    bytes[at] = palette[row];
    bytes[at + 1] = palette[row + 1];
    bytes[at + 2] = palette[row + 2];
    bytes[at + 3] = 255;
  }
  return bytes;
};

/** Grey, as in the diagram: a map that hardly varies. */
micam.GREY = 200;
micam.paintPlain = (cells) => {
  const bytes = new Uint8Array(4 * cells).fill(micam.GREY);
  for (let at = 3; at < bytes.length; at += 4) bytes[at] = 255;
  return bytes;
};

/** CSS colour of a share from 0 to 1: the brown half of the palette. */
micam.strengthColour = (share) => {
  const row = 3 * (128 + Math.floor(127 * Math.min(Math.max(share, 0), 1)));
  return `rgb(${micam.palette[row]},${micam.palette[row + 1]},${micam.palette[row + 2]})`;
};

/**
 * A layer's picture in a pane, in the colours that were chosen: {map, bytes}, or null where there
 * is nothing to show. The difference is diverging, always; of two samples that are compared, a
 * diverging map is on the scale of both and their difference.
 */
micam.paint = (pane, layer) => {
  const { sample, other, colours } = micam.state;
  const difference = other === null ? null : micam.difference(sample, other, layer);
  if (pane === 2) {
    if (!difference || difference.why) return null;
    return { map: difference.map, bytes: micam.paintDiverging(difference.map.values, difference.bound) };
  }
  const shown = pane === 0 ? sample : other;
  const map = micam.map(shown, layer);
  if (map === null || map.values === null) return null;
  // A map that hardly varies is grey, unless it is compared on a scale that it shares.
  if (map.plain !== undefined && (other === null || colours !== "\u00b1")) {
    return { map, bytes: micam.paintPlain(map.values.length), plain: true };
  }
  if (colours === "\u00b1") {
    const bound = difference && !difference.why
      ? difference.bound : micam.statistics(shown, layer).peak;
    return { map, bytes: micam.paintDiverging(map.values, bound) };
  }
  const rgba = micam.paintRgba(map.values, map.range, micam.page.samples[shown].range);
  const channel = "RGBA".indexOf(colours);
  return { map, bytes: colours === "RGBA" ? rgba : micam.paintChannel(rgba, channel) };
};
