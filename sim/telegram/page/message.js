// One message as a list item: bubble, picture or file, text, time and ticks, and the keyboard under it.

import { element, icon } from "/page/dom.js";
import { render, safeUrl } from "/page/text.js";

/** "14:05" of a moment in seconds since 1970. */
export const clock = (seconds) =>
  new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });

/**
 * The node of a message. `page` is what messages can ask for: press(message, button), enlarge(message), command(text),
 * copied(text), show(id), fetched (the highest update the bot has fetched), busy(message, button).
 */
export function messageNode(message, page) {
  const mine = message.from === "user";
  const item = element("li", { className: "message", "data-id": message.id });
  item.classList.toggle("mine", mine);
  item.classList.toggle("pictured", Boolean(message.photo));
  item.classList.toggle("filed", Boolean(message.document));
  item.classList.toggle("captioned", Boolean(message.text));
  item.classList.toggle("keyed", message.buttons.length > 0);
  const bubble = element("div", { className: "bubble", dir: "auto" });
  if (message.forwarded) bubble.append(element("div", { className: "forwarded" }, `Forwarded from ${message.forwarded}`));
  if (message.reply) bubble.append(quote(message.reply, page));
  if (message.photo) bubble.append(photo(message, page));
  if (message.document) bubble.append(file(message.document));
  const body = element("div", { className: "text" }, ...render(message.text, message.entities, page));
  body.append(meta(message, mine, page));
  bubble.append(body);
  item.append(bubble);
  if (message.buttons.length) item.append(keyboard(message, page));
  return item;
}

function meta(message, mine, page) {
  const at = new Date(message.date * 1000);
  const time = element("time", { dateTime: at.toISOString(), title: at.toLocaleString() }, clock(message.date));
  const node = element("span", { className: "meta" }, message.edited ? "edited" : null, time);
  if (mine) node.append(ticks(message, page));
  return node;
}

/** One tick: sent. Two: the bot has fetched it. */
function ticks(message, page) {
  const drawing = icon("M1.500 12.800 6 17.300 15.500 7", "M10.500 16.500l.9.8L21 7");
  drawing.lastChild.classList.add("second");
  drawing.classList.add("ticks");
  drawing.dataset.update = message.update_id;
  markTick(drawing, page.fetched);
  return drawing;
}

/** Show the second tick where the bot has fetched the message. */
export function markTick(drawing, fetched) {
  const seen = Number(drawing.dataset.update) <= fetched;
  drawing.classList.toggle("fetched", seen);
  drawing.setAttribute("aria-hidden", "false");
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label", seen ? "fetched by the bot" : "sent");
}

function quote(reply, page) {
  return element(
    "button",
    { type: "button", className: "quote", onclick: () => page.show(reply.id) },
    element("b", {}, reply.name),
    element("span", {}, reply.text),
  );
}

function photo(message, page) {
  const { file_id, width, height } = message.photo;
  const image = element("img", { src: `/files/${file_id}`, width, height, alt: message.text || "Photo", loading: "lazy" });
  return element(
    "button",
    { type: "button", className: "photo", "aria-label": "Enlarge the photo", onclick: () => page.enlarge(message) },
    image,
  );
}

function file(document) {
  const size = document.size < 1024 ? `${document.size} B` : document.size < 1048576 ? `${(document.size / 1024).toFixed(1)} KB` : `${(document.size / 1048576).toFixed(1)} MB`;
  return element(
    "a",
    { className: "file", href: `/files/${document.file_id}`, download: document.name },
    element("span", { className: "file-icon" }, icon("M12 4v11m-5-5 5 5 5-5M5 20h14")),
    element("span", {}, element("span", { className: "file-name" }, document.name), element("span", { className: "file-size" }, size)),
  );
}

function keyboard(message, page) {
  const rows = message.buttons.map((row) => element("div", {}, ...row.map((button) => key(message, button, page))));
  return element("div", { className: "keys", role: "group", "aria-label": "Buttons of the message" }, ...rows);
}

function key(message, button, page) {
  const className = `key ${button.style ?? ""}`.trim();
  const href = button.url && safeUrl(button.url);
  if (href) return element("a", { className: `${className} out`, href, target: "_blank", rel: "noopener noreferrer" }, button.text);
  const node = element("button", { type: "button", className }, button.text);
  if (button.copy !== undefined) node.onclick = () => page.copied(button.copy);
  else node.onclick = () => page.press(message, button);
  if (page.busy(message, button)) node.setAttribute("aria-busy", "true");
  return node;
}
