/** The service: requests, refusals in words, the token, and the connection of a live voice. */

const KEPT = "emodag.token"; // until the tab is closed
let token = sessionStorage.getItem(KEPT) ?? "";

export const useToken = (given) => {
  token = given;
  sessionStorage.setItem(KEPT, given);
};

/** A refusal, with what would be accepted instead. */
export class Problem extends Error {
  constructor(message, { code = "", accepted = "", after = "" } = {}) {
    super(message);
    Object.assign(this, { code, accepted, after });
  }
}

const UNREACHED = "The service cannot be reached";

/** The JSON that a path answers. `file` is sent as the part of that name. */
export const ask = async (path, { file, signal } = {}) => {
  const request = { signal, headers: token ? { Authorization: `Bearer ${token}` } : {} };
  if (file) {
    request.method = "POST";
    request.body = new FormData();
    request.body.append("file", file, file.name);
  }
  let response;
  try {
    response = await fetch(path, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(UNREACHED, { code: "unreached", accepted: "a service that runs: emodag serve" });
  }
  const content = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    if (response.ok) throw new Problem("The answer of the service broke off", { code: "broken_off" });
    return {};
  });
  if (response.ok) return content;
  const { message = `The service answered ${response.status}`, ...rest } = content.error ?? {};
  throw new Problem(message, { ...rest, after: response.headers.get("Retry-After") ?? "" });
};

/**
 * Open the connection of a live voice; samples are sent as Float32Array.
 * @param {number} rate of the samples; Hz
 * @param {{heard: function(object), failed: function(Problem)}} calls what to do with answers, and with the one refusal
 */
export const converse = (rate, { heard, failed }) => {
  const address = new URL(`api/live?rate=${rate}&encoding=f32le`, document.baseURI);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address, token ? ["emodag", `bearer.${token}`] : ["emodag"]);
  let open = false, over = false;
  const end = (problem) => {
    if (over) return;
    over = true;
    socket.close();
    if (problem) failed(problem);
  };
  socket.addEventListener("open", () => (open = true));
  socket.addEventListener("message", (event) => {
    const answer = JSON.parse(event.data);
    if (answer.error) end(new Problem(answer.error.message, answer.error));
    else if (!over) heard(answer);
  });
  // Browsers do not tell a page why a connection was refused.
  socket.addEventListener("close", () =>
    end(open ? new Problem("The connection was lost", { code: "lost" }) : new Problem(`${UNREACHED} by a live voice`, {
      code: "unreached", accepted: "a service that runs, with the token that it asks for",
    })));
  return {
    send: (samples) => socket.readyState === WebSocket.OPEN && socket.send(samples),
    close: () => end(),
  };
};
