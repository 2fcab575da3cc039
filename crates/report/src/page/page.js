// What the interactive parts share.
"use strict";

function byId(id) {
  return document.getElementById(id);
}

/** The data of an interactive part, or null where the page has no such part. */
function pageData(id) {
  const element = byId(id);
  return element ? JSON.parse(element.textContent) : null;
}

/** Little-endian f32 from base64. */
function floats(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

/** An element with properties and children; strings become text. */
function el(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** The colour of a value: orange above 0, blue below, the page's own ground at 0. */
function signedColor(value, largest) {
  const part = largest > 0 ? Math.max(-1, Math.min(1, value / largest)) : 0;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const ground = dark ? [29, 33, 39] : [255, 255, 255];
  const end = part < 0 ? (dark ? [86, 180, 233] : [0, 114, 178]) : dark ? [240, 160, 75] : [213, 94, 0];
  return ground.map((from, i) => Math.round(from + (end[i] - from) * Math.abs(part)));
}

function css(color) {
  return `rgb(${color.join(",")})`;
}
