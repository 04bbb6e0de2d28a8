/* In the oldest JavaScript, so that it runs where nothing else does: says so where the page could not start. */
function notStarted(box) {
  var told = document.createElement("p");
  box.innerHTML = "";
  told.className = "failed";
  told.setAttribute("role", "alert");
  told.appendChild(document.createTextNode("The model did not start: this browser is too old, without what every " +
    "browser since 2021 has, or the page is damaged. Please open it in a newer one, or get it again."));
  box.appendChild(told);
}
if (typeof window !== "undefined")
  window.addEventListener("load", function () {
    var boxes = document.querySelectorAll("[data-try]");
    for (var i = 0; i < boxes.length; i++) if (boxes[i].getAttribute("data-opened") === null) notStarted(boxes[i]);
  });
