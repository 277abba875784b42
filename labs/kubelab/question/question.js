// The card of an exercise, live: what is clicked goes to the kernel, and what it says comes into `.kw-told`.
let views = 0;

function render({ model, el }) {
  // A second view of the same output must not share its radio buttons with the first.
  const html = model.get("html");
  const group = /name="([^"]+)"/.exec(html) ?? /for="([^"]+)_line"/.exec(html);
  views += 1;
  el.innerHTML = group ? html.replaceAll(group[1], `${group[1]}_view${views}`) : html;
  const root = el.querySelector(".kw-question");
  const form = root.querySelector("form");
  const told = root.querySelector(".kw-told");
  const buttons = [...form.querySelectorAll("button")];

  let busy = false;
  const wait = (is) => {
    busy = is;
    root.setAttribute("aria-busy", String(is));
    for (const button of buttons) button.setAttribute("aria-disabled", String(is));
  };
  const ask = (message) => {
    if (busy) return;
    wait(true);
    model.send(message);
  };
  const hear = (message) => {
    if (message.told === undefined) return;
    told.innerHTML = message.told;
    wait(false);
  };
  model.on("msg:custom", hear);

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = form.querySelector("input[type=radio]:checked") ?? form.querySelector("input[type=text]");
    ask({ answer: chosen ? chosen.value : "" });
  });
  for (const button of form.querySelectorAll("button[data-ask]")) {
    button.addEventListener("click", () => ask({ ask: button.dataset.ask }));
  }
  root.addEventListener("keydown", (event) => {
    // The notebook has plans of its own for keys; Shift+Enter and Escape stay its.
    if (event.target.matches("input") && event.key !== "Escape" && !event.shiftKey) event.stopPropagation();
  });
  return () => model.off("msg:custom", hear);
}
export default { render };
