// Dice, places and contacts as simple cards.

import { element, icon } from "/page/dom.js";

export function dice({ emoji, value }) {
  return element(
    "div",
    { className: "dice", role: "img", "aria-label": `${emoji} shows ${value}` },
    emoji,
    element("span", {}, String(value)),
  );
}

/** A location or a venue, with a link to a map. */
export function place({ location, venue }) {
  const { latitude, longitude } = location;
  const at = `${latitude.toFixed(5)}, ${longitude.toFixed(5)}`;
  const href = `https://www.openstreetmap.org/?mlat=${latitude}&mlon=${longitude}#map=15/${latitude}/${longitude}`;
  const pin = icon("M12 21s-6.500-6.200-6.500-11a6.500 6.500 0 0 1 13 0c0 4.800-6.500 11-6.500 11Z", "M12 12.400a2.400 2.400 0 1 0 0-4.800 2.400 2.400 0 0 0 0 4.800Z");
  return card(pin, venue?.title ?? "Location", venue?.address ?? at, href);
}

export function contact({ name, phone }) {
  return card(icon("M12 11.500a3.700 3.700 0 1 0 0-7.400 3.700 3.700 0 0 0 0 7.400Z", "M4.800 20c.5-3.900 3.300-6 7.200-6s6.700 2.100 7.200 6"), name, phone, `tel:${phone.replace(/[^+\d]/g, "")}`);
}

function card(drawing, title, line, href) {
  return element(
    "a",
    { className: "file", href, target: "_blank", rel: "noopener noreferrer" },
    element("span", { className: "file-icon" }, drawing),
    element("span", {}, element("span", { className: "file-name" }, title), element("span", { className: "file-size" }, line)),
  );
}
