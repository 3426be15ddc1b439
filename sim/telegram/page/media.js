// Pictures, albums and files in a message, and the picture over the whole screen.

import { byId, element, icon } from "/page/dom.js";

/** One picture; a covered one shows itself at the first tap. */
export function photo(message, page) {
  const { file_id, width, height } = message.photo;
  const image = element("img", { src: `/files/${file_id}`, width, height, alt: message.text || "Photo", loading: "lazy" });
  const node = element("button", { type: "button", className: "photo", "aria-label": "Enlarge the photo" }, image);
  if (message.covered) node.classList.add("covered");
  node.onclick = () => {
    if (!node.classList.contains("covered")) return page.enlarge(message);
    node.classList.remove("covered");
    return undefined;
  };
  return node;
}

/** Several pictures as one tile, up to three in a row. */
export function mosaic(pictures, page) {
  const tiles = pictures.map((message) => photo(message, page));
  const columns = pictures.length % 3 === 0 ? 3 : 2;
  return element("div", { className: `mosaic columns-${columns} ${pictures.length % columns ? "odd" : ""}`.trim() }, ...tiles);
}

/** "1.4 KB" of a number of bytes. */
export function bytes(size) {
  if (size < 1024) return `${size} B`;
  return size < 1048576 ? `${(size / 1024).toFixed(1)} KB` : `${(size / 1048576).toFixed(1)} MB`;
}

export function file(document) {
  return element(
    "a",
    { className: "file", href: `/files/${document.file_id}`, download: document.name },
    element("span", { className: "file-icon" }, icon("M12 4v11m-5-5 5 5 5-5M5 20h14")),
    element(
      "span",
      {},
      element("span", { className: "file-name" }, document.name),
      element("span", { className: "file-size" }, bytes(document.size)),
    ),
  );
}

/** Show a picture over everything. */
export function enlarge(message) {
  const url = `/files/${message.photo.file_id}`;
  byId("viewer-image").src = url;
  byId("viewer-image").alt = message.text || "Photo";
  byId("viewer-save").href = url;
  byId("viewer-caption").textContent = message.text;
  byId("viewer").showModal();
}

byId("viewer-close").onclick = () => byId("viewer").close();
byId("viewer-image").onclick = () => byId("viewer").close();
