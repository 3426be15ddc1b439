// One message (or one album) as a list item: bubble, quote, pictures, cards, text, time and ticks, reactions, keyboard.

import { element, icon } from "/page/dom.js";
import { keyboard } from "/page/keys.js";
import { file, mosaic, photo } from "/page/media.js";
import { contact, dice, place } from "/page/cards.js";
import { poll } from "/page/poll.js";
import { render } from "/page/text.js";

/** "14:05" of a moment in seconds since 1970. */
export const clock = (seconds) =>
  new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });

/**
 * The node of a message, or of the messages of one album. `page` is what messages can ask for: press(message, button),
 * app(message, button), note(text), enlarge(message), command(text), copied(text), show(id), react(message, emoji),
 * vote(message, options), group() (whether others are in the chat), colour(id), fetched, busy(message, button).
 */
export function messageNode(members, page) {
  const [first] = members;
  const message = members.find(({ text }) => text) ?? first;
  if (first.service) return element("li", { className: "message service", "data-id": first.id, tabIndex: -1 }, element("span", { className: "chip" }, first.service));
  const mine = first.from === "user";
  const pictures = members.filter((member) => member.photo);
  const item = element("li", { className: "message", "data-id": first.id, tabIndex: -1 });
  const has = {
    mine,
    pictured: pictures.length,
    filed: first.document,
    captioned: message.text,
    keyed: first.buttons.length,
    told: first.reactions,
    carded: first.dice || first.poll || first.location || first.contact,
    above: message.above,
  };
  for (const [name, yes] of Object.entries(has)) item.classList.toggle(name, Boolean(yes));
  const bubble = element("div", { className: "bubble", dir: "auto" });
  if (page.group() && !mine) bubble.append(element("div", { className: `sender tint-${page.colour(first.user)}` }, first.name));
  if (first.forwarded) bubble.append(element("div", { className: "forwarded" }, `Forwarded from ${first.forwarded}`));
  if (first.reply) bubble.append(quote(first.reply, page));
  const body = element("div", { className: "text" }, ...render(message.text, message.entities, page));
  const content = [
    pictures.length > 1 ? mosaic(pictures, page) : pictures.length ? photo(pictures[0], page) : null,
    ...members.filter((member) => member.document).map((member) => file(member.document)),
    first.poll ? poll(first, page) : null,
    first.dice ? dice(first.dice) : null,
    first.location || first.venue ? place(first) : null,
    first.contact ? contact(first.contact) : null,
  ].filter(Boolean);
  if (message.above) bubble.append(body, ...content);
  else bubble.append(...content, body);
  const told = reactions(first, page);
  (told ?? (message.above ? bubble : body)).append(meta(members, mine, page));
  if (told) bubble.append(told);
  item.append(bubble);
  if (first.buttons.length) item.append(keyboard(first, page));
  return item;
}

function meta(members, mine, page) {
  const message = members.at(-1);
  const at = new Date(message.date * 1000);
  const time = element("time", { dateTime: at.toISOString(), title: at.toLocaleString() }, clock(message.date));
  const edited = members.some((member) => member.edited);
  const node = element("span", { className: "meta" }, edited ? "edited" : null, time);
  if (mine) node.append(ticks(message, page));
  return node;
}

/** One tick: sent. Two: the bot has fetched it. None where the bot was not told. */
function ticks(message, page) {
  const drawing = icon("M1.500 12.800 6 17.300 15.500 7", "M10.500 16.500l.9.8L21 7");
  drawing.lastChild.classList.add("second");
  drawing.classList.add("ticks");
  drawing.dataset.update = message.update_id || Infinity;
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

function reactions(message, page) {
  if (!message.reactions) return null;
  const chips = message.reactions.map(({ emoji, count, mine }) =>
    element(
      "button",
      {
        type: "button",
        className: "reaction",
        "aria-pressed": String(mine),
        "aria-label": `${emoji} ${count}`,
        onclick: () => page.react(message, mine ? null : emoji),
      },
      emoji,
      element("span", {}, String(count)),
    ),
  );
  return element("div", { className: "reactions" }, ...chips);
}
