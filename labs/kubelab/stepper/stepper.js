// Makes the CSS-only stepper live: arrow keys anywhere in it, a spoken caption, and the chosen step as a trait.
let views = 0;

function render({ model, el }) {
  // A second view of the same output (JupyterLab offers one) must not share its radio buttons with the first.
  const html = model.get("html");
  const id = /id="([^"]+)"/.exec(html)[1];
  views += 1;
  el.innerHTML = html.replaceAll(id, `${id}_view${views}`);
  const root = el.querySelector(".kw");
  const dots = [...root.querySelectorAll("input.kw-dot")];
  const live = root.querySelector("[aria-live]");
  const predict = root.querySelector("input.kw-predict");

  const say = (step) => {
    const hidden = predict.checked && !root.querySelectorAll("input.kw-reveal")[step].checked;
    live.textContent = hidden ? dots[step].dataset.question : dots[step].getAttribute("aria-label");
  };
  const go = (step, { focus = false } = {}) => {
    const to = Math.max(0, Math.min(dots.length - 1, step));
    dots[to].checked = true;
    if (focus) dots[to].focus({ preventScroll: true });
    say(to);
    if (model.get("step") !== to) {
      model.set("step", to);
      model.save_changes();
    }
  };
  const current = () => dots.findIndex((dot) => dot.checked);

  root.addEventListener("change", (event) => {
    if (event.target.matches(".kw-dot")) go(dots.indexOf(event.target));
    if (event.target.matches(".kw-reveal, .kw-predict")) say(current());
  });
  root.addEventListener("keydown", (event) => {
    const to = { ArrowRight: current() + 1, ArrowLeft: current() - 1, Home: 0, End: dots.length - 1 }[event.key];
    if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation(); // the notebook would move to the next cell
    go(to, { focus: true });
  });
  const follow = () => go(model.get("step"));
  model.on("change:step", follow);
  go(model.get("step"));
  return () => model.off("change:step", follow);
}
export default { render };
