// Keyboards: the buttons under a message, and the bot's own keyboard under the field.

import { byId, element } from "/page/dom.js";
import { safeUrl } from "/page/text.js";

/** The inline keyboard of a message. */
export function keyboard(message, page) {
  const rows = message.buttons.map((row) => element("div", {}, ...row.map((button) => key(message, button, page))));
  return element("div", { className: "keys", role: "group", "aria-label": "Buttons of the message" }, ...rows);
}

function key(message, button, page) {
  const kind = button.app !== undefined ? "app" : button.copy !== undefined ? "copy" : "";
  const className = `key ${button.style ?? ""} ${kind}`.trim();
  const href = button.url && safeUrl(button.url);
  if (href) return element("a", { className: `${className} out`, href, target: "_blank", rel: "noopener noreferrer" }, button.text);
  const node = element("button", { type: "button", className }, button.text);
  if (button.copy !== undefined) node.onclick = () => page.copied(button.copy);
  else if (button.app !== undefined) node.onclick = () => page.app(message, button);
  else if (button.data !== undefined) node.onclick = () => page.press(message, button);
  else if (button.inline !== undefined) node.onclick = () => page.note("Inline mode is not part of this simulated Telegram.");
  else node.onclick = () => page.note("This kind of button does nothing in the simulated Telegram.");
  if (page.busy(message, button)) node.setAttribute("aria-busy", "true");
  return node;
}

/**
 * The bot's keyboard in place of the person's own. `on` hears text(button), app(button), note(words) and replyTo(id).
 * Returns show(markup): a ReplyKeyboardMarkup or ForceReply with the message's `id`, or null for none.
 */
export function replyKeyboard(on) {
  const [panel, button, field] = ["keys", "keys-button", "text"].map(byId);
  let shownFor = null;
  let open = false;

  function draw() {
    panel.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
  }

  function pressed(label, markup) {
    if (typeof label !== "string" && label.web_app) on.app(label);
    else if (typeof label !== "string" && (label.request_contact || label.request_location || label.request_poll || label.request_users || label.request_chat))
      return on.note("Nothing is shared from this simulated phone.");
    else on.text(typeof label === "string" ? label : label.text);
    if (markup.one_time_keyboard) {
      open = false;
      draw();
    }
    return undefined;
  }

  button.onclick = () => {
    open = !open;
    draw();
  };

  return {
    show(markup) {
      const rows = markup?.keyboard ?? [];
      field.placeholder = markup?.input_field_placeholder || "Message";
      button.hidden = !rows.length;
      panel.classList.toggle("tall", Boolean(markup && !markup.resize_keyboard));
      panel.replaceChildren(
        ...rows.map((row) =>
          element(
            "div",
            {},
            ...row.map((label) =>
              element(
                "button",
                { type: "button", className: `reply-key ${label.style ?? ""} ${label.web_app ? "app" : ""}`.trim(), onclick: () => pressed(label, markup) },
                typeof label === "string" ? label : label.text,
              ),
            ),
          ),
        ),
      );
      if (markup?.id !== shownFor) open = rows.length > 0;
      if (markup?.force_reply && markup.id !== shownFor) on.replyTo(markup.id);
      shownFor = markup?.id ?? null;
      if (!rows.length) open = false;
      draw();
    },
  };
}
