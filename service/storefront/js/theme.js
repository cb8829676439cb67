// Runs before the first paint, so that a chosen theme never flashes the other one. Without a choice the
// system's own preference stands.
(() => {
  try {
    const chosen = localStorage.getItem("catalens.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage is refused in some private windows: the system's preference stands.
  }
})();
