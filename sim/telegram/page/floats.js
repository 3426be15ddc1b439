// What floats above the page: toasts, alerts, small menus, and sheets that ask for something.

import { byId, element } from "/page/dom.js";

const TOAST_MS = 3500;

let toastTimer;
export function toast(text) {
  const node = byId("toast");
  node.textContent = text;
  node.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => (node.hidden = true), TOAST_MS);
}

/** For the catch of a promise. */
export const failed = (error) => toast(error.message);

export function alertBox(title, text) {
  byId("alert-title").textContent = title;
  byId("alert-text").textContent = text;
  byId("alert").showModal();
}

const menu = byId("popup");
let cameFrom = null;

/** A menu at a point: `top` is a node above the items or null, items are {text, act, danger}. Arrow keys walk through it. */
export function popup(x, y, items, top = null) {
  cameFrom = document.activeElement;
  const buttons = items.map(({ text, act, danger }) =>
    element("button", { type: "button", role: "menuitem", className: danger ? "danger" : "", onclick: () => close(act) }, text),
  );
  menu.replaceChildren(...(top ? [top] : []), ...buttons);
  menu.showPopover();
  const { width, height } = menu.getBoundingClientRect();
  menu.style.left = `${Math.max(8, Math.min(x, innerWidth - width - 8))}px`;
  menu.style.top = `${Math.max(8, y + height > innerHeight - 8 ? Math.min(y, innerHeight - 8) - height : y)}px`;
  menu.querySelector("button")?.focus();
}

export function close(act) {
  if (!menu.matches(":popover-open")) return;
  menu.hidePopover();
  cameFrom?.focus?.({ preventScroll: true });
  act?.();
}

menu.addEventListener("keydown", (event) => {
  const buttons = [...menu.querySelectorAll("button")];
  const at = buttons.indexOf(document.activeElement);
  const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
  if (step) buttons[(at + step + buttons.length) % buttons.length]?.focus();
  else if (event.key === "Escape" || event.key === "Tab") close();
  else return;
  event.preventDefault();
  event.stopPropagation();
});
document.addEventListener("pointerdown", (event) => menu.contains(event.target) || close(), true);

const sheetBox = byId("sheet");

/** Ask for something: `act` is a function of nothing that may fail; its words are shown and the sheet stays. */
export function sheet({ title, body, ok, act }) {
  byId("sheet-title").textContent = title;
  byId("sheet-body").replaceChildren(...body);
  byId("sheet-ok").textContent = ok ?? "Close";
  byId("sheet-cancel").hidden = !act;
  byId("sheet-error").hidden = true;
  byId("sheet-form").onsubmit = async (event) => {
    if (!act) return;
    event.preventDefault();
    byId("sheet-ok").disabled = true;
    try {
      await act();
      sheetBox.close();
    } catch (error) {
      byId("sheet-error").textContent = error.message;
      byId("sheet-error").hidden = false;
    } finally {
      byId("sheet-ok").disabled = false;
    }
  };
  if (!sheetBox.open) sheetBox.showModal();
  byId("sheet-body").querySelector("input, textarea")?.focus();
}

export const closeSheet = () => sheetBox.close();
byId("sheet-cancel").onclick = closeSheet;
