// A line to type on.  Enter runs, arrows bring back, Tab completes, Ctrl+L clears, Escape lets go of the keyboard.
// While a command runs one may type ahead, as on any terminal: the lines wait their turn.
function render({ model, el }) {
  el.innerHTML = model.get("html");
  const root = el.querySelector(".kw-terminal");
  const log = root.querySelector(".kw-log");
  const form = root.querySelector("form");
  const input = root.querySelector("input");
  const prompt = root.querySelector(".kw-prompt");
  const history = [];
  let at = 0;
  let kept = "";
  let whole = "";
  let running = false;
  const ahead = [];

  const line = (kind, text) => {
    const pre = document.createElement("pre");
    pre.className = `kw-${kind}`;
    pre.textContent = text;
    log.append(pre);
    log.scrollTop = log.scrollHeight;
  };
  const ask = (text) => { prompt.textContent = text; };
  const busy = (is) => { running = is; root.setAttribute("aria-busy", String(is)); };
  const place = (text) => { input.value = text; input.setSelectionRange(text.length, text.length); };

  const shared = (words) => words.reduce((a, b) => {
    let size = 0;
    while (size < a.length && a[size] === b[size]) size += 1;
    return a.slice(0, size);
  });
  const complete = (typed, words) => {
    if (typed !== input.value || words.length === 0) return;
    const head = typed.replace(/\S*$/, "");
    const last = typed.slice(head.length);
    const common = shared(words);
    if (words.length === 1) place(`${head}${common}${/[/=]$/.test(common) ? "" : " "}`);
    else if (common.length > last.length) place(head + common);
    else line("note", words.join("  "));
  };

  // What a command writes comes piece by piece: one block for it, in the order of its coming.
  let written = null;
  const write = (stream, text) => {
    written ??= log.appendChild(document.createElement("pre"));
    const piece = document.createElement("span");
    piece.className = `kw-${stream}`;
    piece.textContent = text;
    written.append(piece);
    log.scrollTop = log.scrollHeight;
  };

  const run = (typed) => {
    line("in", prompt.textContent + typed);
    whole = whole ? `${whole}\n${typed}` : typed;
    busy(true);
    model.send({ run: whole });
  };
  const ready = (text) => {
    ask(text);
    busy(false);
    if (ahead.length > 0) run(ahead.shift());
  };

  const told = (message) => {
    if (message.stream) { write(message.stream, message.text); return; }
    if (message.completions) complete(message.line, message.completions);
    if (message.more) { ready("> "); return; }
    if (message.done) {
      if (message.clear) log.replaceChildren();
      written = null;
      whole = "";
      ready(message.prompt);
    }
  };
  model.on("msg:custom", told);

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const typed = input.value;
    input.value = "";
    if (typed.trim()) history.push(typed);
    at = history.length;
    if (running) ahead.push(typed);
    else run(typed);
  });
  input.addEventListener("keydown", (event) => {
    event.stopPropagation(); // the notebook has plans of its own for keys
    if (event.key === "ArrowUp" && at > 0) {
      if (at === history.length) kept = input.value;
      at -= 1;
      place(history[at]);
    } else if (event.key === "ArrowDown" && at < history.length) {
      at += 1;
      place(at === history.length ? kept : history[at]);
    } else if (event.key === "Tab" && !event.shiftKey && input.value.trim()) {
      model.send({ complete: input.value });
    } else if (event.key === "l" && event.ctrlKey) {
      log.replaceChildren();
    } else if (event.key === "c" && event.ctrlKey && input.selectionStart === input.selectionEnd) {
      line("in", `${prompt.textContent}${input.value}^C`);
      input.value = "";
      ahead.length = 0;
      if (!running) {
        whole = "";
        ask(model.get("prompt"));
      }
    } else if (event.key === "Escape") {
      input.blur();
      return;
    } else {
      return;
    }
    event.preventDefault();
  });
  root.addEventListener("click", () => {
    if (window.getSelection().isCollapsed) input.focus({ preventScroll: true });
  });
  ask(model.get("prompt"));
  return () => model.off("msg:custom", told);
}
export default { render };
