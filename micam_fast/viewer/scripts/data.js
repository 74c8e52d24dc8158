"use strict";
/* What the page holds, read from its script elements. All scripts share the object `micam`. */
const micam = {};

/** Bytes of a base64 element; null if there is no such element. */
micam.bytes = (id) => {
  const element = document.getElementById(id);
  if (element === null) return null;
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(element.textContent);
  return Uint8Array.from(atob(element.textContent), (letter) => letter.charCodeAt(0));
};

micam.readPage = () => {
  micam.page = JSON.parse(document.getElementById("micam-page").textContent);
  micam.palette = micam.bytes("micam-palette");
  micam.page.layers.forEach((layer) => { layer.outputs = []; });
  micam.page.layers.forEach((layer, index) => {
    layer.inputs.forEach((input) => micam.page.layers[input].outputs.push(index));
  });
};

/** All finite maps of a sample; decoded when the sample is first shown. */
micam.cams = (sample) => {
  const held = micam.page.samples[sample];
  if (!held.cams) held.cams = new Float32Array(micam.bytes(`micam-cams-${sample}`).buffer);
  return held.cams;
};

/** A layer's map {rows, columns, values, ...}: null if there is none, values null if not finite. */
micam.map = (sample, layer) => {
  const map = micam.page.samples[sample].maps[layer];
  if (map === null) return null;
  if (map.values === undefined) {
    [map.rows, map.columns] = map.size;
    map.values = map.bad ? null
      : micam.cams(sample).subarray(map.begin, map.begin + map.rows * map.columns);
  }
  return map;
};

/** Sums over an array of numbers. */
micam.measure = (values) => {
  let low = Infinity, high = -Infinity, sum = 0, squares = 0, zeros = 0;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
    if (value === 0) zeros += 1;
    sum += value;
    squares += value * value;
  }
  const count = values.length, mean = sum / count;
  let deviations = 0;
  for (const value of values) deviations += (value - mean) ** 2;
  return {
    low, high, mean, energy: squares / count, norm: Math.sqrt(squares),
    deviation: Math.sqrt(deviations / count), zeros: zeros / count,
    peak: Math.max(Math.abs(low), Math.abs(high)),
  };
};

/** `measure` of a layer's map, null where there are no numbers. */
micam.statistics = (sample, layer) => {
  const map = micam.map(sample, layer);
  if (map === null || map.values === null) return null;
  if (!map.statistics) map.statistics = micam.measure(map.values);
  return map.statistics;
};

/**
 * B - A of a layer: {map, bound, relative} with `bound` the largest absolute value of A, B and
 * B - A, the scale that all three share; or {why} where the two cannot be compared.
 */
micam.difference = (a, b, layer) => {
  const first = micam.map(a, layer), second = micam.map(b, layer);
  if (first === null || second === null) {
    return { why: first === null ? "only in B" : "only in A" };
  }
  if (first.rows !== second.rows || first.columns !== second.columns) {
    return { why: `A is ${first.rows} x ${first.columns}, B is ${second.rows} x ${second.columns}` };
  }
  if (first.values === null || second.values === null) return { why: "not finite" };
  const key = `${a} ${b} ${layer}`;
  if (!micam.differences.has(key)) {
    const values = new Float64Array(first.values.length);
    for (let i = 0; i < values.length; i++) values[i] = second.values[i] - first.values[i];
    const found = micam.measure(values), norm = micam.statistics(a, layer).norm;
    micam.differences.set(key, {
      map: { ...first, values, statistics: found },
      bound: Math.max(
        found.peak, micam.statistics(a, layer).peak, micam.statistics(b, layer).peak),
      relative: found.norm === 0 ? 0 : found.norm / norm,
    });
  }
  return micam.differences.get(key);
};
micam.differences = new Map();

/** Feature maps of a layer: {count, rows, columns, lows, highs, energies, codes, order} or null. */
micam.featureMaps = (sample, layer) => {
  const held = micam.page.samples[sample];
  if (!held.features) held.features = new Map();
  if (!held.features.has(layer)) {
    const bytes = micam.bytes(`micam-features-${sample}-${layer}`);
    held.features.set(layer, bytes && micam.unpackFeatures(bytes, micam.page.features[sample][layer]));
  }
  return held.features.get(layer);
};

micam.unpackFeatures = (bytes, [count, rows, columns]) => {
  const numbers = new Float32Array(bytes.buffer, 0, 3 * count);
  const energies = numbers.subarray(2 * count);
  // Largest energy first; maps that are not finite last.
  const order = Array.from(energies.keys()).sort(
    (i, j) => (isNaN(energies[i]) - isNaN(energies[j])) || (energies[j] - energies[i]) || (i - j));
  return {
    count, rows, columns, energies, order,
    lows: numbers.subarray(0, count), highs: numbers.subarray(count, 2 * count),
    codes: bytes.subarray(12 * count),
  };
};

/** One feature map's values, from its bytes; null if it is not finite. */
micam.featureValues = (maps, channel) => {
  const low = maps.lows[channel], spread = maps.highs[channel] - low;
  if (isNaN(low)) return null;
  const size = maps.rows * maps.columns, values = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    values[i] = low + (spread * maps.codes[channel * size + i]) / 255;
  }
  return values;
};

/** A number for people: four digits. */
micam.show = (value) => {
  if (value === null || value === undefined || isNaN(value)) return "\u2013";
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5)) {
    return value.toExponential(2);
  }
  return String(Number(value.toPrecision(4)));
};
