// Says so where the page's modules cannot run. In the words of old browsers: it must run where they do not.
(function () {
    window.addEventListener("load", function () {
        // The first module sets it, after everything that it needs was found.
        if (!document.documentElement.hasAttribute("data-started")) {
            document.getElementById("old-browser").removeAttribute("hidden");
        }
    });
})();
