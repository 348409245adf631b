/** The player: the sound, its waveform, and where it is. */

import { clock, id } from "./common.js";

const sound = id("sound"), canvas = id("wave"), position = id("position");
const POINTS = 1600; // of the waveform
const RATE = 8000; // Hz, that is enough to draw it

const followers = new Set();
let peaks = null;
let until = Infinity; // where what was asked for ends; s
let length = 0; // s

/** Call `follow(seconds)` whenever another moment is heard. */
export const follow = (call) => followers.add(call);

/** Play from a moment to another; s. */
export const play = (from, to = Infinity) => {
  until = to;
  sound.currentTime = Math.max(0, Math.min(from, length - 0.05));
  sound.play().catch(() => {});
};

/** Decode a file: its duration in seconds, and peaks of its waveform; null if this browser cannot. */
export const decoded = async (file) => {
  try {
    const buffer = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
    const channels = Array.from({ length: buffer.numberOfChannels }, (_, channel) => buffer.getChannelData(channel));
    const points = Math.max(1, Math.min(POINTS, buffer.length));
    const found = Float32Array.from({ length: points }, (_, point) => {
      const bound = (number) => Math.floor((number * buffer.length) / points);
      let most = 0;
      for (const channel of channels) {
        for (let at = bound(point); at < bound(point + 1); at += 1) most = Math.max(most, Math.abs(channel[at]));
      }
      return most;
    });
    return { duration: buffer.duration, peaks: found };
  } catch {
    return null;
  }
};

/** Take a file into the player, with what `decoded` found of it. */
export const load = (file, found) => {
  sound.pause();
  if (sound.src) URL.revokeObjectURL(sound.src);
  sound.src = found ? URL.createObjectURL(file) : "";
  peaks = found?.peaks ?? null;
  until = Infinity;
  id("player").hidden = !found;
  id("mute").hidden = Boolean(found);
  setLength(found?.duration ?? 0);
};

/** What the service found to be the duration; s. */
export const setLength = (seconds) => {
  length = seconds;
  position.max = seconds;
  id("duration").textContent = clock(seconds);
  show(0);
};

const show = (time) => {
  position.value = time;
  position.setAttribute("aria-valuetext", `${clock(time)} of ${clock(length)}`);
  id("time").textContent = clock(time);
  draw(time);
  for (const call of followers) call(time);
};

const halt = () => {
  if (sound.currentTime < until) return;
  until = Infinity;
  sound.pause();
};

const run = () => {
  halt();
  show(sound.currentTime);
  if (!sound.paused) requestAnimationFrame(run);
};

const draw = (time) => {
  const { clientWidth: width, clientHeight: height } = canvas, ratio = devicePixelRatio;
  if (!peaks || !width) return;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const pen = canvas.getContext("2d"), look = getComputedStyle(canvas);
  pen.scale(ratio, ratio);
  const loudest = Math.max(0.05, ...peaks), bars = Math.floor(width / 3);
  for (let bar = 0; bar < bars; bar += 1) {
    const first = Math.floor((bar * peaks.length) / bars), last = Math.ceil(((bar + 1) * peaks.length) / bars);
    const own = peaks.subarray(first, Math.max(first + 1, last));
    const tall = Math.max(2, (Math.max(...own) / loudest) * height);
    pen.fillStyle = look.getPropertyValue((bar + 0.5) / bars < time / length ? "--accent" : "--edge");
    pen.fillRect(bar * 3, (height - tall) / 2, 2, tall);
  }
};

id("play").addEventListener("click", () => {
  until = Infinity;
  if (sound.paused) sound.play().catch(() => {});
  else sound.pause();
});
position.addEventListener("input", () => {
  until = Infinity;
  sound.currentTime = Number(position.value);
  show(sound.currentTime);
});
sound.addEventListener("play", () => {
  document.body.classList.add("playing");
  id("play").setAttribute("aria-label", "Pause");
  run();
});
sound.addEventListener("pause", () => {
  document.body.classList.remove("playing");
  id("play").setAttribute("aria-label", "Play");
});
sound.addEventListener("timeupdate", halt); // where the page is not seen, no frame is drawn
sound.addEventListener("seeked", () => show(sound.currentTime));
new ResizeObserver(() => draw(sound.currentTime)).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(sound.currentTime));
