// Node's fetch and FormData. Arguments: URL, picture.
import { readFile } from "node:fs/promises";

const [url, path] = process.argv.slice(2);
const [one, six] = [`${url}/v1/classify`, `${url}/v1/classify/batch`];
const picture = await readFile(path);

function form(bytes, count = 1) {
  const form = new FormData();
  for (let at = 0; at < count; at++) form.append("image", new Blob([bytes], { type: "image/jpeg" }), "a.jpg");
  return form;
}

function chunked(body) {
  return { body: new Response(body).body, duplex: "half" };
}

function chunkedForm(count) {
  const response = new Response(form(picture, count));
  return { body: response.body, duplex: "half", headers: { "Content-Type": response.headers.get("Content-Type") } };
}

async function tell(what, address, request) {
  const answer = await (await fetch(address, { method: "POST", ...request })).text();
  const field = answer.includes('"detail"') ? "detail" : "label";
  const found = [...answer.matchAll(new RegExp(`"${field}":"([^"]*)"`, "g"))].map((match) => match[1]);
  console.log(`${what}\t${found.join(" ")}`);
}

await tell("raw sized", one, { body: picture });
await tell("raw chunked", one, chunked(picture));
await tell("form sized", one, { body: form(picture) });
await tell("form chunked", one, chunkedForm(1));
await tell("six sized", six, { body: form(picture, 6) });
await tell("six chunked", six, chunkedForm(6));
await tell("no picture", one, { body: form("This is text.") });
