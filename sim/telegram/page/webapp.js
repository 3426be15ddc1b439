// A web app in a frame of its own: it may run scripts and talk to us by messages, as Telegram's own script does, and nothing more.

import { byId, element } from "/page/dom.js";
import { alertBox, toast } from "/page/floats.js";
import { safeUrl } from "/page/text.js";

const box = byId("app-frame");
let frame = null;
let onData = null;

/** The colours of the page, as a web app gets them. */
export function theme() {
  const style = getComputedStyle(document.documentElement);
  const probe = element("span", { hidden: true });
  document.body.append(probe);
  const read = (name) => {
    probe.style.color = style.getPropertyValue(name);
    const [r, g, b] = getComputedStyle(probe).color.match(/\d+/g).map(Number);
    return `#${[r, g, b].map((part) => part.toString(16).padStart(2, "0")).join("")}`;
  };
  const colours = {
    bg_color: read("--surface"),
    secondary_bg_color: read("--wall-3"),
    text_color: read("--text"),
    hint_color: read("--muted"),
    link_color: read("--accent"),
    button_color: read("--accent-strong"),
    button_text_color: read("--on-accent"),
  };
  probe.remove();
  return colours;
}

/** Open `url`; the person is shown `address`. `data` hears what the app sends with sendData, null where it may send none. */
export function openApp({ url, address, title, data }) {
  onData = data;
  byId("app-title").textContent = title;
  byId("app-address").textContent = address;
  byId("app-main").hidden = true;
  byId("app-back").hidden = true;
  frame = element("iframe", {
    title: `Web app at ${address}`,
    sandbox: "allow-scripts allow-same-origin allow-forms allow-popups",
    referrerPolicy: "no-referrer",
    credentialless: true, // no cookie of this machine goes along, the chat page's own least of all
    allow: "",
  });
  frame.src = url;
  byId("app-place").replaceChildren(frame);
  box.showModal();
}

function tell(eventType, eventData = {}) {
  frame?.contentWindow?.postMessage(JSON.stringify({ eventType, eventData }), "*");
}

const viewport = () => ({ width: frame.clientWidth, height: frame.clientHeight, is_state_stable: true, is_expanded: true });

const HEARD = {
  web_app_close: () => box.close(),
  web_app_data_send({ data }) {
    if (!onData) return toast("Only an app of the bot's keyboard can send data to the bot.");
    onData(String(data ?? ""));
    return box.close();
  },
  web_app_request_theme: () => tell("theme_changed", { theme_params: theme() }),
  web_app_request_viewport: () => tell("viewport_changed", viewport()),
  web_app_setup_main_button({ is_visible, is_active, text }) {
    const button = byId("app-main");
    button.hidden = !is_visible;
    button.disabled = is_active === false;
    button.textContent = String(text || "Continue");
  },
  web_app_setup_back_button: ({ is_visible }) => (byId("app-back").hidden = !is_visible),
  web_app_open_link({ url }) {
    const href = safeUrl(String(url));
    if (href) open(href, "_blank", "noopener,noreferrer");
  },
  web_app_open_popup: ({ title, message }) => alertBox(String(title || byId("app-title").textContent), String(message ?? "")),
};

addEventListener("message", (event) => {
  if (!frame || event.source !== frame.contentWindow) return;
  try {
    const { eventType, eventData } = typeof event.data === "string" ? JSON.parse(event.data) : event.data;
    HEARD[eventType]?.(typeof eventData === "string" ? JSON.parse(eventData) : (eventData ?? {}));
  } catch {
    // not a message of a web app
  }
});
byId("app-close").onclick = () => box.close();
byId("app-main").onclick = () => tell("main_button_pressed");
byId("app-back").onclick = () => tell("back_button_pressed");
box.addEventListener("close", () => {
  byId("app-place").replaceChildren();
  frame = null;
});
