// A convolution as a matrix: change a pixel or a weight and see the output change.
"use strict";

(() => {
  const data = pageData("matrix-data");
  if (!data) return;
  const [image, kernel] = [[...data.image], [...data.kernel]];
  const [rows, columns] = [data.output_size[0] * data.output_size[1], image.length];
  const entry = (row, column) => data.entries[row * columns + column];
  /** One colour for each weight, light enough for dark ink. */
  const tied = (weight) => `hsl(${Math.round((360 * weight) / kernel.length)} 75% 78%)`;
  const short = (value) => String(Math.round(value * 1000) / 1000).replace("-", "−");

  function inputs(id, values, width, label, color) {
    const grid = byId(id);
    grid.style.gridTemplateColumns = `repeat(${width}, max-content)`;
    values.forEach((value, k) => {
      const input = el("input", { type: "number", step: "any", value: String(value) });
      input.setAttribute("aria-label", `${label}, row ${Math.floor(k / width)}, column ${k % width}`);
      if (color) {
        input.style.background = color(k);
        input.className = "tied";
      }
      input.addEventListener("input", () => {
        values[k] = Number.isFinite(input.valueAsNumber) ? input.valueAsNumber : 0;
        compute();
      });
      grid.append(input);
    });
  }
  inputs("matrix-image", image, data.image_size[1], "pixel");
  inputs("matrix-kernel", kernel, data.kernel_size[1], "weight", tied);

  const output = byId("matrix-output");
  output.style.gridTemplateColumns = `repeat(${data.output_size[1]}, max-content)`;
  const table = byId("matrix-entries");
  const pixels = el("tr", {}, el("th", {}, "pixels"));
  for (let column = 0; column < columns; column++) pixels.append(el("td", {}));
  table.append(pixels);
  const [outputs, lines] = [[], []];
  for (let row = 0; row < rows; row++) {
    const line = el("tr", {}, el("th", {}, `output ${row}`));
    for (let column = 0; column < columns; column++) {
      const weight = entry(row, column);
      const td = el("td", { className: weight === null ? "never" : "tied" });
      td.dataset.weight = weight === null ? "" : weight;
      if (weight !== null) td.style.background = tied(weight);
      line.append(td);
    }
    line.append(el("td", { className: "sum" }));
    table.append(line);
    lines.push(line);
    const place = el("button", { type: "button" });
    for (const [event, on] of [["mouseenter", true], ["focus", true], ["mouseleave", false], ["blur", false]]) {
      place.addEventListener(event, () => highlight(row, on));
      if (!event.includes("o") || event.startsWith("mouse")) line.addEventListener(event, () => highlight(row, on));
    }
    output.append(place);
    outputs.push(place);
  }

  function highlight(row, on) {
    lines[row].classList.toggle("seen", on);
    outputs[row].classList.toggle("seen", on);
    [...byId("matrix-image").children].forEach((input, column) => {
      input.classList.toggle("seen", on && entry(row, column) !== null);
    });
  }

  function compute() {
    for (let column = 0; column < columns; column++) pixels.children[column + 1].textContent = short(image[column]);
    for (let row = 0; row < rows; row++) {
      let sum = 0;
      for (let column = 0; column < columns; column++) {
        const weight = entry(row, column);
        lines[row].children[column + 1].textContent = weight === null ? "·" : short(kernel[weight]);
        if (weight !== null) sum += kernel[weight] * image[column];
      }
      lines[row].lastElementChild.textContent = `= ${short(sum)}`;
      outputs[row].textContent = short(sum);
      outputs[row].dataset.value = sum;
    }
  }
  compute();
})();
