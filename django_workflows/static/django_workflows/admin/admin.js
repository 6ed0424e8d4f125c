// Keeps a page of the console as it is on the server, while somebody looks at it.
//
// What is marked `data-live` and has an id becomes what has that id in a fresh copy of
// the page. Elements that stay are changed in place, so that focus, scrolling, selected
// text and opened <details> stay too. A part with a field that is being filled in is
// left alone. The page is fetched again as long as it has an element `data-live-page`.

const PAUSE = 2_000; // ms between an answer and the next request
const LONGEST_PAUSE = 30_000;
const TIMEOUT = 30_000;
// A page that takes long to make is asked for less often: at most this share of the time.
const SHARE = 0.1;

const note = document.querySelector("[data-live-page]");
let timer;
let failures = 0;
let asking = false;
let over = false;

async function refresh() {
  if (asking || over || document.visibilityState === "hidden") return;
  asking = true;
  clearTimeout(timer);
  const begun = performance.now();
  const text = await fetched();
  asking = false;
  if (over) return;
  if (text !== null) show(new DOMParser().parseFromString(text, "text/html"));
  if (!note.hasAttribute("data-live-page")) return end("");
  const took = performance.now() - begun;
  const pause = Math.max(PAUSE * 2 ** failures, took / SHARE);
  timer = setTimeout(refresh, Math.min(pause, LONGEST_PAUSE));
}

/** Return the page as it is on the server, or null if there is none at the moment. */
async function fetched() {
  try {
    const answer = await fetch(location.href, {
      cache: "no-store",
      headers: { Accept: "text/html" },
      redirect: "manual", // it would be to the login page
      signal: AbortSignal.timeout(TIMEOUT),
    });
    if (answer.status >= 500) throw new Error(`the server answers ${answer.status}`);
    if (!answer.ok) {
      end(note.dataset.ended);
      return null;
    }
    const text = await answer.text();
    failures = 0;
    say("");
    return text;
  } catch (error) {
    failures += 1;
    if (failures > 1) say(note.dataset.lost);
    console.info("This page could not be refreshed:", error);
    return null;
  }
}

function end(text) {
  over = true;
  clearTimeout(timer);
  say(text);
}

function say(text) {
  note.hidden = !text;
  if (note.textContent !== text) note.textContent = text;
}

/** Make the live parts of this page what they are in a fresh copy of it. */
function show(fresh) {
  document.title = fresh.title;
  for (const part of document.querySelectorAll("[data-live][id]")) {
    if (!part.isConnected || isInUse(part)) continue;
    const now = fresh.getElementById(part.id);
    if (now) update(part, now);
    else part.remove();
  }
  for (const part of fresh.querySelectorAll("[data-live][id]")) {
    if (!document.getElementById(part.id)) insert(part);
  }
  if (!fresh.querySelector("[data-live-page]")) note.removeAttribute("data-live-page");
}

/** Put a part that is new after what is before it in the fresh page. */
function insert(part) {
  const copy = document.importNode(part, true);
  for (let at = part.previousElementSibling; at; at = at.previousElementSibling) {
    const here = at.id && document.getElementById(at.id);
    if (here) return here.after(copy);
  }
  document.getElementById(part.parentElement.id)?.prepend(copy);
}

/** Whether somebody is filling in a field, or has. */
function isInUse(part) {
  for (const field of part.querySelectorAll("input, select, textarea")) {
    if (field.type === "hidden") continue;
    if (field === document.activeElement) return true;
    if (field.type === "checkbox" || field.type === "radio") {
      if (field.checked !== field.defaultChecked) return true;
    } else if (field.tagName === "SELECT") {
      const chosen = [...field.options].some((o) => o.selected !== o.defaultSelected);
      // Without a default the browser has chosen the first.
      const hasDefault = [...field.options].some((o) => o.defaultSelected);
      if (hasDefault ? chosen : field.selectedIndex > 0) return true;
    } else if (field.value !== field.defaultValue) {
      return true;
    }
  }
  return false;
}

/** Make an element like a fresh one, and leave alone what is the same. */
function update(here, fresh) {
  if (here.isEqualNode(fresh)) return;
  if (here.localName.includes("-")) return; // such an element is live by itself
  const isUsers = (name) => name === "open" && here.tagName === "DETAILS";
  for (const { name } of [...here.attributes]) {
    if (!fresh.hasAttribute(name) && !isUsers(name)) here.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (here.getAttribute(name) !== value && !isUsers(name)) {
      here.setAttribute(name, value);
    }
  }
  let place = here.firstChild;
  for (const child of fresh.childNodes) {
    const known = find(place, child);
    if (!known) {
      here.insertBefore(document.importNode(child, true), place);
      continue;
    }
    while (place !== known) place = removed(place);
    place = known.nextSibling;
    if (known.nodeType !== Node.ELEMENT_NODE) {
      if (known.nodeValue !== child.nodeValue) known.nodeValue = child.nodeValue;
    } else if (!(known.matches("[data-live]") && isInUse(known))) {
      update(known, child);
    }
  }
  while (place) place = removed(place);
}

/** Return what `child` is here: what has its id, else the next if it is of its kind. */
function find(place, child) {
  // A form's property `id` may be a field of that name.
  const idOf = (node) => node.getAttribute?.("id") || null;
  const isSame = (node) =>
    node.nodeName === child.nodeName && idOf(node) === idOf(child);
  if (!idOf(child)) return place && isSame(place) ? place : null;
  for (let node = place; node; node = node.nextSibling) {
    if (isSame(node)) return node;
  }
  return null;
}

/** Remove a node, and return the one after it. */
function removed(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

if (note) {
  // The page that a form leads to shows the messages; a copy fetched now would use them up.
  addEventListener("submit", () => end(""));
  document.addEventListener("visibilitychange", refresh);
  timer = setTimeout(refresh, PAUSE);
}
