/** What several modules need: elements, and numbers as people read them. */

/** An element with properties (`class` and attributes by name, `text`, `style` for custom properties) and children. */
export const element = (tag, { text, style = {}, ...attributes } = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) made.setAttribute(name, value);
  for (const [name, value] of Object.entries(style)) made.style.setProperty(name, value);
  if (text !== undefined) made.textContent = text;
  made.append(...children.filter(Boolean));
  return made;
};

export const id = (name) => document.getElementById(name);

/** A share of 0 to 1 in whole per cent; what is neither nothing nor everything is not told as such. */
export const percent = (share) => {
  if (share > 0 && share < 0.01) return "<1%";
  if (share < 1 && share > 0.99) return ">99%";
  return `${Math.round(100 * share)}%`;
};

/** A probability in per cent: never quite nothing nor everything, whatever it was rounded to. */
export const probable = (share) => percent(Math.min(0.9999, Math.max(0.0001, share)));

/** Seconds as m:ss, from an hour on as h:mm:ss. */
export const clock = (seconds) => {
  const whole = Math.floor(seconds), minutes = Math.floor(whole / 60);
  const two = (number) => String(number % 60).padStart(2, "0");
  return minutes < 60 ? `${minutes}:${two(whole)}` : `${Math.floor(minutes / 60)}:${two(minutes)}:${two(whole)}`;
};

export const counted = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;

/** Emotions with their probabilities, the most probable first. */
export const likely = (probabilities) => Object.entries(probabilities).sort((one, other) => other[1] - one[1]);

export const confidence = (feeling) => Math.max(...Object.values(feeling.probabilities));

/** Which class of the stylesheet holds the colour of a feeling; null is a feeling that was not judged. */
export const kindOf = (feeling) => (feeling === null ? "unjudged" : feeling.emotion);

/** How strong a colour is shown, 0.3 to 1: 0.3 where it is no surer than chance, as in `emodag analyze --html`. */
export const strength = (feeling) => {
  const chance = 1 / Object.keys(feeling.probabilities).length;
  return chance === 1 ? 1 : 0.3 + 0.7 * Math.min(1, Math.max(0, (confidence(feeling) - chance) / (1 - chance)));
};

/** A feeling in a few words. */
export const verdict = (feeling) => {
  if (feeling === null) return "not judged";
  return feeling.emotion === "unknown" ? "not sure" : `${feeling.emotion} ${probable(confidence(feeling))}`;
};

const ROUNDING = 1e-3; // s, as far as times are told

/** A turn cut into what was heard when: windows, each up to half-way to the next it meets, else the whole turn. */
export const stretches = (turn) => {
  const { start, end, windows, feeling } = turn;
  if (!windows.length) return feeling ? [{ ...feeling, start, end }] : [];
  const found = windows.map((each) => ({ ...each }));
  windows.slice(1).forEach((next, place) => {
    const last = windows[place];
    if (next.start > last.end + ROUNDING) return;
    found[place].end = found[place + 1].start = (last.start + last.end + next.start + next.end) / 4;
  });
  return found;
};

/** What of a turn was not judged, as stretches without a feeling. */
export const unjudged = (turn) => {
  const bounds = [turn.start, ...stretches(turn).flatMap((each) => [each.start, each.end]), turn.end];
  const spans = bounds.flatMap((start, place) => (place % 2 ? [] : [{ start, end: bounds[place + 1] }]));
  return spans.filter(({ start, end }) => end - start > ROUNDING);
};

/** Emotions that occur in turns, in the model's order, then unknown and unjudged. */
export const kindsIn = (turns, emotions) => {
  const feelings = turns.flatMap((turn) => [turn.feeling, ...stretches(turn), ...unjudged(turn).map(() => null)]);
  const heard = new Set(feelings.map(kindOf));
  return [...emotions, "unknown", "unjudged"].filter((kind) => heard.has(kind));
};

export const nameOf = (kind) => ({ unknown: "not sure", unjudged: "not judged" })[kind] ?? kind;

/** Values of arousal over time, as one line for each run of turns without a pause of more than `gap` seconds. */
export const courses = (turns, gap = 6) => {
  const runs = [];
  let end = -Infinity;
  for (const turn of turns) {
    for (const each of stretches(turn)) {
      if (each.start - end > gap) runs.push([]);
      // Flat within a stretch but for its ends, so that neighbours meet in a slope.
      const bend = Math.min(0.4, (each.end - each.start) / 4);
      runs.at(-1).push([each.start + bend, each.arousal], [each.end - bend, each.arousal]);
      end = each.end;
    }
  }
  return runs;
};

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600]; // s, between which people count

/** The shortest step that is no shorter than `least` seconds. */
export const stepOf = (least) => STEPS.find((each) => each >= least) ?? STEPS.at(-1);
