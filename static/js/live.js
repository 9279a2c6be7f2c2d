/**
 * The live store: one websocket a page, one picture of the tenant's state, kept in step by sequence number.
 *
 * Frames arrive as a snapshot and then as deltas. A delta whose number is not the next one means that frames were
 * dropped, so the store asks for a snapshot and holds later deltas until it comes. Subscribers are of two kinds:
 * `on(prefix, fn)` is called once per drawn frame with everything that changed (pages), `onData(prefix, fn)` at once
 * for every frame (charts, which must lose no sample while the tab is hidden or paused).
 *
 * Phases: connecting, live, stale (socket open, no tick for 3 s), reconnecting, polling (HTTP every 2 s while the
 * socket cannot be had), closed (signed out or no access; only a new sign-in helps).
 */

const STALE_ms = 3000;
const POLL_ms = 2000;
const BACKOFF_FIRST_ms = 400;
const BACKOFF_LAST_ms = 10_000;
const FAILURES_BEFORE_POLLING = 2;
const SNAPSHOT_PATIENCE_ms = 3000;
const SILENCE_ms = 15_000; // an open socket that says nothing for so long is a dead one
const HELD_DELTAS = 64;
const CALM_REDRAW_ms = 5000;
const TICK_BEACON_SHARE = 0.01;
const CLOSE_SIGNED_OUT = 4401;
const CLOSE_NO_ACCESS = 4403;
const REASONS = new Set(["signed_out", "no_access", "second_factor_needed"]);

const calm = matchMedia("(prefers-reduced-motion: reduce)");

class LiveStore {
  #socket = null;
  #state = new Map();
  #seq = null;
  #t = null;
  #awaiting = false;
  #held = [];
  #askedAt = 0;
  #failures = 0;
  #retryTimer = 0;
  #pollTimer = 0;
  #tickAt = null;
  #tickT = null;
  #frameAt = 0;
  #phase = "connecting";
  #reason = null;
  #hubRedis = "up";
  #paused = false;
  #pending = new Map();
  #drawWanted = false;
  #firstDraw = false;
  #drawnAt = 0;
  #pageListeners = new Set();
  #dataListeners = new Set();
  #connectionListeners = new Set();
  #url = "/ws/live/";
  #pollUrl = "/live/snapshot.json";

  /** Connect; call once. `url` and `pollUrl` are paths on this host. */
  start({ url = this.#url, pollUrl = this.#pollUrl } = {}) {
    this.#url = url;
    this.#pollUrl = pollUrl;
    this.#connect();
    setInterval(() => this.#watch(), 500);
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.#watch();
      this.#wantDraw();
      if (this.#phase === "reconnecting" || this.#phase === "polling") this.#connect();
    });
    addEventListener("online", () => this.#phase !== "closed" && this.#connect());
    addEventListener("pagehide", () => this.#socket?.close());
    addEventListener("pageshow", (event) => event.persisted && this.#phase !== "closed" && this.#connect());
  }

  /** Whether a snapshot has come: from then on a key that is not here does not exist. */
  get ready() {
    return this.#seq !== null;
  }

  get(key) {
    return this.#state.get(key) ?? null;
  }

  /** [key, value] pairs whose key starts with the prefix. */
  entries(prefix = "") {
    return [...this.#state].filter(([key]) => key.startsWith(prefix));
  }

  /**
   * Call `fn(changes, {seq, t, first})` once per drawn frame; `changes` is a Map of key → value or null. The first
   * picture is told to everybody, with an empty Map where the prefix has no key. Returns the undo.
   */
  on(prefix, fn) {
    return subscribe(this.#pageListeners, { prefix, fn });
  }

  /** The same, at once for every frame, hidden or paused or not. Draw nothing in it. */
  onData(prefix, fn) {
    return subscribe(this.#dataListeners, { prefix, fn });
  }

  /** Call `fn(connection)` now and at each change of phase, age or platform state. */
  onConnection(fn) {
    fn(this.connection);
    return subscribe(this.#connectionListeners, fn);
  }

  get connection() {
    const status = this.get("status");
    return {
      phase: this.#phase,
      reason: this.#reason,
      paused: this.#paused,
      age_ms: this.#tickAt === null ? null : performance.now() - this.#tickAt,
      t: this.#t,
      redis: this.#hubRedis === "down" || status?.redis === "down" ? "down" : "up",
      database: status?.database === "down" ? "down" : "up",
    };
  }

  /** Hold the page still. Data keeps arriving and is drawn on resume. */
  pause() {
    this.#paused = true;
    this.#tell();
  }

  resume() {
    this.#paused = false;
    this.#tell();
    this.#wantDraw();
  }

  // -- the socket ---------------------------------------------------------------------------------

  #connect() {
    clearTimeout(this.#retryTimer);
    if (this.#socket && this.#socket.readyState < WebSocket.CLOSING) return;
    const address = new URL(this.#url, location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    this.#socket = socket;
    this.#frameAt = performance.now();
    socket.onopen = () => {
      this.#awaiting = true;
      this.#held = [];
      this.#askedAt = performance.now();
    };
    socket.onmessage = (event) => this.#socket === socket && this.#receive(event.data);
    socket.onclose = (event) => this.#socket === socket && this.#lost(event.code);
  }

  #lost(code) {
    this.#socket = null;
    if (this.#phase === "closed") return;
    if (code === CLOSE_SIGNED_OUT) return this.#end("signed_out");
    if (code === CLOSE_NO_ACCESS) return this.#end("no_access");
    this.#failures += 1;
    if (this.#phase !== "polling") this.#enter("reconnecting");
    if (this.#failures >= FAILURES_BEFORE_POLLING) this.#startPolling();
    // Full jitter: a thousand pages that lost the same server must not come back in the same instant.
    const ceiling = Math.min(BACKOFF_LAST_ms, BACKOFF_FIRST_ms * 2 ** (this.#failures - 1));
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.#connect(), ceiling * (0.5 + Math.random() / 2));
  }

  /** Give up a socket whose other end may be gone without a word; its own close could take minutes. */
  #drop() {
    const socket = this.#socket;
    socket.onclose = null;
    socket.close();
    this.#lost(null);
  }

  #end(reason) {
    this.#reason = REASONS.has(reason) ? reason : "signed_out";
    this.#stopPolling();
    clearTimeout(this.#retryTimer);
    this.#enter("closed");
    this.#socket?.close();
  }

  // -- frames ---------------------------------------------------------------------------------------

  #receive(data) {
    this.#frameAt = performance.now();
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return this.#ask();
    }
    if (frame?.type === "snapshot") this.#takeSnapshot(frame);
    else if (frame?.type === "delta") this.#takeDelta(frame);
    else if (frame?.type === "status") this.#takeStatus(frame);
    else if (frame?.type === "bye") this.#end(frame.reason);
  }

  #takeSnapshot(frame) {
    this.#failures = 0;
    const changes = new Map(Object.entries(frame.state ?? {}));
    for (const key of this.#state.keys()) if (!changes.has(key)) changes.set(key, null);
    const first = this.#seq === null;
    this.#awaiting = false;
    this.#apply(changes, frame, first);
    const held = this.#held;
    this.#held = [];
    for (const delta of held) if (delta.seq > this.#seq) this.#takeDelta(delta);
  }

  #takeDelta(frame) {
    if (this.#awaiting) {
      this.#held = [...this.#held.slice(1 - HELD_DELTAS), frame];
    } else if (frame.seq === this.#seq + 1) {
      this.#apply(new Map(Object.entries(frame.changes ?? {})), frame, false);
    } else if (frame.seq > this.#seq || frame.t > this.#t) {
      // Frames were dropped, or the server's counter started anew.
      this.#held = [frame];
      this.#ask();
    }
  }

  #takeStatus(frame) {
    this.#hubRedis = frame.redis === "down" ? "down" : "up";
    this.#tell();
  }

  #ask() {
    this.#awaiting = true;
    this.#askedAt = performance.now();
    this.#send({ type: "snapshot?" });
  }

  #send(frame) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  #apply(changes, frame, first) {
    this.#seq = frame.seq;
    this.#t = frame.t;
    for (const [key, value] of changes) {
      if (value === null) this.#state.delete(key);
      else this.#state.set(key, value);
      this.#pending.set(key, value);
    }
    this.#firstDraw ||= first;
    const meta = { seq: frame.seq, t: frame.t, first };
    emit(this.#dataListeners, changes, meta);
    const tick = changes.get("tick");
    // A tick that did not move since the last frame is no sign of life.
    if (tick && tick.t !== this.#tickT) this.#ticked(tick.t, frame.t);
    else if (changes.has("status")) this.#tell();
    const urgent = !first && [...changes.keys()].some((key) => key.startsWith("alert."));
    this.#wantDraw(urgent);
    if (frame.type === "delta" && (urgent || (changes.has("tick") && Math.random() < TICK_BEACON_SHARE))) {
      this.#beacon(frame);
    }
  }

  /** Both times are the server's, so their difference is the tick's age whatever this machine's clock says. */
  #ticked(tick_t, frame_t) {
    const age_ms = Math.max(0, frame_t - tick_t) || 0;
    this.#tickT = tick_t;
    this.#tickAt = performance.now() - age_ms;
    const open = this.#socket?.readyState === WebSocket.OPEN;
    if (age_ms > STALE_ms) this.#enter(open ? "stale" : "reconnecting");
    else this.#enter(open ? "live" : "polling");
  }

  // -- drawing ----------------------------------------------------------------------------------------

  #wantDraw(urgent = false) {
    if (this.#drawWanted || this.#paused || document.hidden) return;
    if (this.#pending.size === 0 && !this.#firstDraw) return;
    const wait = calm.matches && !urgent && this.#drawnAt ? this.#drawnAt + CALM_REDRAW_ms - performance.now() : 0;
    if (wait > 0) return; // the watch looks again twice a second
    this.#drawWanted = true;
    requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#drawWanted = false;
    if (this.#paused) return;
    const changes = this.#pending;
    this.#pending = new Map();
    this.#drawnAt = performance.now();
    const first = this.#firstDraw;
    this.#firstDraw = false;
    emit(this.#pageListeners, changes, { seq: this.#seq, t: this.#t, first });
  }

  /** Tell the server when this frame stood on the screen. Not while hidden or paused: nothing was shown then. */
  #beacon(frame) {
    if (document.hidden || this.#paused || (calm.matches && !this.#drawWanted)) return;
    // The first callback runs beside the drawing, the second after that picture was handed to the screen.
    requestAnimationFrame(() => requestAnimationFrame(() => {
      this.#send({ type: "rendered", seq: frame.seq, t: frame.t, latency_ms: Math.max(0, Date.now() - frame.t) });
    }));
  }

  // -- health -------------------------------------------------------------------------------------------

  #watch() {
    if (this.#phase === "closed") return;
    const now = performance.now();
    if (this.#socket && now - this.#frameAt > SILENCE_ms) this.#drop();
    const open = this.#socket?.readyState === WebSocket.OPEN;
    if (open && this.#awaiting && now - this.#askedAt > SNAPSHOT_PATIENCE_ms) this.#ask();
    if (this.#phase === "live" && now - this.#tickAt > STALE_ms) this.#enter("stale");
    else if (this.#phase === "connecting" && open && now - this.#askedAt > STALE_ms) this.#enter("stale");
    else if (this.#phase === "reconnecting" && open && this.#seq !== null && !this.#awaiting) this.#enter("stale");
    if (this.#phase === "polling" && now - this.#tickAt > STALE_ms + POLL_ms) this.#enter("reconnecting");
    this.#wantDraw();
    this.#tell();
  }

  #enter(phase) {
    if (phase === "live" || phase === "stale") this.#stopPolling();
    if (phase === this.#phase) return;
    this.#phase = phase;
    this.#tell();
  }

  #tell() {
    const connection = this.connection;
    document.body.dataset.connection = connection.phase;
    for (const fn of this.#connectionListeners) fn(connection);
  }

  // -- polling ----------------------------------------------------------------------------------------------

  #startPolling() {
    if (!this.#pollTimer) this.#pollTimer = setTimeout(() => this.#poll(), 0);
  }

  #stopPolling() {
    clearTimeout(this.#pollTimer);
    this.#pollTimer = 0;
  }

  async #poll() {
    try {
      const answer = await fetch(this.#pollUrl, { headers: { Accept: "application/json" }, cache: "no-store", signal: AbortSignal.timeout(4000) });
      if (answer.status === 401 || answer.redirected) return this.#end("signed_out");
      if (answer.status === 403) return this.#end((await answer.json()).code === "second_factor_needed" ? "second_factor_needed" : "no_access");
      if (answer.ok && this.#pollTimer) this.#takePolled(await answer.json());
    } catch {
      // The server cannot be reached: the phase stays as it is and the next poll tries again.
    }
    if (this.#pollTimer) this.#pollTimer = setTimeout(() => this.#poll(), POLL_ms);
  }

  #takePolled(frame) {
    const failures = this.#failures;
    this.#takeSnapshot({ ...frame, type: "snapshot" });
    this.#failures = failures; // an answer by HTTP says nothing about the socket
  }
}

function subscribe(set, entry) {
  set.add(entry);
  return () => set.delete(entry);
}

function emit(listeners, changes, meta) {
  for (const { prefix, fn } of [...listeners]) {
    const mine = prefix === "" ? changes : new Map([...changes].filter(([key]) => key.startsWith(prefix)));
    if (mine.size === 0 && !meta.first) continue;
    try {
      fn(mine, meta);
    } catch (error) {
      console.error(error); // one broken panel must not stop the others
    }
  }
}

export const store = new LiveStore();
