/** A result as a picture for a slide: light whatever the page is, with what its probabilities rest on. */

import {
  clock, counted, courses, kindOf, kindsIn, likely, nameOf, percent, probable, stepOf, strength, stretches,
  unjudged,
} from "./common.js";

const WIDTH = 1200, MARGIN = 40, SCALE = 2; // pixels
const INK = "#1d2129", FAINT = "#626b7b", LINE = "#e3e6eb", OPEN = "#7d8591";
const FONT = 'system-ui, "Segoe UI", Roboto, "Noto Sans", Arial, sans-serif';

/** The colour that the stylesheet gives an emotion. */
const colourOf = (kind) => {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.className = `of-${kind}`;
  const colour = getComputedStyle(probe).getPropertyValue("--colour");
  probe.remove();
  return colour;
};

/** A pen on a white sheet, in pixels of the picture. */
const sheet = (height) => {
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH * SCALE;
  canvas.height = height * SCALE;
  const pen = canvas.getContext("2d");
  pen.scale(SCALE, SCALE);
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, WIDTH, height);
  return [canvas, pen];
};

const ROOM = WIDTH - 2 * MARGIN;

const write = (pen, text, x, y, { size = 15, weight = 400, colour = INK, align = "left", most = ROOM } = {}) => {
  pen.font = `${weight} ${size}px ${FONT}`;
  pen.fillStyle = colour;
  pen.textAlign = align;
  let shown = text;
  while (pen.measureText(shown).width > most && shown.length > 2) shown = `${shown.slice(0, -2)}…`;
  pen.fillText(shown, x, y);
  return pen.measureText(shown).width;
};

/** A text in as many lines as it needs. */
const lines = (pen, text, y, style) => {
  pen.font = `400 ${style.size}px ${FONT}`;
  const rows = [""];
  for (const word of text.split(" ")) {
    const longer = `${rows.at(-1)} ${word}`.trim();
    if (pen.measureText(longer).width > ROOM) rows.push(word);
    else rows[rows.length - 1] = longer;
  }
  rows.forEach((row, number) => write(pen, row, MARGIN, y + 1.4 * style.size * number, style));
};

const fill = (pen, kind, [x, y, width, height], share = 1) => {
  if (kind === "unknown") {
    pen.save();
    pen.beginPath();
    pen.rect(x, y, width, height);
    pen.clip();
    pen.strokeStyle = OPEN;
    pen.lineWidth = 1.2;
    for (let at = -height; at < width; at += 6) {
      pen.beginPath();
      pen.moveTo(x + at, y + height);
      pen.lineTo(x + at + height, y);
      pen.stroke();
    }
    pen.strokeRect(x, y, width, height);
    pen.restore();
    return;
  }
  pen.globalAlpha = share;
  pen.fillStyle = kind === "unjudged" ? "#b5bac2" : colourOf(kind);
  pen.fillRect(x, y, width, height);
  pen.globalAlpha = 1;
};

const heading = (pen, [title, summary], name) => {
  let size = 28;
  do pen.font = `650 ${size}px ${FONT}`;
  while (pen.measureText(title).width > ROOM && (size -= 1) > 16);
  write(pen, title, MARGIN, 58, { size, weight: 650 });
  write(pen, `${name} · ${summary}`, MARGIN, 88, { colour: FAINT });
};

const png = (canvas) => new Promise((resolve) => canvas.toBlob(resolve, "image/png"));

/** The bars of a clip. */
export const ofClip = (answer, told, basis, threshold) => {
  const shares = likely(answer.probabilities), bottom = 120 + 40 * shares.length;
  const [canvas, pen] = sheet(bottom + 90);
  heading(pen, told, answer.file);
  const left = 170, room = WIDTH - left - MARGIN - 80;
  shares.forEach(([name, share], row) => {
    const y = 120 + 40 * row;
    write(pen, name, left - 16, y + 19, { size: 16, weight: row ? 500 : 650, align: "right", most: 130 });
    fill(pen, name, [left, y, Math.max(2, room * share), 26], answer.emotion === "unknown" ? 0.5 : 1);
    write(pen, probable(share), left + room * share + 10, y + 19, { size: 16, weight: row ? 500 : 650 });
  });
  if (shares.length) {
    pen.setLineDash([5, 4]);
    pen.strokeStyle = FAINT;
    pen.beginPath();
    pen.moveTo(left + room * threshold, 112);
    pen.lineTo(left + room * threshold, bottom);
    pen.stroke();
    const style = { size: 13, colour: FAINT, align: "center" };
    write(pen, `sure from ${percent(threshold)}`, left + room * threshold, bottom + 16, style);
  }
  lines(pen, basis, bottom + 48, { size: 13, colour: FAINT });
  return png(canvas);
};

/** The timeline of a conversation. */
export const ofTurns = (analysis, told, basis, emotions) => {
  const LANE = 130, top = 140, left = 190, room = WIDTH - left - MARGIN, duration = Math.max(analysis.duration, 0.001);
  const bottom = top + LANE * analysis.speakers.length;
  const [canvas, pen] = sheet(bottom + 130);
  heading(pen, told, analysis.recording);
  const place = (time) => left + (room * time) / duration;
  const step = stepOf(duration / 10);
  pen.strokeStyle = LINE;
  for (let time = 0; time <= duration; time += step) {
    pen.strokeRect(place(time), top - 12, 0, bottom - top + 12);
    write(pen, clock(time), place(time), bottom + 18, { size: 13, colour: FAINT, align: "center" });
  }
  analysis.speakers.forEach((speaker, number) => {
    const y = top + LANE * number, own = analysis.turns.filter((turn) => turn.speaker === speaker.name);
    const beside = { align: "right", most: left - 18 - MARGIN / 2 };
    write(pen, speaker.name, left - 18, y + 24, { size: 16, weight: 650, ...beside });
    const part = `${clock(speaker.speech)} in ${counted(speaker.turns, "turn")}`;
    write(pen, part, left - 18, y + 44, { size: 13, colour: FAINT, ...beside });
    for (const turn of own) {
      const width = Math.max(2, place(turn.end) - place(turn.start) - 1);
      for (const { start, end } of unjudged(turn)) {
        fill(pen, "unjudged", [place(start), y + 16, Math.max(2, place(end) - place(start) - 1), 8]);
      }
      for (const each of stretches(turn)) {
        fill(pen, each.emotion, [place(each.start), y, place(each.end) - place(each.start) - 0.5, 40], strength(each));
      }
      if (turn.feeling && width > 62) {
        const style = { size: 12, align: "center", most: width };
        write(pen, nameOf(kindOf(turn.feeling)), place(turn.start) + width / 2, y + 55, style);
      }
    }
    pen.strokeStyle = LINE;
    pen.strokeRect(left, y + 86, room, 0);
    pen.strokeStyle = INK;
    pen.lineWidth = 1.6;
    for (const run of courses(own)) {
      pen.beginPath();
      for (const [time, value] of run) pen.lineTo(place(time), y + 86 - 22 * value);
      pen.stroke();
    }
    for (const point of analysis.turning_points.filter((each) => each.speaker === speaker.name)) {
      pen.strokeRect(place(point.time), y - 8, 0, 104);
      write(pen, `▾ ${point.before} → ${point.after}`, place(point.time) - 4, y - 12, { size: 12, weight: 600 });
    }
    pen.lineWidth = 1;
  });
  let x = left;
  for (const kind of kindsIn(analysis.turns, emotions)) {
    fill(pen, kind, [x, bottom + 38, 14, 14]);
    x += 40 + write(pen, nameOf(kind), x + 20, bottom + 50, { size: 13 });
  }
  pen.strokeStyle = INK;
  pen.strokeRect(x, bottom + 45, 22, 0);
  write(pen, "arousal", x + 28, bottom + 50, { size: 13 });
  lines(pen, basis, bottom + 84, { size: 13, colour: FAINT });
  return png(canvas);
};
