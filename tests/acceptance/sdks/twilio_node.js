// Drives the npm package `twilio` of any version; prints what came of each step as JSON.
const { given, sdk, code, wrong, print } = require("./common.js");

const twilio = sdk("twilio");

const connected = (token) => {
  const client = twilio(given.account, token);
  client.verify.baseUrl = given.url;
  return client.verify.v2;
};
const fault = (asked) =>
  asked.then(
    () => null,
    (error) => [error.status, error.code],
  );

(async () => {
  const seen = {};
  const verify = connected(given.token);
  const service = verify.services(given.service);
  const [sms, call] = given.numbers;
  const check = (to, text) => service.verificationChecks.create({ to, code: text });

  let started = await service.verifications.create({ to: sms, channel: "sms" });
  seen.start = [started.status, started.valid, started.to === sms, started.sid.slice(0, 2)];
  seen.fetch = [];
  for (const one of [started.sid, sms])
    seen.fetch.push((await service.verifications(one).fetch()).status);
  let heard = await code(sms);
  const missed = await check(sms, wrong(heard.code));
  seen.wrong = [missed.status, missed.valid];
  const checked = await check(sms, heard.code);
  seen.right = [checked.status, checked.valid, checked.sid === started.sid];
  seen.again = await fault(check(sms, heard.code));

  started = await service.verifications.create({ to: call, channel: "call" });
  heard = await code(call);
  seen.call = [started.channel, heard.channel];
  const ended = await service.verifications(started.sid).update({ status: "canceled" });
  seen.cancel = [ended.status, await fault(service.verifications(started.sid).fetch())];

  const made = [];
  for (const name of ["a", "b", "c"])
    made.push((await verify.services.create({ friendlyName: `Page ${name}` })).sid);
  const listed = (await verify.services.list({ pageSize: 2 })).map((one) => one.sid);
  const unique = new Set(listed);
  seen.pages = [made.every((sid) => unique.has(sid)), listed.length === unique.size && unique.size > 2];
  const second = await (await verify.services.page({ pageSize: 2 })).nextPage();
  seen.second = second.instances[0].sid === listed[2];

  seen.bad_number = await fault(service.verifications.create({ to: "+1", channel: "sms" }));
  seen.no_service = await fault(verify.services("VA" + "0".repeat(32)).fetch());
  seen.stranger = await fault(connected("0".repeat(32)).services(given.service).fetch());
  print(seen);
})();
