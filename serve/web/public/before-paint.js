// The theme before the first paint: the page's own code comes after it. A file, as the policy allows no inline script.
(function () {
  var kept = null;
  try {
    kept = localStorage.getItem("slipway-theme");
  } catch (_refused) {
    // A browser that keeps nothing: as the system has it.
  }
  var dark = kept === "dark" || (kept !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
