// A text with Telegram's entities as nodes. Offsets count UTF-16 units, which is how JavaScript counts too.

import { element } from "/page/dom.js";

const SAFE = /^(https?|tg|mailto):/i;

/** Where a link leads, or null where no browser should follow. */
export function safeUrl(url) {
  const full = /^[a-z][a-z0-9+.-]*:/i.test(url) ? url : `http://${url}`;
  return SAFE.test(full) ? full : null;
}

/**
 * The nodes of a text. `act` is what the page offers: command(text), copied(text).
 * Entities may overlap; what reaches over the end of an outer one continues behind it.
 */
export function render(text, entities, act) {
  const ordered = [...entities].sort((a, b) => a.offset - b.offset || b.length - a.length);
  return build(text, 0, text.length, ordered, act);
}

function build(text, start, end, entities, act) {
  const nodes = [];
  const waiting = [...entities];
  let at = start;
  while (waiting.length) {
    const entity = waiting.shift();
    const from = Math.max(entity.offset, at);
    const to = Math.min(entity.offset + entity.length, end);
    if (from >= to) continue;
    if (at < from) nodes.push(text.slice(at, from));
    const inner = [];
    const later = [];
    for (const other of waiting) {
      const stop = other.offset + other.length;
      if (other.offset < to) inner.push(other);
      if (stop > to) later.push(other.offset < to ? { ...other, offset: to, length: stop - to } : other);
    }
    nodes.push(wrap(entity, text.slice(from, to), build(text, from, to, inner, act), act));
    waiting.splice(0, waiting.length, ...later.sort((a, b) => a.offset - b.offset || b.length - a.length));
    at = to;
  }
  if (at < end) nodes.push(text.slice(at, end));
  // The line break behind a block is the block's own end.
  return nodes.map((node, i) => (typeof node === "string" && isBlock(nodes[i - 1]) ? node.replace(/^\n/, "") : node));
}

const isBlock = (node) => node instanceof Element && (node.classList.contains("block") || node.tagName === "BLOCKQUOTE");

const STYLES = { bold: "b", italic: "i", underline: "u", strikethrough: "s" };

function wrap(entity, text, children, act) {
  switch (entity.type) {
    case "bold":
    case "italic":
    case "underline":
    case "strikethrough":
      return element(STYLES[entity.type], {}, ...children);
    case "code":
      return element("code", { title: "Copy", onclick: () => act.copied(text) }, ...children);
    case "pre":
      return block(entity.language, text, children, act);
    case "blockquote":
      return element("blockquote", {}, ...children);
    case "expandable_blockquote": {
      const quote = element("blockquote", { className: "folded", tabIndex: 0 }, ...children);
      quote.onclick = () => quote.classList.toggle("folded");
      quote.onkeydown = (event) => event.key === "Enter" && quote.classList.toggle("folded");
      return quote;
    }
    case "spoiler":
      return spoiler(children);
    case "text_link":
      return link(entity.url, children);
    case "url":
      return link(text, children);
    case "email":
      return link(`mailto:${text}`, children);
    case "bot_command":
      return element("button", { type: "button", className: "link", onclick: () => act.command(text) }, ...children);
    case "mention":
    case "hashtag":
    case "cashtag":
    case "text_mention":
      return element("span", { className: "link" }, ...children);
    default:
      return element("span", {}, ...children);
  }
}

function spoiler(children) {
  const node = element("span", { className: "spoiler", role: "button", tabIndex: 0, "aria-label": "Hidden text, show it" }, ...children);
  const open = (event) => {
    if (node.classList.contains("open") || (event.key && event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    node.classList.add("open");
    for (const name of ["role", "tabindex", "aria-label"]) node.removeAttribute(name);
  };
  node.onclick = open;
  node.onkeydown = open;
  return node;
}

function link(url, children) {
  const href = safeUrl(url);
  if (href === null) return element("span", {}, ...children);
  return element("a", { href, target: "_blank", rel: "noopener noreferrer", title: href }, ...children);
}

function block(language, text, children, act) {
  const button = element("button", { type: "button", onclick: () => act.copied(text) }, "copy");
  const code = element("pre", { tabIndex: 0 }, ...children);
  if (!language) return element("div", { className: "block bare" }, code, button);
  return element("div", { className: "block" }, element("header", {}, language, button), code);
}
