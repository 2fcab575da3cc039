// Trace precedents: from an activation back to what made it.
"use strict";

(() => {
  const data = pageData("trace-data");
  if (!data || data.samples.length === 0) return;

  // The image counts as layer -1: what the first layer is given.
  const image = { path: "image,", name: "normalised", shape: data.image_shape, kind: "image" };
  const layers = data.layers.map((layer) => {
    const numbers = {};
    for (const key of ["weight", "bias", "scale", "shift"]) {
      if (key in layer) numbers[key] = floats(layer[key]);
    }
    return { ...layer, ...numbers };
  });
  const samples = data.samples.map((sample) => ({
    ...sample,
    values: [floats(sample.input), ...sample.outputs.map(floats)],
  }));
  const layerAt = (i) => (i < 0 ? image : layers[i]);
  /** [channels, height, width] of a layer; features are channels of one value. */
  const sizeOf = (i) => {
    const shape = layerAt(i).shape;
    return shape.length === 3 ? shape : [shape.reduce((a, b) => a * b, 1), 1, 1];
  };
  const valuesOf = (i) => samples[state.sample].values[i + 1];
  const split = (place, [, height, width]) => [
    Math.floor(place / (height * width)),
    Math.floor(place / width) % height,
    place % width,
  ];

  // The cursor and the chosen activation are places in a layer's values.
  const state = { sample: 0, layer: 0, cursor: 0, chosen: 0 };
  // The second convolution sees some pixels, but not all, through a layer or more.
  const convolutions = layers.flatMap((layer, i) => (layer.kind === "conv2d" ? [i] : []));
  state.layer = convolutions[1] ?? convolutions[0] ?? 0;

  /** The places along an axis that window `at` of a pooling layer sees, and how many count for a mean. */
  function pooled(i, axis, at) {
    const layer = layers[i];
    const size = sizeOf(i - 1)[axis + 1];
    if (layer.kind === "adaptivepool") {
      const windows = sizeOf(i)[axis + 1];
      const [from, to] = [Math.floor((at * size) / windows), Math.ceil(((at + 1) * size) / windows)];
      return [Array.from({ length: to - from }, (_, k) => from + k), to - from];
    }
    const [kernel, padding] = [layer.kernel[axis], layer.padding[axis]];
    const first = at * layer.stride[axis];
    const taps = Array.from({ length: kernel }, (_, k) => first + k * layer.dilation[axis] - padding);
    const inside = taps.filter((tap) => tap >= 0 && tap < size);
    const padded = Math.min(first + kernel, size + 2 * padding) - first;
    return [inside, layer.count_include_pad ? padded : inside.length];
  }

  /**
   * What made the value at `place` of layer `i`: terms {place (-1: padding), input, weight} in rows of
   * `width`, `taps` of each input channel, and the bias.
   */
  function precedents(i, place) {
    const layer = layers[i];
    const x = valuesOf(i - 1);
    const one = (weight, bias) => ({ terms: [{ place, input: x[place], weight }], width: 1, taps: 1, bias });
    switch (layer.kind) {
      case "conv2d": {
        const [channels, height, width] = sizeOf(i - 1);
        const [filter, row, column] = split(place, sizeOf(i));
        const [kh, kw] = layer.kernel;
        const inputs = channels / layer.groups;
        const first = Math.floor(filter / (layer.shape[0] / layer.groups)) * inputs;
        const terms = [];
        for (let c = 0; c < inputs; c++) {
          for (let p = 0; p < kh; p++) {
            for (let q = 0; q < kw; q++) {
              const weight = layer.weight[((filter * inputs + c) * kh + p) * kw + q];
              const h = row * layer.stride[0] + p * layer.dilation[0] - layer.padding[0];
              const w = column * layer.stride[1] + q * layer.dilation[1] - layer.padding[1];
              const inside = h >= 0 && h < height && w >= 0 && w < width;
              const from = inside ? ((first + c) * height + h) * width + w : -1;
              terms.push({ place: from, input: inside ? x[from] : 0, weight });
            }
          }
        }
        return { terms, width: kw, taps: kh * kw, bias: layer.bias.length ? layer.bias[filter] : null };
      }
      case "convtranspose2d": {
        const [channels, height, width] = sizeOf(i - 1);
        const [output, row, column] = split(place, sizeOf(i));
        const [kh, kw] = layer.kernel;
        const [inputs, outputs] = [channels / layer.groups, layer.shape[0] / layer.groups];
        const first = Math.floor(output / outputs) * inputs;
        // The taps that some input lays here, and which one that is.
        const meeting = (axis, at, size) =>
          Array.from({ length: layer.kernel[axis] }, (_, tap) => [tap, (at + layer.padding[axis] - tap * layer.dilation[axis]) / layer.stride[axis]])
            .filter(([, from]) => Number.isInteger(from) && from >= 0 && from < size);
        const [rows, columns] = [meeting(0, row, height), meeting(1, column, width)];
        const terms = [];
        for (let c = first; c < first + inputs; c++) {
          for (const [p, h] of rows) {
            for (const [q, w] of columns) {
              const from = (c * height + h) * width + w;
              terms.push({ place: from, input: x[from], weight: layer.weight[((c * outputs + (output % outputs)) * kh + p) * kw + q] });
            }
          }
        }
        return { terms, width: columns.length, taps: rows.length * columns.length, bias: layer.bias.length ? layer.bias[output] : null };
      }
      case "linear": {
        const terms = Array.from(x, (input, k) => ({ place: k, input, weight: layer.weight[place * x.length + k] }));
        return { terms, width: 10, taps: terms.length, bias: layer.bias.length ? layer.bias[place] : null };
      }
      case "scale": {
        const [channel] = split(place, sizeOf(i));
        return one(layer.scale[channel], layer.shift[channel]);
      }
      case "pool":
      case "adaptivepool": {
        const [, height, width] = sizeOf(i - 1);
        const [channel, row, column] = split(place, sizeOf(i));
        const [[rows, countedRows], [columns, countedColumns]] = [pooled(i, 0, row), pooled(i, 1, column)];
        const places = rows.flatMap((h) => columns.map((w) => (channel * height + h) * width + w));
        const wins = (a, b) => x[a] > x[b] || (Number.isNaN(x[a]) && !Number.isNaN(x[b]));
        const largest = places.reduce((best, p) => (wins(p, best) ? p : best), places[0]);
        const mean = 1 / (countedRows * countedColumns);
        const weight = (p) => (!layer.maximum ? mean : p === largest ? 1 : 0);
        const terms = places.map((p) => ({ place: p, input: x[p], weight: weight(p) }));
        return { terms, width: columns.length, taps: terms.length, bias: null };
      }
      case "function":
      case "same":
        return one(1, null);
      default:
        return null;
    }
  }

  /** The window [top, bottom, left, right) of layer i's input that a window of its output depends on. */
  function windowBefore(i, [top, bottom, left, right]) {
    const layer = layers[i];
    const pointwise = ["function", "scale", "same"].includes(layer.kind) && layer.shape.length === 3;
    const side = (axis, from, to) => {
      const size = sizeOf(i - 1)[axis + 1];
      if (from === to) return [0, 0];
      const clamped = (start, end) => {
        const first = Math.min(size, Math.max(0, start));
        return [first, Math.max(first, Math.min(size, end))];
      };
      const [stride, padding] = [layer.stride?.[axis], layer.padding?.[axis]];
      const reach = layer.kernel && layer.dilation[axis] * (layer.kernel[axis] - 1);
      switch (layer.kind) {
        case "conv2d":
        case "pool":
          return clamped(from * stride - padding, (to - 1) * stride - padding + reach + 1);
        case "convtranspose2d":
          return clamped(Math.ceil((from + padding - reach) / stride), Math.floor((to - 1 + padding) / stride) + 1);
        case "adaptivepool":
          return [pooled(i, axis, from)[0][0], pooled(i, axis, to - 1)[0].at(-1) + 1];
        default:
          return pointwise ? [from, to] : [0, size];
      }
    };
    return [...side(0, top, bottom), ...side(1, left, right)];
  }

  // Drawing.

  const largestOf = (values) => values.reduce((largest, v) => Math.max(largest, Math.abs(v)), 0);

  /** One channel as pixels: an image in grey, all else in the colours of signs. */
  function paint(context, i, channel, x, y, scale) {
    const [, height, width] = sizeOf(i);
    const values = valuesOf(i);
    const [low, high] = i < 0 ? [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))] : [0, 0];
    const largest = largestOf(values);
    for (let h = 0; h < height; h++) {
      for (let w = 0; w < width; w++) {
        const value = values[(channel * height + h) * width + w];
        const grey = Math.round((255 * (value - low)) / (high - low || 1));
        context.fillStyle = css(i < 0 ? [grey, grey, grey] : signedColor(value, largest));
        context.fillRect(x + w * scale, y + h * scale, scale, scale);
      }
    }
  }

  function prepare(canvas, width, height) {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.ceil(width * ratio);
    canvas.height = Math.ceil(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    return context;
  }

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

  function box(context, name, x, y, width, height) {
    context.strokeStyle = color("--paper");
    context.lineWidth = 4;
    context.strokeRect(x - 1, y - 1, width + 2, height + 2);
    context.strokeStyle = color(name);
    context.lineWidth = 2;
    context.strokeRect(x - 1, y - 1, width + 2, height + 2);
  }

  const maps = byId("trace-maps");
  const gap = 6;

  /** How the channels' maps lie in the canvas. */
  function layout() {
    const [channels, height, width] = sizeOf(state.layer);
    const room = Math.max(200, byId("trace").clientWidth - 2 * gap);
    const scale = Math.max(2, Math.min(20, Math.floor(84 / Math.max(height, width))));
    const across = Math.max(1, Math.min(channels, Math.floor(room / (width * scale + gap))));
    return { channels, height, width, scale, across, down: Math.ceil(channels / across) };
  }

  function cornerOf({ height, width, scale, across }, channel) {
    const x = gap + (channel % across) * (width * scale + gap);
    return [x, gap + Math.floor(channel / across) * (height * scale + gap)];
  }

  function drawMaps() {
    const l = layout();
    const context = prepare(maps, gap + l.across * (l.width * l.scale + gap), gap + l.down * (l.height * l.scale + gap));
    for (let channel = 0; channel < l.channels; channel++) {
      const [x, y] = cornerOf(l, channel);
      paint(context, state.layer, channel, x, y, l.scale);
      context.strokeStyle = color("--line");
      context.lineWidth = 1;
      context.strokeRect(x - 0.5, y - 0.5, l.width * l.scale + 1, l.height * l.scale + 1);
    }
    for (const [name, place] of [["--ink", state.chosen], ["--focus", state.cursor]]) {
      const [channel, row, column] = split(place, sizeOf(state.layer));
      const [x, y] = cornerOf(l, channel);
      box(context, name, x + column * l.scale, y + row * l.scale, l.scale, l.scale);
    }
  }

  const position = (i, place) => {
    const [channel, row, column] = split(place, sizeOf(i));
    return layerAt(i).shape.length === 3 ? `channel ${channel}, row ${row}, column ${column}` : `feature ${channel}`;
  };
  const number = (value) => (Math.abs(value) >= 1000 ? value.toFixed(1) : value.toFixed(4)).replace("-", "−");

  function showCursor() {
    byId("trace-cursor").textContent = `${position(state.layer, state.cursor)}: ${number(valuesOf(state.layer)[state.cursor])}`;
  }

  /** The strip of receptive fields, from the image to the chosen activation. */
  function drawFields() {
    const strip = byId("trace-fields");
    strip.replaceChildren();
    let [channel, row, column] = split(state.chosen, sizeOf(state.layer));
    let place = state.chosen;
    let window_ = [row, row + 1, column, column + 1];
    // Features have no grid, so their window does not say whether it is one of them or all.
    let single = true;
    for (let i = state.layer; i >= -1; i--) {
      const [, height, width] = sizeOf(i);
      const scale = Math.max(2, Math.floor((i < 0 ? 140 : 84) / Math.max(height, width)));
      const canvas = el("canvas", {});
      const context = prepare(canvas, width * scale + 2 * gap, height * scale + 2 * gap);
      paint(context, i, channel, gap, gap, scale);
      const [top, bottom, left, right] = window_;
      box(context, "--focus", gap + left * scale, gap + top * scale, (right - left) * scale, (bottom - top) * scale);
      const span = (name, from, to) => (to === from ? `no ${name}` : to - from === 1 ? `${name} ${from}` : `${name}s ${from}–${to - 1}`);
      const seen = height * width > 1 ? `${span("row", top, bottom)}, ${span("column", left, right)}` : `channel ${channel}`;
      const figure = el("figure", { className: "field" }, canvas,
        el("figcaption", {}, el("b", {}, `${layerAt(i).path} ${layerAt(i).name.split("(")[0]}`), el("br", {}), seen));
      figure.dataset.window = window_.join(" ");
      strip.prepend(figure);
      if (i < 0) break;
      const made = place === null ? null : precedents(i, place);
      const strongest = made && made.terms.filter((t) => t.place >= 0).sort((a, b) => Math.abs(b.input * b.weight) - Math.abs(a.input * a.weight))[0];
      window_ = windowBefore(i, window_);
      if (layers[i].kind === "same" && strongest && layers[i].shape.length !== 3 && single) {
        const [, r, c] = split(strongest.place, sizeOf(i - 1));
        window_ = [r, r + 1, c, c + 1];
      }
      single &&= ["function", "scale", "same"].includes(layers[i].kind);
      place = strongest ? strongest.place : null;
      channel = strongest ? split(strongest.place, sizeOf(i - 1))[0] : 0;
    }
  }

  const cell = (value, largest, properties) => {
    const [background, ink] = [signedColor(value, largest), Math.abs(value) > 0.6 * largest];
    const td = el("td", properties || {}, number(value));
    td.style.background = css(background);
    if (ink) td.className += " strong";
    return td;
  };

  /** A grid of numbers `width` wide. */
  const grid = (values, width, largest, make) => {
    const table = el("table", { className: "sheet" });
    for (let from = 0; from < values.length; from += width) {
      const row = el("tr", {});
      for (let k = from; k < Math.min(from + width, values.length); k++) row.append(make(values[k], k, largest));
      table.append(row);
    }
    return table;
  };

  /** The spreadsheet: inputs, weights, products, and their sum. */
  function drawSheet() {
    const [i, place] = [state.layer, state.chosen];
    const [sheet, result] = [byId("trace-sheet"), byId("trace-result")];
    sheet.replaceChildren();
    result.replaceChildren();
    const value = valuesOf(i)[place];
    const made = precedents(i, place);
    if (!made) {
      result.textContent = `${layers[i].path} ${layers[i].name}: this page does not trace layers of this kind, and takes all of their input for what they see.`;
      return;
    }
    const products = made.terms.map((t) => t.input * t.weight);
    const total = products.reduce((a, b) => a + b, 0);
    const sum = total + (made.bias ?? 0);
    const { function: name, maximum } = layers[i];
    const terms = made.terms.length;
    const bias = made.bias === null ? "" : ` + ${layers[i].kind === "scale" ? "shift" : "bias"} ${number(made.bias)}`;
    const counted = terms === 1 ? "input × weight" : maximum ? `the largest of ${terms} is` : `${terms} products add up to`;
    result.append(el("b", {}, `${layers[i].path} ${layers[i].name.split("(")[0]}, ${position(i, place)}`), el("br", {}),
      `${counted} ${number(total)}${bias} = ${number(sum)}${name ? `, of which ${name} makes ${number(value)}` : ""}. `,
      `The activation is ${number(value)}.`);
    Object.assign(result.dataset, { layer: layers[i].path, place, terms, total, bias: made.bias ?? 0, sum, value });

    const [convolution, { taps, width }] = [["conv2d", "convtranspose2d"].includes(layers[i].kind), made];
    const [inputs, weights] = [made.terms.map((t) => t.input), made.terms.map((t) => t.weight)];
    const [most, heaviest, greatest] = [inputs, weights, products].map(largestOf);
    for (let from = 0; from < terms; from += taps) {
      const part = (values) => values.slice(from, from + taps);
      const at = (k) => made.terms[from + k].place;
      const subtotal = part(products).reduce((a, b) => a + b, 0);
      const source = (v, k, largest) => {
        if (at(k) < 0) return el("td", { className: "padding", title: "a zero around the input" }, "0");
        const td = cell(v, largest, { className: "input" });
        const button = el("button", { type: "button", title: position(i - 1, at(k)) }, td.textContent);
        button.addEventListener("click", () => follow(i - 1, at(k)));
        td.replaceChildren(button);
        return td;
      };
      const channel = convolution ? split(made.terms.slice(from, from + taps).find((t) => t.place >= 0)?.place ?? 0, sizeOf(i - 1))[0] : 0;
      sheet.append(el("div", { className: "slice" },
        el("h4", {}, convolution ? `input channel ${channel}` : terms === 1 ? position(i - 1, at(0)) : maximum === undefined ? "all inputs" : `channel ${split(place, sizeOf(i))[0]}`),
        el("div", { className: "equation" },
          el("div", {}, grid(part(inputs), width, most, source), "inputs"),
          el("span", {}, "×"),
          el("div", {}, grid(part(weights), width, heaviest, cell1), "weights"),
          el("span", {}, "="),
          el("div", {}, grid(part(products), width, greatest, product), "products"),
          el("span", { className: "subtotal" }, `sum ${number(subtotal)}`))));
    }
  }

  const cell1 = (v, _, largest) => cell(v, largest);
  const product = (v, _, largest) => {
    const td = cell(v, largest, { className: "product" });
    td.dataset.product = v;
    return td;
  };

  // Choosing.

  function choose(place) {
    state.chosen = state.cursor = place;
    drawMaps();
    showCursor();
    drawFields();
    drawSheet();
  }

  /** On to an activation of the layer before, or to a pixel. */
  function follow(i, place) {
    if (i < 0) {
      const [channel, row, column] = split(place, sizeOf(-1));
      const result = byId("trace-result");
      byId("trace-cursor").textContent = `pixel in row ${row}, column ${column}, channel ${channel}: ${number(valuesOf(-1)[place])} after normalisation. This is where it begins.`;
      result.scrollIntoView({ block: "nearest" });
      return;
    }
    state.layer = i;
    mark("trace-layers", i);
    choose(place);
    byId("trace-maps-title").scrollIntoView({ block: "nearest" });
  }

  /** The activation of the layer that is largest: something to look at first. */
  function largestPlace(i) {
    const values = valuesOf(i);
    return values.reduce((best, v, k) => (v > values[best] ? k : best), 0);
  }

  function mark(group, chosen) {
    [...byId(group).children].forEach((button, k) => button.setAttribute("aria-pressed", String(k === chosen)));
  }

  samples.forEach((sample, k) => {
    const [, height, width] = data.image_shape;
    const canvas = el("canvas", {});
    state.sample = k;
    const scale = Math.max(1, Math.floor(56 / Math.max(height, width)));
    paint(prepare(canvas, width * scale, height * scale), -1, 0, 0, 0, scale);
    const right = sample.label === sample.prediction;
    const button = el("button", { type: "button" }, canvas, el("span", {}, right ? sample.label : `${sample.label} → ${sample.prediction}`));
    button.dataset.index = sample.index;
    button.addEventListener("click", () => {
      state.sample = k;
      mark("trace-images", k);
      choose(state.chosen);
    });
    byId("trace-images").append(button);
  });
  layers.forEach((layer, k) => {
    const button = el("button", { type: "button", title: `${layer.path} ${layer.name}` },
      `${layer.path} ${layer.name.split("(")[0]}`, el("small", {}, layer.shape.join("×")));
    button.addEventListener("click", () => {
      state.layer = k;
      mark("trace-layers", k);
      choose(largestPlace(k));
    });
    byId("trace-layers").append(button);
  });

  maps.addEventListener("click", (event) => {
    const l = layout();
    const [x, y] = [event.offsetX - gap, event.offsetY - gap];
    const [stepX, stepY] = [l.width * l.scale + gap, l.height * l.scale + gap];
    const [across, down] = [Math.floor(x / stepX), Math.floor(y / stepY)];
    const [column, row] = [Math.floor((x - across * stepX) / l.scale), Math.floor((y - down * stepY) / l.scale)];
    const channel = down * l.across + across;
    const inside = x >= 0 && y >= 0 && across < l.across && channel < l.channels && column < l.width && row < l.height;
    if (inside) choose((channel * l.height + row) * l.width + column);
  });

  maps.addEventListener("keydown", (event) => {
    const l = layout();
    let [channel, row, column] = split(state.cursor, sizeOf(state.layer));
    // Over the edge of a map lies the next one.
    const step = {
      ArrowLeft: () => (column > 0 ? column-- : channel > 0 && (channel--, (column = l.width - 1))),
      ArrowRight: () => (column < l.width - 1 ? column++ : channel < l.channels - 1 && (channel++, (column = 0))),
      ArrowUp: () => (row > 0 ? row-- : channel >= l.across && ((channel -= l.across), (row = l.height - 1))),
      ArrowDown: () => (row < l.height - 1 ? row++ : channel + l.across < l.channels && ((channel += l.across), (row = 0))),
      Enter: () => {},
    }[event.key];
    if (!step) return;
    event.preventDefault();
    step();
    state.cursor = (channel * l.height + row) * l.width + column;
    if (event.key === "Enter") choose(state.cursor);
    drawMaps();
    showCursor();
  });

  function drawAll() {
    choose(state.chosen);
  }

  state.sample = 0;
  mark("trace-images", 0);
  mark("trace-layers", state.layer);
  choose(largestPlace(state.layer));
  addEventListener("resize", drawMaps);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
})();
