// Writes to the page. Text only: whatever a peer sent is never markup.
const element = (id) => document.getElementById(id);

/** Live regions speak on every change of text: touch them only when it did change. */
export function setText(id, text) {
  writeText(element(id), text);
}

export function writeText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setData(id, name, value) {
  writeData(element(id), name, value);
}

export function writeData(node, name, value) {
  if (node.dataset[name] !== value) node.dataset[name] = value;
}

export function show(id, visible) {
  element(id).hidden = !visible;
}
