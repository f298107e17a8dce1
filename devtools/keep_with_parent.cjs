// Loaded into Azurite before its own code, so that it always ends in order: what it has acknowledged is on disk then.
//
// Whoever started it holds the other end of its standard input. When they have all gone, however they went, Azurite ends
// as on SIGTERM. It listens for that signal once, so a second one would cut it off while it writes: not with this.
let ending = false;

process.on("SIGTERM", () => {
  if (!ending && process.listenerCount("SIGTERM") === 1) process.exit(); // Azurite does not serve yet
  ending = true;
});

process.stdin.resume().on("close", () => {
  if (!ending) process.emit("SIGTERM");
});
process.stdin.unref(); // alone it does not keep the process alive
