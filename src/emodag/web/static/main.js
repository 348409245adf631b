/** The page: a recording, a microphone or a live voice in; what was heard in it out. */

import * as card from "./card.js";
import * as live from "./live.js";
import * as picture from "./picture.js";
import * as tables from "./tables.js";
import * as timeline from "./timeline.js";
import * as words from "./words.js";
import { bars, told } from "./bars.js";
import { element, id } from "./common.js";
import { LONGEST, levelOf, listen } from "./microphone.js";
import { decoded, load, setLength } from "./player.js";
import { Problem, ask, converse, useToken } from "./service.js";

/** Longer recordings are taken as conversations unless the options say otherwise; s. */
const CLIP = 10;

let model = null; // the card
let current = null; // the file that is shown
let asking = new AbortController();
let result = null; // {name, writers}: how to write what is shown, by kind of file
let hearing = null; // ends what the microphone is used for

// What is said of what happens ----------------------------------------------------------------------------------------

const say = (text, { busy = false } = {}) => {
  id("status").textContent = text;
  id("status").classList.toggle("busy", busy);
};

const complain = (error) => {
  if (error.name === "AbortError") return;
  if (!(error instanceof Problem)) throw error;
  say("");
  id("access").hidden = error.code !== "no_token" && id("access").hidden;
  const sentence = `${error.message[0].toUpperCase()}${error.message.slice(1)}`;
  const lines = [
    element("b", { text: sentence }),
    error.accepted && element("p", { text: `Accepted: ${error.accepted}.` }),
    error.after && element("p", { text: `Try again in ${error.after} s.` }),
  ];
  id("problem").replaceChildren(...lines.filter(Boolean));
  id("problem").hidden = false;
};

const begin = () => {
  asking.abort();
  asking = new AbortController();
  id("problem").hidden = true;
  return asking.signal;
};

// A recording ---------------------------------------------------------------------------------------------------------

const examine = async (file) => {
  const signal = begin();
  current = file;
  id("result").hidden = true;
  say(`Reading ${file.name} …`, { busy: true });
  try {
    if (!file.size) throw new Problem(`${file.name} is empty`, { accepted: "a recording" });
    await modelThere();
    const sound = await decoded(file);
    if (signal.aborted) return;
    load(file, sound);
    const wanted = id("kind").value;
    if (wanted === "conversation" || (wanted === "auto" && sound?.duration > CLIP)) await asConversation(file, signal);
    else await asClip(file, signal, wanted === "auto" && !sound);
  } catch (error) {
    complain(error);
  }
};

/** Show first what is quick, and then what was said, for writing that down takes longest. */
const asClip = async (file, signal, mayBeLong) => {
  say("Listening to it …", { busy: true });
  let quick;
  if (isWritten()) {
    try {
      quick = await ask("api/predict", { file, signal });
    } catch (error) {
      if (!mayBeLong || error.code !== "too_long") throw error;
    }
    if (mayBeLong && !(quick?.duration <= CLIP)) return asConversation(file, signal);
    showClip(quick, null);
    say("Writing down what is said …", { busy: true });
  }
  try {
    const whole = await ask("process_audio", { file, signal });
    showClip(whole.Details, whole);
  } catch (error) {
    if (!quick) throw error;
    showClip({ ...quick, ...unwritten(error) }, null);
  }
  return done();
};

const asConversation = async (file, signal) => {
  const speakers = id("speakers").value, query = speakers ? `speakers=${speakers}&` : "";
  say("Finding out who speaks, and how …", { busy: true });
  let quick;
  if (isWritten()) {
    quick = await ask(`api/analyze?${query}`, { file, signal });
    showConversation(quick, { pending: true });
    say("Writing down what is said …", { busy: true });
  }
  try {
    showConversation(await ask(`api/analyze?${query}words=true`, { file, signal }), { pending: false });
  } catch (error) {
    if (!quick) throw error;
    showConversation({ ...quick, interpretation: unwritten(error).interpretation }, { pending: false });
  }
  done();
};

/** What stands in place of words where only the emotions could be had. */
const unwritten = (error) => {
  if (!(error instanceof Problem)) throw error;
  const note = `Without words: ${error.message}.`;
  return {
    transcription: { text: "", backend: "none", words: [], note },
    interpretation: { text: "", source: "none", model: "", note },
  };
};

const isWritten = () => model.transcription !== "none" || model.language_model !== "";

/** Who does not see the heading is told it. */
const done = () => {
  say("Done.");
  id("status").append(element("span", { class: "apart", text: ` ${id("finding").textContent}` }));
};

/** What clips and conversations have in common. */
const show = (name, [title, summary], notes, duration) => {
  id("result").hidden = false;
  id("recording").textContent = name;
  id("finding").textContent = title;
  id("summary").textContent = summary;
  id("notes").replaceChildren(...notes.map((text) => element("li", { text })));
  setLength(duration);
  if (id("result").getBoundingClientRect().top > innerHeight / 2) id("result").scrollIntoView();
};

/** `whole` is the answer with words, null until it is there. */
const showClip = (answer, whole) => {
  const heard = told(answer, model.unknown_below), silent = answer.emotion === null;
  show(answer.file, heard, answer.notes, answer.duration);
  id("timeline").hidden = id("people").hidden = true;
  id("odds").hidden = silent;
  const look = { unsure: answer.emotion === "unknown", threshold: model.unknown_below };
  id("bars").replaceChildren(bars(answer.probabilities, look));
  const { transcription = null, interpretation = null } = answer;
  id("words").hidden = silent;
  id("transcript").replaceChildren(...words.ofClip(transcription, model.transcription));
  id("interpretation").replaceChildren(...words.meaning(interpretation));
  offer(answer.file, {
    json: () => JSON.stringify(whole ?? answer, null, 2),
    csv: () => tables.ofClip(answer, model.emotions),
    png: () => picture.ofClip(answer, heard, card.basis(model), model.unknown_below),
  });
};

const showConversation = (analysis, { pending }) => {
  const heard = timeline.told(analysis), silent = !analysis.turns.length;
  show(analysis.recording, heard, analysis.notes, analysis.duration);
  id("odds").hidden = true;
  id("timeline").hidden = id("people").hidden = id("words").hidden = silent;
  if (!silent) timeline.show(id("timeline"), analysis, model.emotions);
  id("people").replaceChildren(...timeline.people(analysis.speakers));
  id("transcript").replaceChildren(...words.ofTurns(analysis.turns, { pending, backend: model.transcription }));
  id("interpretation").replaceChildren(...words.meaning(pending ? null : analysis.interpretation));
  offer(analysis.recording, {
    json: () => JSON.stringify(analysis, null, 2),
    csv: () => tables.ofTurns(analysis, model.emotions),
    rttm: () => tables.rttm(analysis),
    png: () => picture.ofTurns(analysis, heard, card.basis(model), model.emotions),
  });
};

// Downloads -----------------------------------------------------------------------------------------------------------

const offer = (name, writers) => {
  result = { name: tables.stem(name), writers };
  for (const button of document.querySelectorAll("[data-save]")) button.hidden = !(button.dataset.save in writers);
};

const save = async (kind) => {
  const { name, writers } = result;
  const address = URL.createObjectURL(new Blob([await writers[kind]()]));
  const link = element("a", { download: `${name}.${kind}`, href: address });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
};

// The microphone ------------------------------------------------------------------------------------------------------

const STATUS = {
  record: "Recording, for up to four minutes.",
  live: "Listening. When you stop, what was heard is judged as a whole.",
};
const LABELS = { record: ["Record", "Stop"], live: ["Listen live", "Stop"] };

const pressed = (name, on) => {
  const button = id(name);
  button.setAttribute("aria-pressed", String(on));
  button.querySelector("span").textContent = LABELS[name][Number(on)];
  for (const other of ["choose", "record", "live"]) id(other).disabled = on && other !== name;
};

/** Hear the microphone until it is pressed again; `connect(rate, stop)` says what else becomes of its samples. */
const hear = async (name, connect) => {
  if (hearing) {
    hearing();
    return;
  }
  begin();
  say("Waiting for the microphone …", { busy: true });
  pressed(name, true);
  hearing = () => {}; // until there is something to end
  let line = null, count = 0;
  try {
    await modelThere();
    const microphone = await listen((samples) => {
      count += samples.length;
      live.level(levelOf(samples), count / microphone.rate);
      line?.send(samples);
      if (name === "record" && count / microphone.rate >= LONGEST) hearing?.();
    });
    const stop = () => {
      hearing = null;
      const file = microphone.stop();
      line?.close();
      live.close();
      pressed(name, false);
      return file;
    };
    hearing = () => examine(stop());
    line = connect(microphone.rate, stop);
    id("result").hidden = true;
    live.open({ judging: name === "live" });
    say(STATUS[name]);
  } catch (error) {
    hearing = null;
    pressed(name, false);
    complain(error);
  }
};

const lineOf = (rate, stop) => converse(rate, {
  heard: (answer) => live.show(answer, model.unknown_below),
  failed: (problem) => {
    stop();
    complain(problem);
  },
});

// The model -----------------------------------------------------------------------------------------------------------

const modelThere = async () => {
  if (model) return;
  model = await ask("api/model");
  id("access").hidden = true;
  id("card").replaceChildren(card.drawn(model));
  id("card").removeAttribute("aria-busy");
  for (const each of document.querySelectorAll("[data-basis]")) each.textContent = card.basis(model);
  id("privacy").textContent = model.language_model
    ? `This service keeps nothing. What is said and what was heard, but no sound, goes to the language model ${
        model.language_model}, which writes the text.`
    : "This service keeps nothing and sends nothing on.";
};

// What people do ------------------------------------------------------------------------------------------------------

id("choose").addEventListener("click", () => id("file").click());
id("file").addEventListener("change", ({ target }) => {
  if (target.files.length) examine(target.files[0]);
  target.value = ""; // so that the same file can be chosen again
});
id("record").addEventListener("click", () => hear("record", () => null));
id("live").addEventListener("click", () => hear("live", lineOf));
for (const option of ["kind", "speakers"]) {
  id(option).addEventListener("change", () => current && !hearing && examine(current));
}
for (const button of document.querySelectorAll("[data-save]")) {
  button.addEventListener("click", () => save(button.dataset.save));
}
id("access").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(id("token").value);
  id("problem").hidden = true;
  modelThere().catch(complain);
});

let over = 0; // elements that what is dragged is over
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("dragenter", () => id("drop").classList.toggle("over", (over += 1) > 0));
document.addEventListener("dragleave", () => id("drop").classList.toggle("over", (over -= 1) > 0));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  over = 0;
  id("drop").classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file && !hearing) examine(file);
});

modelThere().catch(complain);
