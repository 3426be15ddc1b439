// The live line to the simulator: a websocket that comes back by itself.

const FIRST_WAIT = 250;
const LONGEST_WAIT = 4000;

/**
 * Stay connected. `on` hears: state(connected), moved() when the simulator no longer knows this page, and every frame
 * by its type (hello, message, deleted, ...); `where()` is the query that says as whom to begin. Returns ask(request): a promise of the answer to a request.
 */
export function connect(on, where) {
  let socket = null;
  let wait = FIRST_WAIT;
  let number = 0;
  const asked = new Map();

  function open() {
    socket = new WebSocket(`ws://${location.host}/live${where()}`);
    socket.onmessage = (event) => {
      const frame = JSON.parse(event.data);
      if (frame.type === "hello") {
        wait = FIRST_WAIT;
        on.state(true);
      }
      const answer = asked.get(frame.nonce);
      if (answer) {
        asked.delete(frame.nonce);
        if (frame.type === "error") answer.reject(new Error(frame.text));
        else answer.resolve(frame);
      } else {
        on[frame.type]?.(frame);
      }
    };
    socket.onclose = async () => {
      on.state(false);
      for (const { reject } of asked.values()) reject(new Error("The connection was lost."));
      asked.clear();
      if (await moved()) return on.moved();
      setTimeout(open, wait);
      wait = Math.min(wait * 1.7, LONGEST_WAIT);
    };
  }

  /** Whether the simulator is there, but was started again and wants its new address opened. */
  async function moved() {
    try {
      return (await fetch("/", { method: "HEAD", redirect: "manual" })).status === 403;
    } catch {
      return false;
    }
  }

  open();
  return (request) =>
    new Promise((resolve, reject) => {
      if (socket.readyState !== WebSocket.OPEN) return reject(new Error("Not connected."));
      const nonce = ++number;
      asked.set(nonce, { resolve, reject });
      socket.send(JSON.stringify({ ...request, nonce }));
    });
}
