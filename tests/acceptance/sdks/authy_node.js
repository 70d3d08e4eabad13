// Drives the npm package `authy`; prints what came of each step as JSON.
const { given, sdk, code, wrong, print } = require("./common.js");

const client = sdk("authy")(given.key, given.url);
const phones = client.phones();

// An answer, or an error's body.
const ask = (act) =>
  new Promise((resolve) => act((error, body) => resolve(error ? { error } : body)));
const fault = ({ error }) => [error.error_code, error.message];

(async () => {
  const seen = {};
  const phone = given.to.slice(2);
  const user = await ask((done) => client.register_user("ann@example.com", phone, done));
  const again = await ask((done) => client.register_user("ann@example.com", phone, "1", done));
  const id = user.user.id;
  seen.create = [user.message, id === again.user.id];
  seen.bad_user = (await ask((done) => client.register_user("ann", "123", done))).error.errors;

  const sms = await ask((done) => client.request_sms(id, done));
  seen.sms = [sms.message, sms.cellphone, sms.ignored === undefined];
  let heard = await code(given.to);
  seen.wrong = fault(await ask((done) => client.verify(id, wrong(heard.code), done)));
  const right = await ask((done) => client.verify(id, heard.code, true, done));
  seen.right = [right.message, right.success];
  const call = await ask((done) => client.request_call(id, true, done));
  seen.call = call.message;
  heard = await code(given.to, heard.id);
  seen.heard = [heard.channel, (await ask((done) => client.verify(id, heard.code, done))).token];
  seen.status = (await ask((done) => client.user_status(id, done))).status.confirmed;

  const started = await ask((done) =>
    phones.verification_start(phone, "1", { via: "sms", code_length: 5 }, done),
  );
  seen.start = [started.message === given.started, started.success];
  heard = await code(given.to, heard.id);
  seen.length = heard.code.length;
  const ended = (act) => ask((done) => act(phone, "1", done));
  seen.pending = (await ended(phones.verification_status)).status;
  const check = (text) => ask((done) => phones.verification_check(phone, "1", text, done));
  seen.check_wrong = fault(await check(wrong(heard.code)));
  seen.check = (await check(heard.code)).message;
  seen.verified = (await ended(phones.verification_status)).status;
  seen.info = (await ended(phones.info)).message.slice(0, 31);

  seen.delete = (await ask((done) => client.delete_user(id, done))).message;
  seen.gone = fault(await ask((done) => client.user_status(id, done)));
  const stranger = sdk("authy")("0".repeat(64), given.url);
  seen.stranger = fault(await ask((done) => stranger.user_status(id, done)));
  print(seen);
})();
