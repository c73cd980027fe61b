"use strict";

const $ = (id) => document.getElementById(id);

/** Show the text, or hide the element where the text is empty. */
function say(id, text) {
  $(id).textContent = text;
  $(id).hidden = !text;
}

/** The API key, where this gateway needs one. The browser forgets it when the tab is closed. */
function headers() {
  const key = sessionStorage.getItem("key");
  return key ? { Authorization: `Bearer ${key}` } : {};
}

async function introduceModel() {
  const answer = await fetch("/v1/labels", { headers: headers() }).catch(() => null);
  $("ask-key").hidden = !answer || ![401, 429].includes(answer.status);
  if (!$("ask-key").hidden) {
    $("model").textContent = (await answer.json()).detail;
    return;
  }
  if (!answer || !answer.ok) {
    $("model").textContent = "The model is starting…";
    setTimeout(introduceModel, 2000);
    return;
  }
  const { labels, title, summary, demo, model } = await answer.json();
  $("model").textContent = `${title}: ${labels.length} classes, version ${model.version}`;
  say("demo", demo ? summary : "");
  offerSamples();
}

/** Buttons with the pictures that the model brings. They are fetched, because an <img> sends no key. */
async function offerSamples() {
  const { samples } = await (await fetch("/v1/samples", { headers: headers() })).json();
  const buttons = samples.map(async ({ title, path }) => {
    const photo = await (await fetch(path, { headers: headers() })).blob();
    const button = document.createElement("button");
    const image = button.appendChild(document.createElement("img"));
    image.src = URL.createObjectURL(photo);
    image.alt = title;
    button.title = title;
    button.addEventListener("click", () => classify(photo));
    return button;
  });
  $("samples").lastElementChild.replaceChildren(...(await Promise.all(buttons)));
  $("samples").hidden = !samples.length;
}

function bar(prediction) {
  const line = document.createElement("li");
  for (const kind of ["bar", "name", "confidence"]) {
    line.appendChild(document.createElement("span")).className = kind;
  }
  const percent = percentage(prediction.confidence);
  line.querySelector(".bar").style.width = percent.replace(" ", "");
  line.querySelector(".name").textContent = prediction.display_name;
  line.querySelector(".confidence").textContent = percent;
  return line;
}

/** What the model is sure of comes first; the predictions below are its guesses. */
function tell(answer) {
  $("name").textContent = answer ? answer.name : "Not sure";
  $("why").textContent = answer ? percentage(answer.confidence) : "No name is certain enough. Its guesses:";
  $("sure").classList.toggle("unsure", !answer);
  $("sure").hidden = false;
}

function percentage(confidence) {
  return (confidence * 100).toFixed(1) + " %";
}

function show(photo) {
  URL.revokeObjectURL($("preview").src);
  $("preview").src = URL.createObjectURL(photo);
  $("preview").hidden = false;
  $("invite").hidden = true;
}

let latest = 0; // the answer to an earlier photo must not replace that to a later one

async function classify(photo) {
  const turn = ++latest;
  show(photo);
  say("problem", "");
  $("predictions").replaceChildren();
  $("sure").hidden = true;
  say("state", "Classifying…");
  $("answer").setAttribute("aria-busy", "true");
  const outcome = await ask(photo);
  if (turn !== latest) return;
  $("answer").setAttribute("aria-busy", "false");
  say("state", "");
  if (outcome.problem) return say("problem", outcome.problem);
  tell(outcome.answer);
  $("predictions").replaceChildren(...outcome.predictions.map(bar));
}

/** The predictions, or the problem as a sentence. */
async function ask(photo) {
  const form = new FormData();
  form.append("image", photo);
  try {
    const answer = await fetch("/v1/classify", { method: "POST", body: form, headers: headers() });
    const document = await answer.json();
    return answer.ok ? document : { problem: document.detail };
  } catch {
    return { problem: "The gateway did not answer. The photo may be too large, or the connection is down." };
  }
}

$("preview").addEventListener("error", () => {
  // not a picture, or in a format that this browser cannot show
  $("preview").hidden = true;
  $("invite").hidden = false;
});
$("ask-key").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", $("key").value.trim());
  introduceModel();
});
$("file").addEventListener("change", (event) => event.target.files[0] && classify(event.target.files[0]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  $("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
  });
}
$("drop").addEventListener("drop", (event) => event.dataTransfer.files[0] && classify(event.dataTransfer.files[0]));
document.addEventListener("paste", (event) => event.clipboardData.files[0] && classify(event.clipboardData.files[0]));

introduceModel();
