/* In the oldest JavaScript, so that it runs where nothing else does: says so where the page could not start. */
function tooOld(box) {
  var told = document.createElement("p");
  box.innerHTML = "";
  told.className = "failed";
  told.setAttribute("role", "alert");
  told.appendChild(document.createTextNode("This browser is too old to run the model: it lacks what every browser " +
    "since 2021 has. Please open the page in a newer one."));
  box.appendChild(told);
}
if (typeof window !== "undefined")
  window.addEventListener("load", function () {
    var boxes = document.querySelectorAll("[data-try]");
    for (var i = 0; i < boxes.length; i++) if (boxes[i].getAttribute("data-opened") === null) tooOld(boxes[i]);
  });
