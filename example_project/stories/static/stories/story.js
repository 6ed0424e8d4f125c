/* What the page makes of the events of its <workflow-stream>. */

const stream = document.querySelector("workflow-stream");
const happenings = document.getElementById("happenings");
let attempt = 0;

function tell(text) {
  const item = document.createElement("li");
  item.textContent = text;
  happenings.append(item);
  happenings.hidden = false;
}

stream.addEventListener("chunk", ({ detail }) => {
  document.getElementById("words").textContent = detail.index + 1;
  document.getElementById("attempt").textContent = detail.attempt;
  if (attempt && detail.attempt > attempt) {
    tell(`Attempt ${attempt} broke off. Attempt ${detail.attempt} went on with word ${detail.index + 1}.`);
  }
  attempt = detail.attempt;
});

let cut = false;
stream.addEventListener("error", () => {
  if (!cut) tell("The connection broke.");
  cut = true;
});
stream.addEventListener("open", () => {
  if (cut) tell("Connected again.");
  cut = false;
});
