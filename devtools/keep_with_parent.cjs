// Node loads this file into Azurite before Azurite's own code. It makes Azurite write all acknowledged data to disk
// before it ends.
//
// The processes that use Azurite have the other end of its standard input open. When the last of them has ended, for
// whatever reason, Azurite shuts down as on SIGTERM. Azurite handles SIGTERM only once: a second signal would end it
// while it writes. The handler below stays registered, so that further signals do nothing.
let ending = false;

process.on("SIGTERM", () => {
  if (!ending && process.listenerCount("SIGTERM") === 1) process.exit(); // Azurite does not serve yet
  ending = true;
});

process.stdin.resume().on("close", () => {
  if (!ending) process.emit("SIGTERM");
});
process.stdin.unref(); // standard input alone must not keep the process alive
