/**
 * Filters that are typed in, where a theme lists filters as fields. Some themes send them with a
 * form of their own; where there is none, what is typed leads to the list that it filters.
 */
(function () {
  "use strict";

  document.addEventListener("change", ({ target }) => {
    if (!target.matches(".realtime-field input") || target.form) return;
    const url = new URL(target.dataset.clear, window.location.href);
    if (target.value) url.searchParams.set(target.name, target.value);
    window.location.assign(url);
  });
})();
