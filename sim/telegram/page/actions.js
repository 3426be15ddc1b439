// What a person can do with a message: react, reply, copy, edit, forward, delete. By right click, long press or keyboard.

import { byId, element, icon } from "/page/dom.js";
import { popup } from "/page/floats.js";

const LONG_PRESS_MS = 450;

/** `on` hears reply, edit, copy, forward and remove(message), react(message, emoji) and retract(message); `of(node)` finds a message. */
export function messageActions(on, of, reactions) {
  const list = byId("messages");

  function open(message, x, y) {
    if (!message || message.service) return;
    const mine = message.reactions?.find((reaction) => reaction.mine)?.emoji;
    const row = element(
      "div",
      { className: "reaction-row", role: "group", "aria-label": "Reactions" },
      ...reactions().map((emoji) =>
        element("button", { type: "button", role: "menuitem", "aria-label": `React with ${emoji}`, "aria-pressed": String(emoji === mine), onclick: () => popupDone(() => on.react(message, emoji === mine ? null : emoji)) }, emoji),
      ),
    );
    const own = message.from === "user";
    const items = [
      { text: "Reply", act: () => on.reply(message) },
      message.text && { text: "Copy text", act: () => on.copy(message) },
      own && message.text && !message.forwarded && !message.photo && !message.document && { text: "Edit", act: () => on.edit(message) },
      message.poll?.mine.length && !message.poll.closed && !message.poll.quiz && { text: "Retract vote", act: () => on.retract(message) },
      !message.protected && { text: "Forward", act: () => on.forward(message) },
      { text: "Delete", danger: true, act: () => on.remove(message) },
    ].filter(Boolean);
    popup(x, y, items, row);
  }

  const popupDone = (act) => {
    byId("popup").hidePopover();
    act();
  };

  list.addEventListener("contextmenu", (event) => {
    const message = of(event.target);
    if (!message || String(getSelection()) || event.target.closest("a")) return;
    event.preventDefault();
    open(message, event.clientX, event.clientY);
  });
  let pressTimer;
  list.addEventListener("pointerdown", (event) => {
    clearTimeout(pressTimer);
    if (event.pointerType === "touch") pressTimer = setTimeout(() => open(of(event.target), event.clientX, event.clientY), LONG_PRESS_MS);
  });
  for (const name of ["pointerup", "pointercancel", "pointermove"]) list.addEventListener(name, () => clearTimeout(pressTimer));
  list.addEventListener("keydown", (event) => {
    if (!event.target.classList.contains("message") || !(event.key === "Enter" || event.key === "ContextMenu")) return;
    event.preventDefault();
    const { left, top, height } = event.target.querySelector(".bubble")?.getBoundingClientRect() ?? event.target.getBoundingClientRect();
    open(of(event.target), left + 12, top + height / 2);
  });

  // One small button that follows the mouse from message to message.
  const handle = element("button", { type: "button", className: "handle", "aria-label": "Message actions", tabIndex: -1 }, icon("M6 12h.01M12 12h.01M18 12h.01"));
  handle.onclick = () => {
    const { left, bottom } = handle.getBoundingClientRect();
    open(of(handle), left, bottom + 4);
  };
  list.addEventListener("pointerover", (event) => {
    const node = event.pointerType === "mouse" && event.target.closest(".message:not(.service)");
    if (node && handle.parentElement !== node) node.append(handle);
  });
  list.addEventListener("pointerleave", () => handle.remove());
}
