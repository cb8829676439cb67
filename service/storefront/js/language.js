// Runs before the first paint: the language of the page is the one its address asks for, else the one chosen before,
// else the reader's first that the page speaks, else English. Its words are sent for at once; a page that is not in
// English stays blank until they are there, so that it never flashes the English ones.
(() => {
  const SPOKEN = ["en", "de", "fr"];
  const PATIENCE_MS = 5000;
  const root = document.documentElement;
  const asked = new URLSearchParams(location.search).get("lang");
  let chosen = null;
  try {
    chosen = localStorage.getItem("catalens.language");
  } catch {
    // Storage is refused in some private windows: there is no earlier choice.
  }
  const languages = [asked, chosen, ...navigator.languages].map((tag) => (tag ?? "").split("-")[0].toLowerCase());
  root.lang = languages.find((language) => SPOKEN.includes(language)) ?? "en";
  const words = document.createElement("link");
  words.rel = "modulepreload";
  words.href = `js/text/${root.lang}.js`;
  document.head.append(words);
  if (root.lang === "en") return;
  root.dataset.words = "coming";
  setTimeout(() => delete root.dataset.words, PATIENCE_MS);
})();
