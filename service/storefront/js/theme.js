// Light or dark, for every page. Runs before the first paint, so that a chosen theme never flashes the other one. Without
// a choice the system's own preference stands.
(() => {
  const KEY = "catalens.theme";
  const { dataset } = document.documentElement;
  try {
    const chosen = localStorage.getItem(KEY);
    if (chosen === "light" || chosen === "dark") dataset.theme = chosen;
  } catch {
    // Storage is refused in some private windows: the system's preference stands.
  }

  document.addEventListener("click", ({ target }) => {
    if (!(target instanceof Element) || !target.closest("#theme")) return;
    const now = dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    dataset.theme = now === "dark" ? "light" : "dark";
    try {
      localStorage.setItem(KEY, dataset.theme);
    } catch {
      // The choice then lasts as long as the page.
    }
  });
})();
