// What the drivers share: what is given on stdin, the phone, and an SDK from its own environment.
const { createRequire } = require("module");
const path = require("path");
const fs = require("fs");

const given = JSON.parse(fs.readFileSync(0, "utf8"));

exports.given = given;

exports.sdk = (name) => createRequire(path.join(process.argv[2], "x.js"))(name);

// The next message on the phone.
exports.code = async (to, after = 0) => {
  const query = new URLSearchParams({ to, after, timeout: 15 });
  const answer = await fetch(`${given.url}/sandbox/v1/messages/wait?${query}`, {
    headers: { authorization: given.authorization },
  });
  if (!answer.ok) throw new Error(`the phone answers ${answer.status}`);
  return answer.json();
};

exports.wrong = (right) =>
  String((Number(right) + 1) % 10 ** right.length).padStart(right.length, "0");

exports.print = (seen) => process.stdout.write(JSON.stringify(seen));
