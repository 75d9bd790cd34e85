// The data that the page was made with.

const start = JSON.parse(document.getElementById("start").textContent);
const { picture, limits } = start;
